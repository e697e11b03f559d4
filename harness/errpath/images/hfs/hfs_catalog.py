"""Catalog and extents records of an HFS volume (Inside Macintosh: Files, chapter 2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from errpath.errors import UsageError
from errpath.images.hfs import macroman
from errpath.images.hfs.blocks import Extent
from errpath.images.hfs.btree import Record
from errpath.images.hfs.entries import Directory, Entry, File, mac_date, split_path
from errpath.images.hfs.formats import (
    HFS_CATALOG_KEY,
    HFS_DIRECTORY,
    HFS_EXTENT_KEY,
    HFS_EXTENT_RECORD,
    HFS_FILE,
    HFS_THREAD,
)
from errpath.images.hfs.layout import Value

__all__ = [
    "BAD_BLOCKS",
    "CATALOG",
    "FIRST_USER",
    "ROOT",
    "Fork",
    "Item",
    "Style",
    "catalog_key",
    "catalog_records",
    "extent_key",
    "extent_values",
    "identify",
    "overflow_records",
]

# CNIDs: the root directory and its parent, the catalog, the file of bad blocks, and the first of
# users' files.
ROOT_PARENT, ROOT, CATALOG, BAD_BLOCKS, FIRST_USER = 1, 2, 4, 5, 16

# cdrType
_DIRECTORY, _FILE, _DIRECTORY_THREAD, _FILE_THREAD = 1, 2, 3, 4
# filFlags: the record is in use; a file thread exists.
_USED, _HAS_THREAD = 0x80, 0x02


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


def catalog_key(parent: int, name: bytes) -> bytes:
    """A catalog key as a leaf holds it: no longer than its name, padded to even length."""
    head = HFS_CATALOG_KEY.pack({"ckrKeyLen": 6 + len(name), "ckrParID": parent})[:6]
    return _even(head + bytes([len(name)]) + name)


def extent_key(cnid: int, fork: int, start: int) -> bytes:
    """An extents key; `fork` is 0 (data) or 0xFF (resource), `start` counts the fork's blocks."""
    return HFS_EXTENT_KEY.pack(
        {"xkrKeyLen": 7, "xkrFkType": fork, "xkrFNum": cnid, "xkrFABN": start}
    )


def extent_values(prefix: str, extents: Iterable[Extent]) -> dict[str, Value]:
    """Extents as fields of an array of extent descriptors."""
    values: dict[str, Value] = {}
    for number, (start, count) in enumerate(extents):
        values[f"{prefix}[{number}].xdrStABN"] = start
        values[f"{prefix}[{number}].xdrNumABlks"] = count
    return values


@dataclass(frozen=True)
class Item:
    """An entry with its identity."""

    entry: Directory | File
    cnid: int
    parent: int
    name: bytes
    # Number of entries inside, of a directory.
    valence: int = 0


@dataclass(frozen=True)
class Fork:
    """The content of a fork and where it lies."""

    cnid: int
    # xkrFkType
    type: int
    data: bytes
    extents: tuple[Extent, ...]


@dataclass(frozen=True)
class Style:
    """What the whole volume decides about its records."""

    # Seconds since 1970, of what gives no date.
    date: int
    # Bytes of an allocation block.
    block_size: int
    # With file threads.
    file_threads: bool


def identify(entries: Sequence[Entry], *, volume_name: str) -> list[Item]:
    """Every entry with its CNID, the root directory first.

    Raises:
        UsageError: HFS does not distinguish two names of a directory.
    """
    root = Directory(path="")
    name = macroman.encode_name(volume_name, limit=27)
    cnids: dict[tuple[str, ...], int] = {(): ROOT}
    items = [Item(entry=root, cnid=ROOT, parent=ROOT_PARENT, name=name)]
    valence: dict[int, int] = {}
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for cnid, entry in enumerate(entries, start=FIRST_USER):
        parts = split_path(entry.path)
        parent = cnids[parts[:-1]]
        encoded = macroman.encode_name(parts[-1])
        key = (parent, macroman.sort_key(encoded))
        if key in seen:
            raise UsageError(
                f"{entry.path}: expected a name that HFS distinguishes from the others"
            )
        seen.add(key)
        cnids[parts] = cnid
        valence[parent] = valence.get(parent, 0) + 1
        assert isinstance(entry, Directory | File)
        items.append(Item(entry=entry, cnid=cnid, parent=parent, name=encoded))
    return [replace(item, valence=valence.get(item.cnid, 0)) for item in items]


def overflow_records(forks: Iterable[Fork]) -> list[Record]:
    """The records of the extents tree: what a file's own three extents do not hold."""
    records: list[tuple[tuple[int, int, int], Record]] = []
    for fork in forks:
        # The file of bad blocks has no catalog record that could hold any.
        held = 0 if fork.cnid == BAD_BLOCKS else 3
        start = sum(count for _, count in fork.extents[:held])
        for first in range(held, len(fork.extents), 3):
            group = fork.extents[first : first + 3]
            key = extent_key(fork.cnid, fork.type, start)
            data = HFS_EXTENT_RECORD.pack(extent_values("extent", group))
            records.append(((fork.cnid, fork.type, start), (key, data)))
            start += sum(count for _, count in group)
    return [record for _, record in sorted(records)]


def catalog_records(items: Iterable[Item], forks: Iterable[Fork], style: Style) -> list[Record]:
    """The catalog's records in key order: thread, directory and file records (fs/hfs/hfs.h)."""
    by_file = {(fork.cnid, fork.type): fork for fork in forks}
    records: list[tuple[tuple[int, tuple[int, ...]], Record]] = []
    for item in items:
        created = mac_date(item.entry.created if item.entry.created is not None else style.date)
        modified = mac_date(item.entry.modified if item.entry.modified is not None else style.date)
        thread = _DIRECTORY_THREAD
        if isinstance(item.entry, Directory):
            data = HFS_DIRECTORY.pack(
                {
                    "cdrType": _DIRECTORY,
                    "dirVal": item.valence,
                    "dirDirID": item.cnid,
                    "dirCrDat": created,
                    "dirMdDat": modified,
                }
            )
        else:
            thread = _FILE_THREAD
            data = _file_record(style, item, item.entry, by_file, created, modified)
        place = (item.parent, macroman.sort_key(item.name))
        records.append((place, (catalog_key(item.parent, item.name), data)))
        if thread == _DIRECTORY_THREAD or style.file_threads:
            name = bytes([len(item.name)]) + item.name
            data = HFS_THREAD.pack({"cdrType": thread, "thdParID": item.parent})[:14] + name
            record = (catalog_key(item.cnid, b""), data.ljust(HFS_THREAD.size, b"\0"))
            records.append(((item.cnid, ()), record))
    return [record for _, record in sorted(records, key=lambda pair: pair[0])]


def _file_record(
    style: Style,
    item: Item,
    entry: File,
    forks: dict[tuple[int, int], Fork],
    created: int,
    modified: int,
) -> bytes:
    data, resource = forks[item.cnid, 0x00], forks[item.cnid, 0xFF]
    values: dict[str, Value] = {
        "cdrType": _FILE,
        "filFlags": _USED | (_HAS_THREAD if style.file_threads else 0),
        "filUsrWds.fdType": int.from_bytes(entry.type, "big"),
        "filUsrWds.fdCreator": int.from_bytes(entry.creator, "big"),
        "filFlNum": item.cnid,
        "filLgLen": len(data.data),
        "filPyLen": sum(count for _, count in data.extents) * style.block_size,
        "filRLgLen": len(resource.data),
        "filRPyLen": sum(count for _, count in resource.extents) * style.block_size,
        "filCrDat": created,
        "filMdDat": modified,
    }
    values |= extent_values("filExtRec", data.extents[:3])
    values |= extent_values("filRExtRec", resource.extents[:3])
    return HFS_FILE.pack(values)
