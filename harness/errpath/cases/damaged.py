"""HFS volumes of which one node is damaged where no mount looks: ordinary use meets it.

Each case names the step that meets the damage, and the errno that it must give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from errpath.cases.case import Device, MountCase
from errpath.cases.mounting import mount_step
from errpath.cases.steps import Step, Umount
from errpath.cases.volume_steps import Readdir, Unlink, WriteFile
from errpath.filesystems import load_filesystem
from errpath.images import Image
from errpath.images.crafted.catalogue import base_image
from errpath.images.crafted.fields import write_fields
from errpath.images.hfs.entries import Directory, File
from errpath.images.hfs.hfs import HfsVolume

__all__ = ["damaged_cases"]

# Catalog of `hfs-deep`: leaf 4 has file05 to file07, leaf 5 what follows, leaf 10 the thread of
# file11 alone, below the index nodes 14 and 16; 12 and 13 are index nodes above leaves.
_DEEP = "hfs-deep"


@dataclass(frozen=True)
class _Damage:
    name: str
    # What is written into the fields of the image.
    fields: Mapping[str, int]
    # Between mount and umount.
    steps: tuple[Step, ...] = field(default=())


def _in(name: str) -> str:
    return f"folder/{name}"


_LAST = Unlink(_in("file11"))
# So many files that the leaves fill, and the index node above them.
_MANY = tuple(WriteFile(_in(f"file07{n:02}"), data="") for n in range(18))

_DAMAGES = (
    # A search meets the record in the middle first. Its key fits the record, and no key.
    _Damage(
        "hfs-leaf-key-too-long",
        {"catalog.node[4].record[1].key.ckrKeyLen": 60},
        (Unlink(_in("file07"), expect="EINVAL"),),
    ),
    # The second look finds the node in memory.
    _Damage(
        "hfs-leaf-free-space-odd",
        {"catalog.node[4].offset[3]": 0x0171},
        (Unlink(_in("file05"), expect="EIO"), Unlink(_in("file05"), expect="EIO")),
    ),
    _Damage(
        "hfs-index-height-of-another-level",
        {"catalog.node[12].descriptor.height": 3},
        (Unlink(_in("file05"), expect="EIO"),),
    ),
    _Damage(
        "hfs-next-leaf-height",
        {"catalog.node[5].descriptor.height": 2},
        (Readdir("folder", expect="EIO"),),
    ),
    _Damage(
        "hfs-next-leaf-kind",
        {"catalog.node[5].descriptor.kind": 5},
        (Readdir("folder", expect="EIO"),),
    ),
    # The first of these files fits its leaf.
    _Damage(
        "hfs-header-node-height",
        {"catalog.node[0].descriptor.height": 1},
        (_MANY[0], WriteFile(_in("file0701"), data="", expect="EIO")),
    ),
    # The index node before this one must split; eight of its leaves are those of these files.
    _Damage(
        "hfs-next-index-height",
        {"catalog.node[13].descriptor.height": 9},
        (*_MANY[:-1], replace(_MANY[-1], expect="EIO")),
    ),
    # The map has the bits of 16 nodes, of which none follows; then a leaf follows.
    _Damage("hfs-map-too-short", {"catalog.node[0].offset[3]": 0x00FA}, (_LAST,)),
    _Damage(
        "hfs-map-goes-on-in-a-leaf",
        {"catalog.node[0].offset[3]": 0x00FA, "catalog.node[0].descriptor.fLink": 5},
        (_LAST,),
    ),
    _Damage("hfs-map-bit-of-a-leaf", {"catalog.header.map[1]": 0xDF}, (_LAST,)),
)


def damaged_cases() -> Iterator[MountCase]:
    """One case for each damage."""
    for damage in _DAMAGES:
        image = write_fields(base_image(_DEEP), damage.fields, name=damage.name)
        yield _case(damage.name, image, damage.steps)
    yield _case(
        "hfs-leaf-without-a-half",
        _three_records(),
        (WriteFile("c" * 30 + "d", data="", expect="ENOSPC"),),
    )


def _case(name: str, image: Image, steps: tuple[Step, ...]) -> MountCase:
    fs = load_filesystem("hfs")
    return MountCase(
        name,
        "hfs",
        Device(image),
        (mount_step(fs, "mount", "rw"), *steps, Umount()),
        point="damaged",
    )


def _three_records() -> Image:
    """A volume with a leaf of three long records, all of which begin in its first half. Nothing is
    wrong with it; hfs_bnode_split() finds no place to split it, and gives -ENOSPC."""
    return HfsVolume(
        name="three",
        entries=(
            File(path="0"),
            *(Directory(path=name * 31) for name in "ab"),
            File(path="c" * 31),
        ),
        records_per_node=3,
    ).image()
