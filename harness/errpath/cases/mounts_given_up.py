"""Mounts of HFS+ that are given up where no crafted image and no point of a sweep says by which
errno, or with what in hand (fs/hfsplus/super.c, wrapper.c, btree.c, bnode.c)."""

from __future__ import annotations

from collections.abc import Iterator

from errpath.cases.case import Device, MountCase
from errpath.cases.mounting import mount_step
from errpath.cases.steps import Umount
from errpath.faults.model import Alloc, Call, Fault
from errpath.filesystems import load_filesystem
from errpath.images import Image
from errpath.images.crafted.catalogue import base_image
from errpath.images.crafted.fields import read_field, write_fields
from errpath.images.hfs.hfs import wrapper
from errpath.images.hfs.hfsplus import HfsPlusVolume

__all__ = ["given_up_cases"]

_NAME = "hfsplus"
_SECTOR = 512
# Of a wrapper's MDB: sector, and bytes of drAtrb.
_MDB, _ATTRIBUTES = 2, (10, 12)
# What fails while a volume with an attributes file is mounted, and the errno.
_FAILING: dict[str, tuple[Fault, str]] = {
    # The first is the one that is kept; the second is for the names of the volume.
    "no-utf8": (Call("load_nls", "NULL", nth=2), "EINVAL"),
    # The first allocation below it is the dentry.
    "no-root-dentry": (Alloc(nth=1, caller="d_make_root"), "ENOMEM"),
    # By force: the name of the private metadata directory always fits.
    "no-key": (Call("hfsplus_cat_build_key", caller="hfsplus_fill_super"), "EIO"),
}


def given_up_cases() -> Iterator[MountCase]:
    """One case for each failure, after which the volume mounts, and for each volume."""
    fs = load_filesystem(_NAME)
    for name, (fault, errno) in _FAILING.items():
        steps = (
            mount_step(fs, "mount", "rw", fail=fault, expect=errno),
            mount_step(fs, "mount", "rw"),
            Umount(),
        )
        device = Device(base_image("hfsplus-attributes"))
        yield MountCase(f"{_NAME}-given-up-{name}", _NAME, device, steps, point="given-up")
    for name, device in (
        ("wrapper-in-a-wrapper", Device(_wrapped_twice())),
        ("blocks-of-half-a-sector", Device(_blocks(2048), block_size=4096)),
        ("header-node-height", Device(_header_node_height())),
        ("catalog-of-extents-in-the-tree", Device(_catalog_in_the_tree())),
    ):
        refused = mount_step(fs, "mount", "rw", expect="EINVAL")
        yield MountCase(f"{_NAME}-given-up-{name}", _NAME, device, (refused,), point="given-up")


def _blocks(size: int) -> Image:
    return HfsPlusVolume(name=f"blocks-{size}", block_size=size, free_blocks=32).image()


def _wrapped_twice() -> Image:
    """A wrapper, and in its place for the volume a second MDB that does not say that it is one.
    Where the first one's fields are taken for it once more, there is a volume."""
    inner = base_image("hfsplus")
    outer = wrapper(inner)
    image = outer.image()
    data = image.to_bytes()
    start = data.index(inner.to_bytes()[2 * _SECTOR : 3 * _SECTOR]) - 2 * _SECTOR
    mdb = bytearray(data[_MDB * _SECTOR : (_MDB + 1) * _SECTOR])
    mdb[slice(*_ATTRIBUTES)] = bytes(2)
    second = data[start : start + inner.size]
    size = max(image.size, 2 * start + inner.size)
    whole = Image.of("wrapper-in-a-wrapper", size, [(0, data)])
    return whole.patched_all([(2 * start, second), (start + _MDB * _SECTOR, bytes(mdb))])


def _header_node_height() -> Image:
    return write_fields(
        base_image(_NAME), {"catalog.node[0].descriptor.height": 1}, name="header-node-height"
    )


def _catalog_in_the_tree() -> Image:
    """The volume header names no extent of the catalog; the extents tree has them, from the first
    on, which is never asked."""
    base = base_image("hfsplus-fragmented")
    parts = ("startBlock", "blockCount")
    first = {part: read_field(base, f"vh.catalogFile.extents[0].{part}") for part in parts}
    record = "extents.node[1].record[0]"
    return write_fields(
        base,
        {
            f"{record}.key.fileID": 4,
            f"{record}.key.startBlock": 0,
            **{f"{record}.data.extents[0].{part}": value for part, value in first.items()},
            **{f"vh.catalogFile.extents[0].{part}": 0 for part in first},
        },
        name="catalog-of-extents-in-the-tree",
    )
