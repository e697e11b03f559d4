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
    Unlink,
    WriteFile,
)
from errpath.faults.model import Call, Read
from errpath.images import Image
from errpath.images.hfs.entries import Directory, File
from errpath.images.hfs.hfsplus import HfsPlusVolume

__all__ = ["broken_off_cases"]

_FIRST = "user.first"
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
    that is written back, one of a thread that stays, and one of blocks that are given back."""
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
        "bitmap",
        # Without an attributes file, which is looked into first. The blocks of a file that is gone
        # stay in use.
        HfsPlusVolume(name="bitmap", entries=(File(path="file", data=b"errpath\n"),)).image(),
        (Unlink("file", fail=Read(nth=1), expect=""),),
        (ReadFile("file", data="", expect="ENOENT"),),
    )


def _case(name: str, image: Image, *mounts: tuple[Step, ...]) -> MountCase:
    return MountCase(
        f"hfsplus-broken-off-{name}",
        "hfsplus",
        Device(image),
        in_turn("hfsplus", mounts),
        point="broken-off",
    )
