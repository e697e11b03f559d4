"""What a volume shall hold: directories, files, links, by path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from errpath.errors import UsageError

__all__ = [
    "EPOCH",
    "Directory",
    "Entry",
    "File",
    "HardLink",
    "Symlink",
    "check_paths",
    "default_entries",
    "mac_date",
    "split_path",
]

# Seconds from 1904-01-01 to 1970-01-01: Apple's dates count from the former.
EPOCH = 2082844800


def mac_date(unix: int) -> int:
    """A date on disk from seconds since 1970. 0 stays 0, which means never."""
    return unix + EPOCH if unix else 0


@dataclass(frozen=True)
class _Named:
    # Components are separated by `/`; on the volume, `:` becomes `/`.
    path: str
    # Seconds since 1970; None takes the volume's date.
    created: int | None = None
    modified: int | None = None


@dataclass(frozen=True)
class Directory(_Named):
    """A directory. Directories on the way to an entry must be given before it."""

    # Permission bits; HFS has none.
    mode: int = 0o755


@dataclass(frozen=True)
class File(_Named):
    """A file with a data fork and a resource fork."""

    data: bytes = b""
    resource: bytes = b""
    # Extents of each fork; over 3 (HFS) or 8 (HFS+) need the extents overflow tree.
    fragments: int = 1
    resource_fragments: int = 1
    # Four MacRoman characters each.
    type: bytes = b"????"
    creator: bytes = b"????"
    # Permission bits; HFS has none.
    mode: int = 0o644
    # Extended attributes, kept in the attributes tree (HFS+).
    xattrs: tuple[tuple[str, bytes], ...] = ()

    def __post_init__(self) -> None:
        for code in (self.type, self.creator):
            if len(code) != 4:
                raise UsageError(f"{self.path}: {code!r} is no type or creator: expected 4 bytes")


@dataclass(frozen=True)
class Symlink(_Named):
    """A symbolic link (HFS+)."""

    target: str = ""


@dataclass(frozen=True)
class HardLink(_Named):
    """One more name of a file that is given before it (HFS+)."""

    # Path of the file.
    target: str = ""


Entry = Directory | File | Symlink | HardLink


def split_path(path: str) -> tuple[str, ...]:
    """The components of a path.

    Raises:
        UsageError: an empty component.
    """
    parts = tuple(path.split("/"))
    if not all(parts):
        raise UsageError(f"path {path!r}: expected names separated by single slashes")
    return parts


def default_entries() -> tuple[Entry, ...]:
    """A small tree: a directory, a file with data, a nested file with both forks."""
    return (
        Directory(path="folder"),
        File(path="folder/nested", data=b"nested\n" * 100, resource=b"resource fork\n"),
        File(path="readme", data=b"errpath\n", type=b"TEXT", creator=b"ttxt"),
    )


def check_paths(entries: Sequence[Entry]) -> None:
    """Refuse a tree whose entries stand before their directory.

    Raises:
        UsageError: a parent that is missing or no directory.
    """
    directories: set[tuple[str, ...]] = {()}
    for entry in entries:
        parts = split_path(entry.path)
        if parts[:-1] not in directories:
            raise UsageError(f"{entry.path}: expected the directory {'/'.join(parts[:-1])} before")
        if isinstance(entry, Directory):
            directories.add(parts)
