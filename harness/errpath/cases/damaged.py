"""HFS and HFS+ volumes of which one node is damaged where no mount looks: ordinary use meets it.

Each case names the step that meets the damage, and the errno that it must give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from errpath.cases.case import Alternative, Device, MountCase
from errpath.cases.mounting import mount_step
from errpath.cases.steps import Step, Umount
from errpath.cases.volume_case import in_turn
from errpath.cases.volume_steps import (
    AppendFile,
    Fsync,
    Readdir,
    ReadFile,
    Sync,
    Truncate,
    Unlink,
    WriteFile,
)
from errpath.filesystems import load_filesystem
from errpath.images import Image
from errpath.images.crafted.catalogue import base_image
from errpath.images.crafted.fields import write_fields
from errpath.images.hfs.entries import Directory, File
from errpath.images.hfs.hfs import HfsVolume
from errpath.images.hfs.hfsplus import HfsPlusVolume
from errpath.kernel.features.change import Change

__all__ = ["damaged_cases"]

# In the catalogs of `hfs-deep` and `hfsplus-deep` leaf 5 follows leaf 4, leaf 10 is the last, below
# the index nodes 14 and 16, and 12 and 13 are index nodes above leaves. In that of HFS leaf 4 has
# file05 to file07, and leaf 10 the thread of file11 alone; in that of HFS+ leaf 4 has file03 to
# file05, and leaf 10 the threads of file09 to file11.
# Bytes of the bitmap of a small volume.
_BITMAP = 14


@dataclass(frozen=True)
class _Damage:
    name: str
    # What is written into the fields of the image.
    fields: Mapping[str, int]
    # Between mount and umount.
    steps: tuple[Step, ...] = field(default=())
    base: Image | None = None
    # With this change a mount meets it, and gives -EINVAL.
    mount_meets: Change | None = None


def _in(name: str) -> str:
    return f"folder/{name}"


# So many files that the leaves fill, and the index node above them.
_MANY = tuple(WriteFile(_in(f"file07{n:02}"), data="") for n in range(18))


def _of_nodes(filesystem: str, path: str, free: int, last: tuple[Step, ...]) -> Iterator[_Damage]:
    """What both have. `path` begins leaf 4, `free` is an odd place for that leaf's free space, and
    `last` empties leaf 10."""
    removed, listed = Unlink(path, expect="EIO"), Readdir("folder", expect="EIO")
    few = {"catalog.node[0].offset[3]": 0x00FA}
    for name, fields, steps in (
        # The second look finds the node in memory.
        ("leaf-free-space-odd", {"catalog.node[4].offset[3]": free}, (removed, removed)),
        (
            "index-height-of-another-level",
            {"catalog.node[12].descriptor.height": 3},
            (removed,),
        ),
        ("next-leaf-height", {"catalog.node[5].descriptor.height": 2}, (listed,)),
        ("next-leaf-kind", {"catalog.node[5].descriptor.kind": 5}, (listed,)),
        # The map has the bits of 16 nodes, of which none follows; then a leaf follows.
        ("map-too-short", few, last),
        ("map-goes-on-in-a-leaf", {**few, "catalog.node[0].descriptor.fLink": 5}, last),
        ("map-bit-of-a-leaf", {"catalog.header.map[1]": 0xDF}, last),
    ):
        yield _Damage(f"{filesystem}-{name}", fields, steps)


# The last of these files does not fit leaf 4 of HFS+.
_MANY_PLUS = tuple(WriteFile(_in(f"file04{n:02}"), data="") for n in range(12))

_DAMAGES = (
    # A search meets the record in the middle first. Its key fits the record, and no key.
    _Damage(
        "hfs-leaf-key-too-long",
        {"catalog.node[4].record[1].key.ckrKeyLen": 60},
        (Unlink(_in("file07"), expect="EINVAL"),),
    ),
    # The first of these files fits its leaf.
    _Damage(
        "hfs-header-node-height",
        {"catalog.node[0].descriptor.height": 1},
        (_MANY[0], WriteFile(_in("file0701"), data="", expect="EIO")),
        mount_meets=Change(
            "hfs: opening a tree looks at the map's bit for the header node (7.3)",
            "hfs_bmap_test_bit",
        ),
    ),
    # The index node before this one must split; eight of its leaves are those of these files.
    _Damage(
        "hfs-next-index-height",
        {"catalog.node[13].descriptor.height": 9},
        (*_MANY[:-1], replace(_MANY[-1], expect="EIO")),
    ),
    # The leaf that must split has a next one, which is met then.
    _Damage(
        "hfsplus-next-leaf-height-at-split",
        {"catalog.node[5].descriptor.height": 2},
        (*_MANY_PLUS[:-1], replace(_MANY_PLUS[-1], expect="EIO")),
    ),
    *_of_nodes("hfs", _in("file05"), 0x0171, (Unlink(_in("file11")),)),
    *_of_nodes(
        "hfsplus",
        _in("file03"),
        0x0333,
        tuple(Unlink(_in(f"file{number:02}")) for number in (9, 10, 11)),
    ),
)


def damaged_cases() -> Iterator[MountCase]:
    """One case for each damage."""
    for damage in (*_DAMAGES, *_written_back(), *_of_extents()):
        base = damage.base or base_image(f"{_filesystem(damage.name)}-deep")
        case = _case(damage.name, write_fields(base, damage.fields, name=damage.name), damage.steps)
        if damage.mount_meets is not None:
            refused = mount_step(load_filesystem("hfs"), "mount", "rw", expect="EINVAL")
            case = replace(case, alternatives=(Alternative(damage.mount_meets, (refused,)),))
        yield case
    for name, image, path in (
        ("hfs-leaf-without-a-half", _three_records(), "c" * 30 + "d"),
        ("hfsplus-leaf-without-a-half", _two_records(), "d/a"),
    ):
        yield _case(name, image, (WriteFile(path, data="", expect="ENOSPC"),))
    # The private metadata directory's thread leads to a file, whose record is too short.
    short = {
        "catalog.node[4].offset[3]": 0x0330,
        "catalog.thread[16].data.parentID": 17,
        "catalog.thread[16].data.nodeName.length": 6,
        **{f"catalog.thread[16].byte[{10 + 2 * n + 1}]": ord(c) for n, c in enumerate("file05")},
    }
    image = write_fields(
        base_image("hfsplus-deep"), short, name="private-directory-is-a-short-file"
    )
    mount = mount_step(load_filesystem("hfsplus"), "mount", "rw", expect="EIO")
    yield _case_of("hfsplus-private-directory-is-a-short-file", image, (mount,))


def _written_back() -> Iterator[_Damage]:
    """Damage that is met when an inode is written back; of files, fsync() says so."""
    # The second leaf begins with `c`. A search for `d` looks at it first while `c` is there, and at
    # the record of `e`, which is named `0`, when that is gone.
    files = tuple(File(path=name) for name in "abcdefgh")
    yield _Damage(
        "hfs-written-back-behind-wrong-key",
        {"catalog.node[2].record[2].byte[7]": ord("0")},
        (
            *(WriteFile("d", "text"), Fsync("d"), AppendFile("d", "text"), Unlink("c")),
            Fsync("d", expect="EIO"),
        ),
        HfsVolume(name="files", entries=files, records_per_node=4).image(),
    )
    # The last record of its leaf, two bytes too short.
    yield _Damage(
        "hfs-written-back-to-short-record",
        {"catalog.node[4].offset[3]": 0x0168},
        (WriteFile(_in("file07"), "text"), Fsync(_in("file07"), expect="EIO")),
    )
    # A directory whose record is the last of its leaf, and ends before the date of the last change:
    # there the next record begins.
    yield _Damage(
        "hfs-directory-written-back-to-short-record",
        {"catalog.node[1].offset[3]": 0x00AC},
        (
            *(WriteFile("e", "text"), WriteFile("d/x", ""), Sync(), Umount()),
            *(mount_step(load_filesystem("hfs"), "mount", "rw"), ReadFile("e", "text")),
        ),
        HfsVolume(name="ends", entries=(Directory(path="d"),), records_per_node=3).image(),
    )


def _of_extents() -> Iterator[_Damage]:
    """Extents of a file that the extents tree has under another CNID, or in the wrong order."""
    yield _Damage(
        "hfs-file-without-its-last-extents",
        {f"extents.node[1].record[{number}].key.xkrFNum": 5 for number in range(3)},
        (AppendFile("fragmented", "a" * 512, expect="ENOENT"),),
        base_image("hfs-fragmented"),
    )
    # Its last record is found by a search for what comes behind it, and not by one for itself. It
    # has changed, and has no room for another extent, when the file grows; the block that follows
    # is in use, as all are.
    pieces = File(path="pieces", data=b"p" * (18 * 512), fragments=9)
    volume = HfsVolume(name="order", entries=(File(path="gap", data=b"gap"), pieces))
    yield _Damage(
        "hfs-extents-out-of-order",
        {
            **{f"bitmap[{byte}]": 0xFF for byte in range(_BITMAP)},
            **{"mdb.drFreeBks": 0, "extents.node[1].record[0].key.xkrFABN": 15},
        },
        (
            *(Truncate("pieces", 17 * 512), WriteFile("rest", "r" * 512)),
            Unlink("gap"),
            AppendFile("pieces", "p" * 512, expect="ENOENT"),
        ),
        volume.image(),
    )


def _filesystem(name: str) -> str:
    """That of a case, whose name begins with it."""
    return name.partition("-")[0]


def _case(name: str, image: Image, steps: tuple[Step, ...]) -> MountCase:
    return _case_of(name, image, in_turn(_filesystem(name), (steps,)))


def _case_of(name: str, image: Image, steps: tuple[Step, ...]) -> MountCase:
    return MountCase(name, _filesystem(name), Device(image), steps, point="damaged")


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


def _two_records() -> Image:
    """The same of HFS+, in nodes of 512 bytes: the thread of a directory, then the record of a file
    in it; another leaf follows."""
    return HfsPlusVolume(
        name="two",
        block_size=512,
        catalog_node_size=512,
        entries=(
            Directory(path="d"),
            *(File(path=path) for path in ("d/b", "d/c", "z")),
        ),
        records_per_node=2,
    ).image()
