"""What was read back of a mounted volume, and how that differs from what was written."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from errpath.errors import InfrastructureError
from errpath.images.hfs.expected import ExpectedEntry
from errpath.util.errnos import errno_name

__all__ = ["ReadEntry", "differences", "parse_entries"]

_MOST = 5


@dataclass(frozen=True)
class ReadEntry:
    """One directory entry, as the guest read it."""

    # Below the mount point.
    path: bytes
    # st_mode, st_nlink; st_mtime in seconds since 1970; st_size in bytes.
    mode: int
    links: int
    mtime: int
    size: int
    # Of a symbolic link.
    target: bytes = b""
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)
    # Of a file, as far as the guest read it.
    data: bytes = b""
    # The first errno that stat, readlink or read gave here, and an attribute; 0 for none.
    errno: int = 0
    xattr_errno: int = 0


class _Reader:
    """The agent's records (guests/agent/walk.c): big-endian integers, bytes behind their length."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._blob)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._blob):
            raise InfrastructureError(
                f"what was read back ends at byte {len(self._blob)}; expected {end} or more"
            )
        data = self._blob[self._at : end]
        self._at = end
        return data

    def number(self, size: int = 4, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "big", signed=signed)

    def bytes(self) -> bytes:
        return self.take(self.number())


def parse_entries(blob: bytes) -> tuple[ReadEntry, ...]:
    """The entries of a volume, sorted by path.

    Raises:
        InfrastructureError: the report is cut off, as that of a task which was killed meanwhile.
    """
    reader = _Reader(blob)
    found = []
    while not reader.done:
        path = reader.bytes()
        mode, links = reader.number(), reader.number()
        mtime, size = reader.number(8, signed=True), reader.number(8)
        target = reader.bytes()
        xattrs = {reader.bytes(): reader.bytes() for _ in range(reader.number())}
        data = reader.bytes()
        errors = reader.number(), reader.number()
        found.append(ReadEntry(path, mode, links, mtime, size, target, xattrs, data, *errors))
    return tuple(sorted(found, key=lambda entry: entry.path))


def differences(
    found: Sequence[ReadEntry], expected: Iterable[ExpectedEntry], *, also: Sequence[bytes] = ()
) -> tuple[str, ...]:
    """One line for each entry that is not as it was written; the first few of them.

    `also` may be there: files of the volume itself, such as its journal.
    """
    here = {entry.path: entry for entry in found}
    wanted = {entry.path: entry for entry in expected}
    lines = [f"{_name(path)}: not there" for path in wanted if path not in here]
    lines += [f"{_name(path)}: was never written" for path in here if path not in (*wanted, *also)]
    if len(here) != len(found):
        lines.append("a name is listed twice")
    for path, entry in here.items():
        if path in wanted:
            lines += [f"{_name(path)}: {text}" for text in _entry(entry, wanted[path])]
    return tuple(lines[:_MOST])


def _entry(found: ReadEntry, want: ExpectedEntry) -> Iterable[str]:
    if found.errno:
        yield errno_name(found.errno)
        return
    pairs: list[tuple[str, object, object]] = [
        ("mode", oct(found.mode), oct(want.mode)),
        ("mtime", found.mtime, want.mtime),
        ("target", found.target, want.target),
    ]
    if want.links is not None:
        pairs.append(("links", found.links, want.links))
    if want.size is not None:
        pairs.append(("size", found.size, want.size))
    if stat.S_ISREG(want.mode):
        pairs.append(("data's SHA-256", hashlib.sha256(found.data).hexdigest(), want.sha256))
    wanted_xattrs = dict(want.xattrs)
    pairs += [
        (f"attribute {name.decode(errors='replace')}", found.xattrs.get(name), value)
        for name, value in wanted_xattrs.items()
    ]
    for what, got, expected in pairs:
        if got != expected:
            yield f"{what} {got!r}; expected {expected!r}"


def _name(path: bytes) -> str:
    return path.decode(errors="backslashreplace")
