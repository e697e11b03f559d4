"""Cells of event (h): one task waits in the kernel while another does something to the same
superblock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from errpath.cases.lifecycle.cell import Cell, again_step, step, usual_device, valid_modes
from errpath.cases.steps import Meanwhile, Step, Umount
from errpath.cases.volume_steps import Fsync, Stat, SyncAll, WriteFile
from errpath.faults.plan import FaultPlan
from errpath.filesystems import Filesystem

__all__ = ["two_tasks"]

# A name that every filesystem can look up and make.
_FILE = "pair"


def two_tasks(fs: Filesystem, errnos: Sequence[str], images: Sequence[str]) -> Iterator[Cell]:
    """(h): mount, umount, reconfigure, sync and lookup, two at a time."""
    # A superblock of code that cannot write is read-only whatever was asked for.
    mode = "ro" if fs.read_only else valid_modes(fs)[0]
    for kind, steps in _pairs(fs, mode):
        yield Cell(kind, fs.place(kind), usual_device(fs), steps, mode=mode)


def _pairs(fs: Filesystem, mode: str) -> Iterator[tuple[str, tuple[Step, ...]]]:
    def held(kind: str, first: Step, *second: Step) -> Step:
        return replace(first, meanwhile=Meanwhile(fs.place(kind), second))

    mount, again = step(fs, "mount", mode), step(fs, "fsopen", mode)
    other, back = again_step(fs, "mount", "ro"), again_step(fs, "mount", mode)
    if mode == "rw" and not fs.expected("written"):
        written = (mount, WriteFile(_FILE, "x"))
        sync = held("fsync_remount", Fsync(_FILE), other, back)
        yield "fsync_remount", (*written, sync, Umount())
        yield "sync_umount", (*written, held("sync_umount", SyncAll(), Umount()))
    yield "umount_mount", (mount, held("umount_mount", Umount(), again), Umount())
    # mount(2) refuses what is mounted on the same place already: both by fsopen(2), so that it does
    # not matter which of them gets there first.
    yield "mount_mount", (held("mount_mount", again, again), Umount(), Umount())
    fails = step(fs, "mount", mode, fail=FaultPlan(fs.fill_super, "EIO"))
    yield "mount_fails", (held("mount_fails", fails, again), Umount())
    lookup = Stat(_FILE, expect="ENOENT")
    yield "lookup_umount", (mount, held("lookup_umount", lookup, Umount(lazy=True)))
    same = again_step(fs, "fsopen", mode)
    yield "reconfigure_twice", (mount, held("reconfigure_twice", other, same), Umount())
