"""initramfs archives in the cpio "newc" format, made without root and without a cpio program.

The same input gives the same bytes: inode numbers count up, times are 0, owners are root. Format:
Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Entry", "device", "directory", "file", "newc", "symlink"]

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """One member. `name` has no leading slash."""

    name: str
    # File type and permission bits, as in st_mode.
    mode: int
    data: bytes = b""
    # Major and minor of a device node.
    rdev: tuple[int, int] = (0, 0)


def directory(name: str) -> Entry:
    """A directory; `name` has no leading slash."""
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, data: bytes, *, mode: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(name, stat.S_IFREG | mode, data)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link to `target`."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def device(name: str, major: int, minor: int) -> Entry:
    """A character device."""
    return Entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))


def newc(entries: Iterable[Entry]) -> bytes:
    """The archive of `entries`, in their order, padded to 512 bytes."""
    out = bytearray()
    for number, entry in enumerate([*entries, Entry(_TRAILER, 0)]):
        name = entry.name.encode() + b"\0"
        fields = (
            number + 1 if entry.mode else 0,  # c_ino
            entry.mode,
            0,  # c_uid
            0,  # c_gid
            2 if stat.S_ISDIR(entry.mode) else 1,  # c_nlink
            0,  # c_mtime
            len(entry.data),  # c_filesize
            0,  # c_devmajor
            0,  # c_devminor
            *entry.rdev,
            len(name),  # c_namesize
            0,  # c_check
        )
        out += _MAGIC + b"".join(b"%08X" % value for value in fields) + name
        out += bytes(-len(out) % 4) + entry.data
        out += bytes(-len(out) % 4)
    return bytes(out + bytes(-len(out) % 512))
