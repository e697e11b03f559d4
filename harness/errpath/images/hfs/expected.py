"""What Linux shows of a volume that we wrote: names, sizes, contents, modes, dates.

For comparing with what a guest reads back. HFS is taken as mounted without codepage and iocharset,
which shows MacRoman bytes as they are; HFS+ as mounted with nls=utf8, which composes names, so that
entries must have been given composed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from errpath.images.hfs.entries import Directory, Entry, File, HardLink, Symlink
from errpath.images.hfs.hfs import HfsVolume
from errpath.images.hfs.hfsplus import HfsPlusVolume

__all__ = ["ExpectedEntry", "expected_entries", "expected_hfs", "expected_hfsplus"]

_S_IFDIR, _S_IFREG, _S_IFLNK = 0o040000, 0o100000, 0o120000
# HFS has no modes: fs/hfs takes 0777 without the masks 022 (directories) and 0133 (files).
_HFS_DIRECTORY, _HFS_FILE = _S_IFDIR | 0o755, _S_IFREG | 0o644


@dataclass(frozen=True)
class ExpectedEntry:
    """One directory entry, as stat(2) and read(2) give it."""

    # Below the mount point.
    path: bytes
    # st_mode
    mode: int
    # Seconds since 1970.
    mtime: int
    # st_nlink; None for directories, whose number says nothing.
    links: int | None = None
    # Bytes of the data fork, or of a symbolic link's target; None for directories.
    size: int | None = None
    # SHA-256 of the data fork, in hex; empty for others than files.
    sha256: str = ""
    # Of a symbolic link.
    target: bytes = b""
    # Extended attributes that must be there, by name; others may be.
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


def expected_entries(volume: HfsVolume | HfsPlusVolume) -> tuple[ExpectedEntry, ...]:
    """Every entry of a volume, sorted by path."""
    return expected_hfs(volume) if isinstance(volume, HfsVolume) else expected_hfsplus(volume)


def _file(
    path: bytes,
    entry: File,
    mtime: int,
    *,
    mode: int,
    xattrs: tuple[tuple[bytes, bytes], ...],
    links: int = 1,
) -> ExpectedEntry:
    return ExpectedEntry(
        path=path,
        mode=mode,
        mtime=mtime,
        links=links,
        size=len(entry.data),
        sha256=hashlib.sha256(entry.data).hexdigest(),
        xattrs=xattrs,
    )


def _mtime(entry: Entry, default: int) -> int:
    return default if entry.modified is None else entry.modified


def expected_hfs(volume: HfsVolume) -> tuple[ExpectedEntry, ...]:
    """Every entry of an HFS volume, sorted by path."""

    def entries() -> Iterator[ExpectedEntry]:
        for entry in volume.entries:
            path = entry.path.encode("mac_roman")
            mtime = _mtime(entry, volume.date)
            if isinstance(entry, File):
                xattrs = ((b"hfs.type", entry.type), (b"hfs.creator", entry.creator))
                yield _file(path, entry, mtime, mode=_HFS_FILE, xattrs=xattrs)
            else:
                yield ExpectedEntry(path=path, mode=_HFS_DIRECTORY, mtime=mtime)

    return tuple(sorted(entries(), key=lambda entry: entry.path))


def expected_hfsplus(volume: HfsPlusVolume) -> tuple[ExpectedEntry, ...]:
    """Every entry of an HFS+ volume, sorted by path.

    The private metadata directory does not show; the files of a journal do, and are left out here.
    """
    files = {entry.path: entry for entry in volume.entries if isinstance(entry, File)}
    links = [entry.target for entry in volume.entries if isinstance(entry, HardLink)]

    def entries() -> Iterator[ExpectedEntry]:
        for entry in volume.entries:
            path = entry.path.encode()
            mtime = _mtime(entry, volume.date)
            if isinstance(entry, Directory):
                yield ExpectedEntry(path=path, mode=_S_IFDIR | entry.mode, mtime=mtime)
            elif isinstance(entry, Symlink):
                target = entry.target.encode()
                yield ExpectedEntry(
                    path=path,
                    mode=_S_IFLNK | 0o755,
                    mtime=mtime,
                    links=1,
                    size=len(target),
                    target=target,
                )
            else:
                # All names of a file show that file.
                name = entry.target if isinstance(entry, HardLink) else entry.path
                file = files[name]
                count = links.count(name)
                yield _file(
                    path,
                    file,
                    _mtime(file, volume.date),
                    mode=_S_IFREG | file.mode,
                    xattrs=tuple((name.encode(), value) for name, value in file.xattrs),
                    links=count + 1 if count else 1,
                )

    return tuple(sorted(entries(), key=lambda entry: entry.path))
