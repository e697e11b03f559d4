"""Files of HFS and HFS+ with both forks: what removes one gives back the blocks of both."""

from __future__ import annotations

from collections.abc import Iterator

from errpath.cases.case import MountCase
from errpath.cases.volume_case import volume_case
from errpath.cases.volume_steps import Sync, Unlink
from errpath.images.hfs.entries import default_entries
from errpath.images.hfs.hfs import HfsVolume
from errpath.images.hfs.hfsplus import HfsPlusVolume

__all__ = ["fork_cases"]

# More pieces than a record of the catalog names.
_PIECES = 12
_FILE = "forks"


def fork_cases() -> Iterator[MountCase]:
    """One case for each filesystem."""
    volumes: dict[str, HfsVolume | HfsPlusVolume] = {
        "hfs": HfsVolume(name="forks", entries=default_entries()),
        "hfsplus": HfsPlusVolume(name="forks", entries=default_entries()),
    }
    for name, volume in volumes.items():
        data = b"d" * (_PIECES * volume.block_size)
        whole = volume.with_file(_FILE, data=data, resource=b"resource fork\n", fragments=_PIECES)
        removed = (Unlink(_FILE), Sync())
        yield volume_case(
            f"{name}-forks-removed", volume, (removed,), point="forks", image=whole.image()
        )
