"""Steps in what a case has mounted: files, directories, the whole filesystem.

Paths are below the mount point. guests/agent/volume.c and walk.c do the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from errpath.cases.steps import Step

__all__ = [
    "AppendFile",
    "Fallocate",
    "Freeze",
    "Fsync",
    "GetXattr",
    "Keep",
    "ListXattr",
    "Mkdir",
    "ReadBack",
    "ReadFile",
    "Readdir",
    "RemoveXattr",
    "Rename",
    "Restore",
    "SetXattr",
    "Stat",
    "Statfs",
    "Sync",
    "SyncAll",
    "Thaw",
    "Truncate",
    "Unlink",
    "Use",
    "WriteFile",
    "WriteProbe",
]

# Bytes; a direct write of less is refused by most devices.
_SECTOR = 512

# linux/xattr.h
_XATTR_FLAGS = {"": 0, "create": 1, "replace": 2}
# linux/falloc.h
_FALLOCATE_MODES = {
    "keep-size": 0x01,
    "punch-hole": 0x03,
    "collapse-range": 0x08,
    "zero-range": 0x10,
    "insert-range": 0x20,
}


class _Bounded(Step):
    """Works on everything there: with `any_errno`, the case goes on after an error."""

    @property
    def goes_on(self) -> bool:
        return self.any_errno or super().goes_on


class ReadBack(_Bounded, op="readback"):
    """Read every entry, attribute and file of the volume, for checks such as `ReadsBack`."""


class WriteProbe(_Bounded, op="probe"):
    """Create, write, rename, link, append and remove; what fails of it is in the step's log."""


@dataclass(frozen=True)
class Use(Step, op="use"):
    """statfs, lookups, reads, writes and syncfs; gives the first errno."""

    # Nothing is written.
    readonly: bool = False

    def arguments(self) -> dict[str, Any]:
        return {"flags": ["ro"] if self.readonly else []}


@dataclass(frozen=True)
class _OfPath(Step):
    path: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.path or "\0" in self.path:
            raise ValueError(f"path: got {self.path!r}; expected a path below the mount point")

    @property
    def subject(self) -> str:
        return self.path

    def arguments(self) -> dict[str, Any]:
        return {"path": self.path}


@dataclass(frozen=True)
class _Writing(_OfPath):
    data: str
    # By direct I/O (O_DIRECT): whole sectors, past the page cache.
    direct: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if "\0" in self.data:
            raise ValueError("data: got a NUL; expected text")
        if self.direct and (not self.data or len(self.data.encode()) % _SECTOR):
            raise ValueError(f"data: got {len(self.data)} bytes; expected sectors of {_SECTOR}")

    def arguments(self) -> dict[str, Any]:
        direct = {"direct": True} if self.direct else {}
        return {"path": self.path, "data": self.data, **direct}


@dataclass(frozen=True)
class WriteFile(_Writing, op="write"):
    """Create or truncate a file of the volume and write it; an absolute path is a file of the
    guest, such as one of /proc, that exists."""


@dataclass(frozen=True)
class AppendFile(_Writing, op="append"):
    """Write behind the end of a file that exists."""


@dataclass(frozen=True)
class Truncate(_OfPath, op="truncate"):
    """truncate(2) of a file that exists."""

    # Bytes.
    length: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 0:
            raise ValueError(f"length: got {self.length}; expected bytes")

    def arguments(self) -> dict[str, Any]:
        return {"path": self.path, "length": self.length}


class Fsync(_OfPath, op="fsync"):
    """fsync(2) of a file or directory, opened for reading: a remount read-only goes by. What it
    gives says whether all of it is on the device."""


@dataclass(frozen=True)
class ReadFile(_OfPath, op="read"):
    """Read a file of the volume: EBADMSG where it does not hold `data` and nothing else."""

    data: str

    def arguments(self) -> dict[str, Any]:
        return {"path": self.path, "data": self.data}


@dataclass(frozen=True)
class _OfAttribute(_OfPath):
    # With its prefix, such as `user.errpath`.
    attribute: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if "." not in self.attribute or "\0" in self.attribute:
            raise ValueError(f"attribute: got {self.attribute!r}; expected a name such as user.x")

    @property
    def subject(self) -> str:
        return f"{self.path} {self.attribute}"

    def arguments(self) -> dict[str, Any]:
        return {"path": self.path, "attribute": self.attribute}


@dataclass(frozen=True)
class SetXattr(_OfAttribute, op="setxattr"):
    """lsetxattr(2): an extended attribute, and not what a symbolic link leads to."""

    value: str
    # "create": fails with EEXIST where it is there; "replace": with ENODATA where it is not.
    how: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.how not in _XATTR_FLAGS:
            raise ValueError(f"how: got {self.how!r}; expected create or replace")
        if "\0" in self.value:
            raise ValueError("value: got a NUL; expected text")

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"value": self.value, "flags": _XATTR_FLAGS[self.how]}


@dataclass(frozen=True)
class GetXattr(_OfAttribute, op="getxattr"):
    """lgetxattr(2), without a buffer and with one: EBADMSG where that is not `value`."""

    value: str = ""

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"value": self.value}


class RemoveXattr(_OfAttribute, op="removexattr"):
    """lremovexattr(2)."""


@dataclass(frozen=True)
class ListXattr(_OfPath, op="listxattr"):
    """llistxattr(2), without a buffer and with one: EBADMSG where those are not just these
    attributes."""

    attributes: tuple[str, ...] = ()

    def arguments(self) -> dict[str, Any]:
        return {"path": self.path, "attributes": list(self.attributes)}


class Mkdir(_OfPath, op="mkdir"):
    """mkdir(2)."""


class Stat(_OfPath, op="stat"):
    """lstat(2): a lookup."""


class Unlink(_OfPath, op="unlink"):
    """unlink(2), or rmdir(2) of a directory."""


@dataclass(frozen=True)
class Rename(_OfPath, op="rename"):
    """rename(2)."""

    to: str

    def arguments(self) -> dict[str, Any]:
        return {"path": self.path, "to": self.to}


@dataclass(frozen=True)
class Readdir(Step, op="readdir"):
    """getdents64(2) to the end of a directory, the root by default."""

    path: str = "."

    def arguments(self) -> dict[str, Any]:
        return {"path": self.path}


@dataclass(frozen=True)
class Fallocate(_OfPath, op="fallocate"):
    """fallocate(2) of a file, which is created where it is missing."""

    # Bytes.
    length: int
    offset: int = 0
    # "" allocates; "keep-size", "punch-hole", "collapse-range", "zero-range", "insert-range".
    mode: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode and self.mode not in _FALLOCATE_MODES:
            known = ", ".join(_FALLOCATE_MODES)
            raise ValueError(f"mode: got {self.mode!r}; expected one of: {known}")
        if self.length < 1 or self.offset < 0:
            raise ValueError(f"length: got {self.length} at {self.offset}; expected bytes")

    def arguments(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "length": self.length,
            "offset": self.offset,
            "mode": _FALLOCATE_MODES.get(self.mode, 0),
        }


class Statfs(Step, op="statfs"):
    """statfs(2) of the mount point."""


class Sync(Step, op="syncfs"):
    """syncfs(2) of what is mounted."""


class SyncAll(Step, op="sync"):
    """sync(2): all superblocks, of which the task holds none open. It cannot fail."""


class Keep(Step, op="keep"):
    """Keep what the case's device holds now."""


class Restore(Step, op="restore"):
    """Write back to the device what `Keep` kept, as if power had been lost then; the device must
    not be in use."""


class Freeze(Step, op="freeze"):
    """FIFREEZE of what is mounted."""


class Thaw(Step, op="thaw"):
    """FITHAW of what is mounted."""
