"""Changes of an HFS+ catalog that a failing call breaks off: nothing of them is left, and they say
so (fs/hfsplus/catalog.c, xattr.c). By force: what these calls read is in memory already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from errpath.cases.case import Device, MountCase
from errpath.cases.crafted import ReadsBack
from errpath.cases.mounting import mount_step
from errpath.cases.steps import Step, Umount
from errpath.cases.volume_steps import (
    Mkdir,
    ReadBack,
    RemoveXattr,
    Rename,
    SetXattr,
    Unlink,
    WriteFile,
)
from errpath.faults.model import Call
from errpath.filesystems import load_filesystem
from errpath.images.hfs.entries import Directory, File
from errpath.images.hfs.expected import expected_entries
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
    mount = mount_step(load_filesystem("hfsplus"), "mount", "rw")
    for name, (step, call) in _BROKEN_OFF.items():
        failing = replace(step, fail=call, expect="EIO")
        yield MountCase(
            f"hfsplus-broken-off-{name}",
            "hfsplus",
            Device(volume.image()),
            (mount, failing, Umount(), mount, ReadBack(), Umount()),
            point="broken-off",
            checks=(ReadsBack(expected_entries(volume)),),
        )
