"""Catalog, extents and attributes records of an HFS+ volume (TN1150)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from errpath.images.hfs import unistr
from errpath.images.hfs.blocks import Extent
from errpath.images.hfs.btree import Record
from errpath.images.hfs.entries import Directory, File, HardLink, Symlink, mac_date
from errpath.images.hfs.formats import (
    ATTRIBUTE_FORK,
    ATTRIBUTE_INLINE,
    HFSPLUS_ATTRIBUTE_KEY,
    HFSPLUS_CATALOG_KEY,
    HFSPLUS_EXTENT_KEY,
    HFSPLUS_EXTENT_RECORD,
    HFSPLUS_FILE,
    HFSPLUS_FOLDER,
    HFSPLUS_THREAD,
)
from errpath.images.hfs.hfsplus_items import Item
from errpath.images.hfs.layout import Value

__all__ = [
    "MAX_INLINE",
    "Fork",
    "Style",
    "attribute_key",
    "attribute_records",
    "catalog_key",
    "catalog_records",
    "extent_key",
    "fork_values",
    "overflow_records",
    "utf16",
]

_FOLDER, _FILE, _FOLDER_THREAD, _FILE_THREAD = 1, 2, 3, 4
# flags of catalog records
_THREAD_EXISTS, _HAS_ATTRIBUTES, _HAS_FOLDER_COUNT, _HAS_LINK_CHAIN = 0x02, 0x04, 0x10, 0x20
# Finder flags: invisible, name locked.
_HIDDEN = 0x4000 | 0x1000
_S_IFDIR, _S_IFREG, _S_IFLNK = 0o040000, 0o100000, 0o120000
# recordType of attributes
_ATTRIBUTE_INLINE, _ATTRIBUTE_FORK = 0x10, 0x20
# Bytes of an attribute that is kept in its record (fs/hfsplus: HFSPLUS_MAX_INLINE_DATA_SIZE).
MAX_INLINE = 3802


def utf16(units: Sequence[int]) -> bytes:
    """UTF-16 code units as on disk."""
    return b"".join(unit.to_bytes(2, "big") for unit in units)


def catalog_key(parent: int, name: Sequence[int]) -> bytes:
    """A catalog key; keys are no longer than their names."""
    head = HFSPLUS_CATALOG_KEY.pack(
        {"keyLength": 6 + 2 * len(name), "parentID": parent, "nodeName.length": len(name)}
    )
    return head + utf16(name)


def extent_key(cnid: int, fork: int, start: int) -> bytes:
    """An extents key; `fork` is 0 (data) or 0xFF (resource), `start` counts the fork's blocks."""
    return HFSPLUS_EXTENT_KEY.pack(
        {"keyLength": 10, "forkType": fork, "fileID": cnid, "startBlock": start}
    )


def attribute_key(cnid: int, name: Sequence[int]) -> bytes:
    """An attributes key of the attribute's first record."""
    head = HFSPLUS_ATTRIBUTE_KEY.pack(
        {"keyLength": 12 + 2 * len(name), "fileID": cnid, "attrNameLen": len(name)}
    )
    return head + utf16(name)


@dataclass(frozen=True)
class Fork:
    """The content of a fork and where it lies."""

    data: bytes
    extents: tuple[Extent, ...]

    @property
    def blocks(self) -> int:
        """Allocation blocks."""
        return sum(count for _, count in self.extents)


def fork_values(
    prefix: str, fork: Fork, *, clump: int = 0, size: int | None = None
) -> dict[str, Value]:
    """HFSPlusForkData of this fork, its first eight extents, under a field's name.

    Args:
        clump: bytes.
        size: the logical size in bytes where `data` does not give it.
    """
    values: dict[str, Value] = {
        f"{prefix}.logicalSize": len(fork.data) if size is None else size,
        f"{prefix}.clumpSize": clump,
        f"{prefix}.totalBlocks": fork.blocks,
    }
    for number, (start, count) in enumerate(fork.extents[:8]):
        values[f"{prefix}.extents[{number}].startBlock"] = start
        values[f"{prefix}.extents[{number}].blockCount"] = count
    return values


def _thread(kind: int, item: Item) -> bytes:
    head = HFSPLUS_THREAD.pack(
        {"recordType": kind, "parentID": item.parent, "nodeName.length": len(item.name)}
    )
    return head + utf16(item.name)


@dataclass(frozen=True)
class Style:
    """What the whole volume decides about its records."""

    # Date on disk of what gives none, and of the volume itself.
    date: int
    # HFSX keeps the number of folders in a folder.
    folder_counts: bool
    case_sensitive: bool


def catalog_records(
    items: Iterable[Item], forks: Mapping[tuple[int, int], Fork], style: Style
) -> list[Record]:
    """The leaf records of the catalog, sorted; every file and folder has its thread."""
    records: list[tuple[tuple[int, tuple[int, ...]], Record]] = []
    for item in items:
        key = unistr.sort_key(item.name, case_sensitive=style.case_sensitive)
        if isinstance(item.entry, Directory):
            data, kind = _folder(item, item.entry, style), _FOLDER_THREAD
        else:
            data, kind = _file(item, forks, style), _FILE_THREAD
        records.append(((item.parent, key), (catalog_key(item.parent, item.name), data)))
        records.append(((item.cnid, ()), (catalog_key(item.cnid, ()), _thread(kind, item))))
    return [record for _, record in sorted(records, key=lambda pair: pair[0])]


def _dates(item: Item, style: Style) -> dict[str, Value]:
    entry = item.entry
    created = style.date if entry.created is None else mac_date(entry.created)
    modified = style.date if entry.modified is None else mac_date(entry.modified)
    return {
        "createDate": created,
        "contentModDate": modified,
        "attributeModDate": modified,
        "accessDate": modified,
    }


def _folder(item: Item, entry: Directory, style: Style) -> bytes:
    values: dict[str, Value] = {
        "recordType": _FOLDER,
        "valence": item.valence,
        "folderID": item.cnid,
        "permissions.fileMode": _S_IFDIR | entry.mode,
    }
    if style.folder_counts:
        values |= {"flags": _HAS_FOLDER_COUNT, "folderCount": item.folders}
    if item.hidden:
        values["userInfo.frFlags"] = _HIDDEN
    return HFSPLUS_FOLDER.pack(values | _dates(item, style))


def _code(four: bytes) -> int:
    return int.from_bytes(four, "big")


def _file(item: Item, forks: Mapping[tuple[int, int], Fork], style: Style) -> bytes:
    entry = item.entry
    flags = _THREAD_EXISTS
    values: dict[str, Value] = {"recordType": _FILE, "fileID": item.cnid}
    values |= _dates(item, style)
    if isinstance(entry, Symlink):
        values |= {
            "permissions.fileMode": _S_IFLNK | 0o755,
            "userInfo.fdType": _code(b"slnk"),
            "userInfo.fdCreator": _code(b"rhap"),
        }
    elif isinstance(entry, HardLink):
        flags |= _HAS_LINK_CHAIN
        at = item.links.index(item.cnid)
        values |= {
            "permissions.fileMode": _S_IFREG | 0o444,
            "permissions.special": item.target,
            # In links, these two name the neighbours in the chain.
            "permissions.ownerID": item.links[at - 1] if at else 0,
            "permissions.groupID": item.links[at + 1] if at + 1 < len(item.links) else 0,
            "userInfo.fdType": _code(b"hlnk"),
            "userInfo.fdCreator": _code(b"hfs+"),
            "userInfo.fdFlags": 0x0100,
            # What marks a link: the date of the private directory.
            "createDate": style.date,
        }
    elif isinstance(entry, File):
        values |= {
            "permissions.fileMode": _S_IFREG | entry.mode,
            "userInfo.fdType": _code(entry.type),
            "userInfo.fdCreator": _code(entry.creator),
        }
        if item.hidden:
            values["userInfo.fdFlags"] = _HIDDEN
        if entry.xattrs:
            flags |= _HAS_ATTRIBUTES
        if item.links:
            flags |= _HAS_LINK_CHAIN
            values |= {"permissions.special": len(item.links), "reserved1": item.links[0]}
    for kind, field in ((0x00, "dataFork"), (0xFF, "resourceFork")):
        fork = forks.get((item.cnid, kind))
        if fork is not None:
            values |= fork_values(field, fork)
    return HFSPLUS_FILE.pack(values | {"flags": flags})


def overflow_records(forks: Mapping[tuple[int, int], Fork]) -> list[Record]:
    """The records of the extents tree: what the eight extents of a fork do not hold."""
    records: list[tuple[tuple[int, int, int], Record]] = []
    for (cnid, kind), fork in forks.items():
        start = sum(count for _, count in fork.extents[:8])
        for first in range(8, len(fork.extents), 8):
            group = fork.extents[first : first + 8]
            values: dict[str, Value] = {}
            for number, (block, count) in enumerate(group):
                values[f"extents[{number}].startBlock"] = block
                values[f"extents[{number}].blockCount"] = count
            record = (extent_key(cnid, kind, start), HFSPLUS_EXTENT_RECORD.pack(values))
            records.append(((cnid, kind, start), record))
            start += sum(count for _, count in group)
    return [record for _, record in sorted(records)]


def attribute_records(items: Iterable[Item], forks: Mapping[tuple[int, str], Fork]) -> list[Record]:
    """The records of the attributes tree, sorted by file and name."""
    records: list[tuple[tuple[int, tuple[int, ...]], Record]] = []
    for item in items:
        if not isinstance(item.entry, File):
            continue
        for name, value in item.entry.xattrs:
            units = unistr.encode_name(name, decomposed=False)
            fork = forks.get((item.cnid, name))
            if fork is not None:
                values = {"recordType": _ATTRIBUTE_FORK, **fork_values("theFork", fork)}
                data = ATTRIBUTE_FORK.pack(values)
            else:
                head = ATTRIBUTE_INLINE.pack(
                    {"recordType": _ATTRIBUTE_INLINE, "attrSize": len(value)}
                )
                data = head + value + b"\0" * (len(value) % 2)
            records.append(((item.cnid, units), (attribute_key(item.cnid, units), data)))
    return [record for _, record in sorted(records, key=lambda pair: pair[0])]
