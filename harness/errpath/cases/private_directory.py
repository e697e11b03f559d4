"""Mounts of HFS+ that look for the private metadata directory or make it, and lack what it takes
(hfsplus_fill_super() in fs/hfsplus/super.c)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from errpath.cases.case import Device, MountCase
from errpath.cases.mounting import mount_step
from errpath.cases.steps import Umount
from errpath.faults.model import Alloc, Call, Fault
from errpath.filesystems import load_filesystem
from errpath.images.crafted.catalogue import base_image

__all__ = ["private_directory_cases"]

_FAULTS: Mapping[str, Fault] = {
    # The first is the root directory's.
    "search": Call("hfsplus_find_init", "ENOMEM", nth=2),
    "inode": Alloc(nth=1, caller="hfsplus_new_inode"),
    # By force: it allocates only where a security module gives attributes.
    "security": Call("hfsplus_init_security", "ENOMEM"),
}


def private_directory_cases() -> Iterator[MountCase]:
    """One case for each failure; another mount then makes the directory."""
    fs = load_filesystem("hfsplus")
    for name, fault in _FAULTS.items():
        yield MountCase(
            f"hfsplus-private-directory-without-{name}",
            fs.name,
            Device(base_image("hfsplus-no-private")),
            (
                mount_step(fs, "mount", "rw", fail=fault, expect="ENOMEM"),
                mount_step(fs, "mount", "rw"),
                Umount(),
            ),
            point="private-directory",
        )
