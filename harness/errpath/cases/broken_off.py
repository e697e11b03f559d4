"""Changes of an HFS+ catalog that a failing call breaks off: nothing of them is left, and they say
so (fs/hfsplus/catalog.c, xattr.c). By force: what these calls read is in memory already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Step
from errpath.cases.volume_case import in_turn, volume_case
from errpath.cases.volume_steps import (
    AppendFile,
    Fsync,
    Mkdir,
    ReadFile,
    RemoveXattr,
    Rename,
    SetXattr,
    Sync,
    Unlink,
    WriteFile,
)
from errpath.faults.model import Call, Read
from errpath.images import Image
from errpath.images.crafted.fields import write_fields
from errpath.images.hfs.entries import Directory, File
from errpath.images.hfs.hfsplus import HfsPlusVolume

__all__ = ["broken_off_cases"]

_FIRST = "user.first"
_SECTOR = 512
# Blocks that a page of the bitmap is for, and how many of its last ones are free.
_PAGE_BITS = 8 * 4096
_LAST_BLOCKS = 16
# A change, and the call below a function of fs/hfsplus that fails in it.
_BROKEN_OFF: dict[str, tuple[Step, Call]] = {
    "create-thread": (
        WriteFile("new", data=""),
        Call("hfsplus_brec_insert", caller="hfsplus_create_cat"),
    ),
    "create-record": (
        WriteFile("new", data=""),
        Call("hfsplus_brec_insert", nth=2, caller="hfsplus_create_cat"),
    ),
    "mkdir-record": (
        Mkdir("new"),
        Call("hfsplus_brec_insert", nth=2, caller="hfsplus_create_cat"),
    ),
    "unlink-reserve": (
        Unlink("file"),
        Call("hfsplus_bmap_reserve", caller="hfsplus_delete_cat"),
    ),
    "unlink-search": (
        Unlink("file"),
        Call("hfsplus_brec_find", caller="hfsplus_delete_cat"),
    ),
    "unlink-record": (
        Unlink("file"),
        Call("hfsplus_brec_remove", caller="hfsplus_delete_cat"),
    ),
    "rmdir-record": (
        Unlink("directory"),
        Call("hfsplus_brec_remove", caller="hfsplus_delete_cat"),
    ),
    "rename-record": (
        Rename("file", "renamed"),
        Call("hfsplus_brec_insert", caller="hfsplus_rename_cat"),
    ),
    "setxattr-search": (
        SetXattr("file", _FIRST, "2"),
        Call("hfsplus_find_cat", caller="hfsplus_setxattr"),
    ),
    "removexattr-search": (
        RemoveXattr("file", _FIRST),
        Call("hfsplus_find_cat", caller="hfsplus_setxattr"),
    ),
}


def broken_off_cases() -> Iterator[MountCase]:
    """One case for each change, after which another mount reads all of the volume; one of an inode
    that is written back, two of a thread that stays, and two of blocks that are given back."""
    volume = HfsPlusVolume(
        name="broken-off",
        entries=(
            Directory(path="directory"),
            File(
                path="file",
                data=b"errpath\n",
                type=bytes(4),
                creator=bytes(4),
                xattrs=((_FIRST, b"1"),),
            ),
        ),
    )
    for name, (step, call) in _BROKEN_OFF.items():
        failing = replace(step, fail=call, expect="EIO")
        yield volume_case(f"hfsplus-broken-off-{name}", volume, ((failing,),), point="broken-off")
    yield _case(
        "written-back-search",
        volume.image(),
        # An inode whose record is not found is not written back, and nothing is said; the next time
        # it is.
        (
            WriteFile("file", data="text"),
            Fsync(
                "file",
                fail=Call("hfsplus_find_cat", caller="hfsplus_cat_write_inode"),
                expect="",
            ),
            AppendFile("file", data="text"),
            Fsync("file"),
        ),
        (ReadFile("file", data="texttext"),),
    )
    yield _case(
        "unlink-thread-search",
        volume.image(),
        # The record of the file is gone, and its thread is not.
        (
            Unlink(
                "file",
                fail=Call("hfsplus_brec_find", nth=2, caller="hfsplus_delete_cat"),
                expect="EIO",
            ),
        ),
        (ReadFile("file", data="", expect="ENOENT"), Unlink("directory")),
    )
    yield _case(
        "unlink-thread-record",
        # The thread of the file stays, and so does what the directory has counted.
        volume.with_file("directory/file", data=b"").image(),
        (
            Unlink(
                "directory/file",
                fail=Call("hfsplus_brec_remove", nth=2, caller="hfsplus_delete_cat"),
                expect="EIO",
            ),
            Unlink("directory", expect="ENOTEMPTY"),
        ),
        (ReadFile("directory/file", data="", expect="ENOENT"),),
    )
    yield _case(
        "bitmap",
        # Without an attributes file, which is looked into first. The blocks of a file that is gone
        # stay in use.
        HfsPlusVolume(name="bitmap", entries=(File(path="file", data=b"errpath\n"),)).image(),
        (Unlink("file", fail=Read(nth=1), expect=""),),
        (ReadFile("file", data="", expect="ENOENT"),),
    )
    yield _case(
        "bitmap-second-page",
        _two_pages(),
        # The file ends behind the blocks of the first page, of which each block is read by itself.
        (WriteFile("file", data="f" * (2 * _LAST_BLOCKS * _SECTOR)), Sync()),
        (Unlink("file", fail=Read(nth=1 + 4096 // _SECTOR), expect=""),),
    )


def _two_pages() -> Image:
    """A bitmap of two pages: of the blocks of the first one, only the last are free."""
    volume = HfsPlusVolume(name="pages", block_size=_SECTOR, free_blocks=_PAGE_BITS)
    used = _PAGE_BITS - _LAST_BLOCKS
    # The first bytes are those of the volume's own blocks.
    full = {f"bitmap[{byte}]": 0xFF for byte in range(used // 8)}
    return write_fields(volume.image(), full, name="pages")


def _case(name: str, image: Image, *mounts: tuple[Step, ...]) -> MountCase:
    return MountCase(
        f"hfsplus-broken-off-{name}",
        "hfsplus",
        Device(image),
        in_turn("hfsplus", mounts),
        point="broken-off",
    )
