"""Files of HFS and HFS+ with both forks: what removes one gives back the blocks of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from errpath.cases.case import Device, MountCase
from errpath.cases.crafted import ReadsBack
from errpath.cases.mounting import mount_step
from errpath.cases.steps import Umount
from errpath.cases.volume_steps import ReadBack, Sync, Unlink
from errpath.filesystems import load_filesystem
from errpath.images.hfs.entries import File, default_entries
from errpath.images.hfs.expected import expected_entries
from errpath.images.hfs.hfs import HfsVolume
from errpath.images.hfs.hfsplus import HfsPlusVolume

__all__ = ["fork_cases"]

# More pieces than a record of the catalog names.
_PIECES = 12
_RESOURCE = b"resource fork\n"


def fork_cases() -> Iterator[MountCase]:
    """One case for each filesystem."""
    for fs, volume in (
        (load_filesystem("hfs"), HfsVolume(name="forks", entries=default_entries())),
        (load_filesystem("hfsplus"), HfsPlusVolume(name="forks", entries=default_entries())),
    ):
        data = b"d" * (_PIECES * volume.block_size)
        file = File(path="forks", data=data, fragments=_PIECES, resource=_RESOURCE)
        mount = mount_step(fs, "mount", "rw")
        yield MountCase(
            f"{fs.name}-forks-removed",
            fs.name,
            Device(replace(volume, entries=(*volume.entries, file)).image()),
            (mount, Unlink(file.path), Sync(), Umount(), mount, ReadBack(), Umount()),
            point="forks",
            checks=(ReadsBack(expected_entries(volume)),),
        )
