"""Volumes on which trees grow and shrink: what a mount reads, ordinary use must have written.

Files with long names are made until leaves split and the catalog gets levels, and grows by blocks;
a file is written into the gaps of a full volume, so that its extents do not fit into its own
record. After another mount all of it is removed, and the volume reads as it did before.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from errpath.cases.case import Device, MountCase
from errpath.cases.crafted import ReadsBack
from errpath.cases.mounting import mount_step
from errpath.cases.steps import Step, Umount
from errpath.cases.volume_steps import Mkdir, ReadBack, Sync, Unlink, WriteFile
from errpath.filesystems import load_filesystem
from errpath.images.hfs.expected import expected_entries
from errpath.images.hfs.hfs import HfsVolume
from errpath.images.hfs.hfsplus import HfsPlusVolume

__all__ = ["growth_cases"]

_DIRECTORY = "grown"
_FILES = 40
# One more file takes what is left.
_REST = "rest"
_PIECES = "pieces"


def growth_cases() -> Iterator[MountCase]:
    """One case for each filesystem."""
    for name in ("hfs", "hfsplus"):
        volume = _volume(name)
        fs = load_filesystem(name)
        mount = mount_step(fs, "mount", "rw")
        block = volume.block_size
        yield MountCase(
            f"{name}-trees-grow-and-shrink",
            name,
            Device(volume.image()),
            (
                mount,
                *_grow(block),
                Umount(),
                mount,
                *_shrink(),
                Umount(),
                mount,
                ReadBack(),
                Umount(),
            ),
            point="growth",
            seconds=20.0,
            checks=(ReadsBack(expected_entries(volume)),),
        )


@cache
def _volume(filesystem: str) -> HfsVolume | HfsPlusVolume:
    if filesystem == "hfs":
        return HfsVolume(name="grows", free_blocks=200).with_file("readme", data=b"errpath\n")
    volume = HfsPlusVolume(name="grows", block_size=512, catalog_node_size=2048, free_blocks=300)
    return volume.with_file("readme", data=b"errpath\n")


def _names() -> tuple[str, ...]:
    """Of 31 characters, the most that HFS takes."""
    return tuple(
        f"{_DIRECTORY}/{number:02}".ljust(len(_DIRECTORY) + 32, "x") for number in range(_FILES)
    )


def _grow(block: int) -> tuple[Step, ...]:
    """Files of one block each, then one in the gaps that every second of them leaves."""
    names = _names()
    files = [WriteFile(name, data="f" * block) for name in names]
    gaps = [Unlink(name) for name in names[::2]]
    rest = WriteFile(_REST, data="r" * (400 * block), expect="ENOSPC")
    pieces = WriteFile(_PIECES, data="p" * (len(gaps) // 2 * block))
    return (Mkdir(_DIRECTORY), *files, rest, *gaps, pieces, Sync())


def _shrink() -> tuple[Step, ...]:
    files = [Unlink(name) for name in _names()[1::2]]
    return (Unlink(_PIECES), Unlink(_REST), *files, Unlink(_DIRECTORY), Sync())
