"""Changes of an HFS+ catalog that a failing call breaks off: nothing of them is left, and they say
so (fs/hfsplus/catalog.c, xattr.c). By force: what these calls read is in memory already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from errpath.cases.case import MountCase
from errpath.cases.steps import Step
from errpath.cases.volume_case import volume_case
from errpath.cases.volume_steps import (
    Mkdir,
    RemoveXattr,
    Rename,
    SetXattr,
    Unlink,
    WriteFile,
)
from errpath.faults.model import Call
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
    """One case for each change; another mount reads all of the volume."""
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
