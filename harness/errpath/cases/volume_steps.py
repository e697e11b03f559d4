"""Steps in what a case has mounted: files, directories, the whole filesystem.

Paths are below the mount point. guests/agent/volume.c and walk.c do the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from errpath.cases.steps import Step

__all__ = [
    "Fallocate",
    "Freeze",
    "Mkdir",
    "ReadBack",
    "Readdir",
    "Rename",
    "Statfs",
    "Sync",
    "Thaw",
    "Unlink",
    "Use",
    "WriteFile",
    "WriteProbe",
]

# linux/falloc.h
_FALLOCATE_MODES = {
    "keep-size": 0x01,
    "punch-hole": 0x03,
    "collapse-range": 0x08,
    "zero-range": 0x10,
    "insert-range": 0x20,
}


@dataclass(frozen=True)
class _Bounded(Step):
    """Works on everything there: with `any_errno`, the case goes on after an error."""

    @property
    def goes_on(self) -> bool:
        return self.any_errno or super().goes_on


@dataclass(frozen=True)
class ReadBack(_Bounded):
    """Read every entry, attribute and file of the volume, for checks such as `ReadsBack`."""

    op: ClassVar[str] = "walk"


@dataclass(frozen=True)
class WriteProbe(_Bounded):
    """Create, write, rename, link, append and remove; what fails of it is in the step's log."""

    op: ClassVar[str] = "scribble"


@dataclass(frozen=True)
class Use(Step):
    """statfs, lookups, reads, writes and syncfs; gives the first errno."""

    op: ClassVar[str] = "use"
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
class WriteFile(_OfPath):
    """Create or truncate a file of the volume and write it; an absolute path is a file of the
    guest, such as one of /proc, that exists."""

    op: ClassVar[str] = "write"
    data: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if "\0" in self.data:
            raise ValueError("data: got a NUL; expected text")

    def arguments(self) -> dict[str, Any]:
        return {"path": self.path, "data": self.data}


@dataclass(frozen=True)
class Mkdir(_OfPath):
    """mkdir(2)."""

    op: ClassVar[str] = "mkdir"


@dataclass(frozen=True)
class Unlink(_OfPath):
    """unlink(2), or rmdir(2) of a directory."""

    op: ClassVar[str] = "unlink"


@dataclass(frozen=True)
class Rename(_OfPath):
    """rename(2)."""

    op: ClassVar[str] = "rename"
    to: str

    def arguments(self) -> dict[str, Any]:
        return {"path": self.path, "to": self.to}


@dataclass(frozen=True)
class Readdir(Step):
    """getdents64(2) to the end of a directory, the root by default."""

    op: ClassVar[str] = "readdir"
    path: str = "."

    def arguments(self) -> dict[str, Any]:
        return {"path": self.path}


@dataclass(frozen=True)
class Fallocate(_OfPath):
    """fallocate(2) of a file, which is created where it is missing."""

    op: ClassVar[str] = "fallocate"
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


@dataclass(frozen=True)
class Statfs(Step):
    """statfs(2) of the mount point."""

    op: ClassVar[str] = "statfs"


@dataclass(frozen=True)
class Sync(Step):
    """syncfs(2) of what is mounted."""

    op: ClassVar[str] = "syncfs"


@dataclass(frozen=True)
class Freeze(Step):
    """FIFREEZE of what is mounted."""

    op: ClassVar[str] = "freeze"


@dataclass(frozen=True)
class Thaw(Step):
    """FITHAW of what is mounted."""

    op: ClassVar[str] = "thaw"
