"""Frozen guests: stopped after everything that all cases share, kept in the cache, and cloned.

A frozen guest is a directory with three files: `ram`, its memory as a sparse file; `state`, the
registers and devices as QEMU writes them; and `meta.json`, which names the extents of `ram` and the
digests of both. A clone gets a copy of the RAM in a memory file of its own and reads the state, so
no two guests ever write to the same file. The key names everything that went into the guest; what
the key does not cover, a damaged file, the digests do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errpath.errors import GuestLostError, InfrastructureError
from errpath.guest.machine import Machine
from errpath.guest.qemu import QEMU
from errpath.guest.qmp import CloneError, save_state
from errpath.guest.ram import GuestRam, copy_extents, digest_extents
from errpath.kernel.layout import Layout, disk_errors, read_json, remove_tree
from errpath.util import process
from errpath.util.locks import file_lock
from errpath.util.progress import Progress

__all__ = ["Frozen", "SnapshotStore", "qemu_identity", "snapshot_key"]

# Of the directory's form; another form is another key.
_FORMAT = 1
# Frozen guests that are kept; each takes about 60 MiB of disk.
KEPT = 40
# How often QEMU is asked again which one it is.
_RETRIES = 3


@dataclass(frozen=True)
class Frozen:
    """A guest at rest. Its files are open, so that it outlives its directory."""

    ram_fd: int
    state_fd: int
    # What uname says in it, and the images that are in it.
    release: str
    images: tuple[str, ...] = ()
    # What its maker noted for the clones' users.
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ram_size(self) -> int:
        """Bytes of memory that a clone needs."""
        return os.fstat(self.ram_fd).st_size

    def fill(self, ram: GuestRam) -> None:
        """Copy this guest's memory into a clone's own.

        Raises:
            InfrastructureError: there is no room in memory.
        """
        try:
            copy_extents(self.ram_fd, ram.fd)
        except OSError as error:
            raise InfrastructureError(
                f"guest RAM: {error.strerror}; expected room in memory"
            ) from None

    def close(self) -> None:
        """Give the descriptors back; twice does no harm."""
        for descriptor in (self.ram_fd, self.state_fd):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def qemu_identity(name: str = QEMU) -> str:
    """The QEMU that would be run: its version and its program file.

    Raises:
        InfrastructureError: it does not run, or is killed from outside each time.
    """
    program = process.find_program(name)
    status = Path(program).stat()
    asked = [program, "--version"]
    for _ in range(_RETRIES):
        done = process.run(asked, check=False)
        # Killed from outside: it has said nothing of itself.
        if done.returncode >= 0:
            break
    if done.returncode != 0:
        done = process.run(asked)
    return f"{done.text.splitlines()[0]} {program} {status.st_size} {status.st_mtime_ns}"


def snapshot_key(*parts: object) -> str:
    """A name for a frozen guest from everything that went into it."""
    words = "\0".join((str(_FORMAT), *map(repr, parts)))
    return hashlib.sha256(words.encode()).hexdigest()[:32]


class SnapshotStore:
    """Frozen guests in the cache, by key."""

    def __init__(self, layout: Layout, *, progress: Progress, kept: int = KEPT) -> None:
        """The `kept` guests that were used last are kept."""
        self._kept = kept
        self._layout = layout
        self._root = layout.root / "snapshots"
        self._progress = progress

    def get(
        self, key: str, kind: str, make: Callable[[], tuple[Machine, Mapping[str, Any]]]
    ) -> Frozen:
        """The frozen guest of `key`; `make` prepares a guest, with notes, where there is none.

        Two processes that want the same one make it once. One that is damaged is made again. `make`
        may ask for a frozen guest of another kind.

        Raises:
            CloneError: this machine cannot be frozen.
            GuestLostError: its QEMU was killed from outside while it was frozen.
            InfrastructureError: no room for it.
        """
        directory = self._root / key
        with disk_errors(self._layout.root):
            frozen = _load(directory)
            if frozen is not None:
                return frozen
            # One of a few locks: another guest can hardly ever wait for this one.
            lock = self._layout.locks / f"snapshots-{kind}-{key[:2]}"
            with file_lock(lock, "freezing a guest", progress=self._progress):
                frozen = _load(directory)
                if frozen is not None:
                    return frozen
                if directory.exists():
                    self._progress.say(f"{directory}: a damaged snapshot; it is made again")
                    remove_tree(directory)
                machine, notes = make()
                try:
                    with self._layout.making(directory) as scratch:
                        _freeze(machine, scratch, notes)
                except CloneError as error:
                    if machine.killed_by:
                        raise GuestLostError(f"{machine.killed_by}, being frozen") from error
                    raise
                finally:
                    machine.close()
                self._drop_old()
            frozen = _load(directory)
        if frozen is None:
            raise CloneError(f"{directory}: a snapshot that was just made cannot be read")
        return frozen

    def forget(self, key: str) -> None:
        """Remove a frozen guest that turned out to be of no use."""
        remove_tree(self._root / key)

    def _drop_old(self) -> None:
        """Keep those that were used last; who has one open is not disturbed."""
        by_use = sorted(self._root.iterdir(), key=_last_use, reverse=True)
        for old in by_use[self._kept :]:
            remove_tree(old)


def _last_use(directory: Path) -> float:
    """When it was last of use; another process may have removed it meanwhile."""
    try:
        return directory.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _freeze(machine: Machine, directory: Path, notes: Mapping[str, Any]) -> None:
    ram = machine.ram
    if ram is None:
        raise CloneError("a guest without RAM of ours cannot be frozen")
    with (directory / "state").open("w+b") as state, (directory / "ram").open("w+b") as memory:
        save_state(machine.monitor, state.fileno())
        extents = copy_extents(ram.fd, memory.fileno())
        meta = {
            "release": machine.release,
            "images": sorted(machine.images),
            "notes": notes,
            "extents": extents,
            "ram": digest_extents(memory.fileno(), extents),
            "state": hashlib.sha256((directory / "state").read_bytes()).hexdigest(),
        }
    (directory / "meta.json").write_text(json.dumps(meta))


def _load(directory: Path) -> Frozen | None:
    """The frozen guest in a directory; None where there is none that is whole."""
    meta = read_json(directory / "meta.json")
    if meta is None:
        return None
    opened: list[int] = []
    try:
        for name in ("ram", "state"):
            opened.append(os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC))
        ram_fd, state_fd = opened
        extents = [(int(offset), int(length)) for offset, length in meta["extents"]]
        state = os.pread(state_fd, os.fstat(state_fd).st_size, 0)
        if (
            digest_extents(ram_fd, extents) == meta["ram"]
            and hashlib.sha256(state).hexdigest() == meta["state"]
        ):
            # The time of change says when it was last used.
            os.utime(directory)
            return Frozen(ram_fd, state_fd, meta["release"], tuple(meta["images"]), meta["notes"])
    except (OSError, KeyError, TypeError, ValueError):
        pass
    for descriptor in opened:
        os.close(descriptor)
    return None
