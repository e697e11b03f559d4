"""Find volumes, forks and B-trees in any image, as far as what is there allows.

Nothing here refuses an image: a broken structure hides what hangs under it, and those bytes then
count as content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from errpath.images.hfs.formats import (
    BT_HEADER,
    HFS_EXTENT_KEY,
    HFS_EXTENT_RECORD,
    HFSPLUS_EXTENT_KEY,
    HFSPLUS_EXTENT_RECORD,
    MDB,
    NODE_DESCRIPTOR,
    PARTITION_MAP_ENTRY,
    PARTITION_MAP_OLD,
    VOLUME_HEADER,
)
from errpath.images.hfs.layout import Value
from errpath.images.hfs.nodes import Tree, leaf_records
from errpath.images.hfs.region import Region
from errpath.images.image import SECTOR, Image

__all__ = ["Disk", "Volume", "find_volumes"]

_HFS, _HFS_PLUS, _HFSX = 0x4244, 0x482B, 0x4858
_PM, _TS, _TFS1 = 0x504D, 0x5453, 0x54465331
# Catalog node IDs of the B-tree files, by the names that field paths use.
_TREES = {"extents": 3, "catalog": 4, "attributes": 8}
_MAX_PARTITIONS = 64


def _integer(values: Mapping[str, Value], path: str) -> int:
    value = values.get(path, 0)
    assert isinstance(value, int)
    return value


@dataclass(frozen=True)
class Volume:
    """An HFS or HFS+ volume inside an image."""

    image: Image = field(repr=False)
    # Bytes from the image's start, and the volume's length.
    offset: int
    size: int
    # True: HFS+ or HFSX with a volume header; False: HFS with an MDB.
    plus: bool

    @cached_property
    def header(self) -> dict[str, Value]:
        """The MDB or the volume header, decoded."""
        table = VOLUME_HEADER if self.plus else MDB
        return table.unpack(self.image.read(self.offset + 2 * SECTOR, table.size))

    @property
    def block_size(self) -> int:
        """Bytes of an allocation block."""
        return _integer(self.header, "blockSize" if self.plus else "drAlBlkSiz")

    @property
    def first_block(self) -> int:
        """Where allocation block 0 starts, in bytes from the image's start."""
        if self.plus:
            return self.offset
        return self.offset + _integer(self.header, "drAlBlSt") * SECTOR

    @property
    def embedded(self) -> tuple[int, int] | None:
        """(offset, size) in bytes of the HFS+ volume that this HFS volume wraps."""
        if self.plus or _integer(self.header, "drEmbedSigWord") not in (_HFS_PLUS, _HFSX):
            return None
        start = _integer(self.header, "drEmbedExtent.xdrStABN") * self.block_size
        size = _integer(self.header, "drEmbedExtent.xdrNumABlks") * self.block_size
        return self.first_block + start, size

    def _blocks(self, extents: Sequence[tuple[int, int]]) -> Region:
        size = self.block_size
        pieces = [(self.first_block + first * size, count * size) for first, count in extents]
        return Region.within(self.image.size, pieces)

    def _first_extents(self, name: str) -> list[tuple[int, int]]:
        if self.plus:
            fork = f"{name}File"
            names = [
                (f"{fork}.extents[{n}].startBlock", f"{fork}.extents[{n}].blockCount")
                for n in range(8)
            ]
        else:
            prefix = {"extents": "drXTExtRec", "catalog": "drCTExtRec"}.get(name, "")
            names = [(f"{prefix}[{n}].xdrStABN", f"{prefix}[{n}].xdrNumABlks") for n in range(3)]
        pairs = [(_integer(self.header, a), _integer(self.header, b)) for a, b in names]
        return [(start, count) for start, count in pairs if count]

    @cached_property
    def bitmap(self) -> Region:
        """The allocation bitmap."""
        if self.plus:
            return self._blocks(self._first_extents("allocation"))
        length = -(-_integer(self.header, "drNmAlBlks") // 8)
        start = self.offset + _integer(self.header, "drVBMSt") * SECTOR
        return Region.within(self.image.size, [(start, length)])

    @cached_property
    def trees(self) -> dict[str, Tree]:
        """The B-trees whose header can be read, by name."""
        found: dict[str, Tree] = {}
        for name, cnid in _TREES.items():
            extents = self._first_extents(name)
            if name != "extents" and "extents" in found:
                extents += self._overflow(found["extents"], cnid, sum(n for _, n in extents))
            tree = self._tree(name, self._blocks(extents))
            if tree is not None:
                found[name] = tree
        return found

    def _tree(self, name: str, region: Region) -> Tree | None:
        data = region.slice(NODE_DESCRIPTOR.size, BT_HEADER.size).read(self.image)
        values = BT_HEADER.unpack(data)
        node_size = _integer(values, "nodeSize")
        if not 512 <= node_size <= 32768 or node_size & (node_size - 1):
            return None
        plus = self.plus
        return Tree(
            name=name,
            region=region,
            node_size=node_size,
            key_length_size=2 if plus else 1,
            max_key_length=_integer(values, "maxKeyLength"),
            variable_index_keys=plus and bool(_integer(values, "attributes") & 4),
        )

    def _overflow(self, tree: Tree, cnid: int, start: int) -> list[tuple[int, int]]:
        """The extents of a data fork that stand in the extents tree, from block `start` on."""
        if self.plus:
            key_table, table, per = HFSPLUS_EXTENT_KEY, HFSPLUS_EXTENT_RECORD, 8
            names = ("forkType", "fileID", "startBlock", "startBlock", "blockCount", "extents")
        else:
            key_table, table, per = HFS_EXTENT_KEY, HFS_EXTENT_RECORD, 3
            names = ("xkrFkType", "xkrFNum", "xkrFABN", "xdrStABN", "xdrNumABlks", "extent")
        fork, file, at, first, count, array = names
        found: dict[int, list[tuple[int, int]]] = {}
        for record in leaf_records(self.image, tree):
            key = key_table.unpack(record.key.read(self.image))
            if _integer(key, file) != cnid or _integer(key, fork):
                continue
            values = table.unpack(record.data.read(self.image))
            found[_integer(key, at)] = [
                (_integer(values, f"{array}[{n}].{first}"), length)
                for n in range(per)
                if (length := _integer(values, f"{array}[{n}].{count}"))
            ]
        extents: list[tuple[int, int]] = []
        while start in found:
            group = found.pop(start)
            extents += group
            start += sum(length for _, length in group)
        return extents


@dataclass(frozen=True)
class Disk:
    """What stands around the volumes."""

    # Signature of the partition map: PM, TS, or 0 for none.
    map_signature: int
    # Number of entries of a PM map.
    map_entries: int
    # The volume outermost, then the one that it wraps.
    volumes: tuple[Volume, ...]


def _partitions(image: Image) -> Iterator[tuple[int, int]]:
    """(offset, size) in bytes of the partitions that can hold HFS."""
    sector = image.read(SECTOR, SECTOR)
    signature = int.from_bytes(sector[:2], "big")
    if signature == _TS and len(sector) == SECTOR:
        values = PARTITION_MAP_OLD.unpack(sector)
        for number in range(42):
            start = _integer(values, f"pdEntry[{number}].pdStart")
            if start and _integer(values, f"pdEntry[{number}].pdFSID") == _TFS1:
                yield start * SECTOR, _integer(values, f"pdEntry[{number}].pdSize") * SECTOR
    for number in range(_entries(image)):
        entry = PARTITION_MAP_ENTRY.unpack(image.read((1 + number) * SECTOR, SECTOR))
        kind = entry.get("pmParType", b"")
        if isinstance(kind, bytes) and kind.startswith(b"Apple_HFS"):
            start = _integer(entry, "pmPyPartStart")
            yield start * SECTOR, _integer(entry, "pmPartBlkCnt") * SECTOR


def _entries(image: Image) -> int:
    """Entries of a PM map: sectors in a row with its signature."""
    number = 0
    while number < _MAX_PARTITIONS:
        if image.read((1 + number) * SECTOR, 2) != _PM.to_bytes(2, "big"):
            break
        number += 1
    return number


def _volume_at(image: Image, offset: int, size: int) -> Volume | None:
    signature = int.from_bytes(image.read(offset + 2 * SECTOR, 2), "big")
    size = max(0, min(size, image.size - offset))
    if signature in (_HFS_PLUS, _HFSX):
        return Volume(image=image, offset=offset, size=size, plus=True)
    if signature == _HFS:
        return Volume(image=image, offset=offset, size=size, plus=False)
    return None


def find_volumes(image: Image) -> Disk:
    """The partition map and the volumes of an image."""
    outer = _volume_at(image, 0, image.size)
    for offset, size in _partitions(image):
        if outer is None:
            outer = _volume_at(image, offset, size)
    volumes = [outer] if outer else []
    if outer is not None and outer.embedded is not None:
        inner = _volume_at(image, *outer.embedded)
        if inner is not None and inner.plus:
            volumes.append(inner)
    signature = int.from_bytes(image.read(SECTOR, 2), "big")
    return Disk(
        map_signature=signature if signature in (_PM, _TS) else 0,
        map_entries=_entries(image),
        volumes=tuple(volumes),
    )
