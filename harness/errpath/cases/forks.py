"""Files of HFS and HFS+ with both forks: what removes one gives back the blocks of both."""

from __future__ import annotations

from collections.abc import Iterator

from errpath.cases.case import MountCase
from errpath.cases.volume_case import volume_case
from errpath.cases.volume_steps import Sync, Unlink
from errpath.images.hfs.entries import File, default_entries
from errpath.images.hfs.hfs import HfsVolume
from errpath.images.hfs.hfsplus import HfsPlusVolume

__all__ = ["fork_cases"]

# More pieces than a record of the catalog names.
_PIECES = 12
# More than two records of the extents tree of HFS+ name, behind that of the catalog.
_MANY = 28
_FILE = "forks"


def fork_cases() -> Iterator[MountCase]:
    """One case for each filesystem; for HFS+ one more, whose resource fork has extents in the tree:
    a removal gives it back by itself, while the data fork is truncated."""
    volumes: dict[str, HfsVolume | HfsPlusVolume] = {
        "hfs": HfsVolume(name="forks", entries=default_entries()),
        "hfsplus": HfsPlusVolume(name="forks", entries=default_entries(), unused_node_fix=True),
    }
    removed = (Unlink(_FILE), Sync())
    for name, volume in volumes.items():
        data = b"d" * (_PIECES * volume.block_size)
        whole = volume.with_file(_FILE, data=data, resource=b"resource fork\n", fragments=_PIECES)
        yield volume_case(
            f"{name}-forks-removed", volume, (removed,), point="forks", image=whole.image()
        )
    volume = volumes["hfsplus"]
    file = File(path=_FILE, resource=b"r" * (_MANY * volume.block_size), resource_fragments=_MANY)
    yield volume_case(
        "hfsplus-resource-fork-removed",
        volume,
        (removed,),
        point="forks",
        image=volume.with_entries(file).image(),
    )
