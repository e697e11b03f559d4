"""Take B-tree nodes apart: where the records lie, and which tables describe them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from errpath.images.hfs.formats import (
    ATTRIBUTE_EXTENTS,
    ATTRIBUTE_FORK,
    ATTRIBUTE_INLINE,
    BT_HEADER,
    HFS_CATALOG_KEY,
    HFS_DIRECTORY,
    HFS_EXTENT_KEY,
    HFS_EXTENT_RECORD,
    HFS_FILE,
    HFS_THREAD,
    HFSPLUS_ATTRIBUTE_KEY,
    HFSPLUS_CATALOG_KEY,
    HFSPLUS_EXTENT_KEY,
    HFSPLUS_EXTENT_RECORD,
    HFSPLUS_FILE,
    HFSPLUS_FOLDER,
    HFSPLUS_THREAD,
    INDEX_POINTER,
    NODE_DESCRIPTOR,
)
from errpath.images.hfs.layout import Struct
from errpath.images.hfs.region import Region
from errpath.images.image import Image

__all__ = [
    "NodeRecord",
    "Tree",
    "data_table",
    "key_table",
    "leaf_records",
    "node_kind",
    "node_records",
]

_LEAF, _INDEX, _HEADER = -1, 0, 1

_KEYS: dict[tuple[str, int], Struct] = {
    ("extents", 1): HFS_EXTENT_KEY,
    ("catalog", 1): HFS_CATALOG_KEY,
    ("extents", 2): HFSPLUS_EXTENT_KEY,
    ("catalog", 2): HFSPLUS_CATALOG_KEY,
    ("attributes", 2): HFSPLUS_ATTRIBUTE_KEY,
}
# By the record's type: cdrType in HFS, recordType in HFS+.
_HFS_DATA = {1: HFS_DIRECTORY, 2: HFS_FILE, 3: HFS_THREAD, 4: HFS_THREAD}
_PLUS_DATA = {1: HFSPLUS_FOLDER, 2: HFSPLUS_FILE, 3: HFSPLUS_THREAD, 4: HFSPLUS_THREAD}
_ATTRIBUTE_DATA = {0x10: ATTRIBUTE_INLINE, 0x20: ATTRIBUTE_FORK, 0x30: ATTRIBUTE_EXTENTS}


@dataclass(frozen=True)
class Tree:
    """A B-tree file and what its header says."""

    # extents, catalog or attributes
    name: str
    region: Region
    # Bytes.
    node_size: int
    # Bytes of the keys' length field: 1 in HFS, 2 in HFS+.
    key_length_size: int
    max_key_length: int
    variable_index_keys: bool

    @property
    def nodes(self) -> int:
        """How many nodes the file has room for."""
        return self.region.length // self.node_size

    def node(self, number: int) -> Region:
        """A node's bytes."""
        return self.region.slice(number * self.node_size, self.node_size)

    def index_key_length(self, data: bytes) -> int:
        """Bytes of an index record's key, padding included."""
        if self.variable_index_keys:
            return self.leaf_key_length(data)
        length = self.key_length_size + self.max_key_length
        return length + length % 2

    def leaf_key_length(self, data: bytes) -> int:
        """Bytes of a leaf record's key, padding included."""
        width = self.key_length_size
        length = width + int.from_bytes(data[:width], "big")
        return length + length % 2


@dataclass(frozen=True)
class NodeRecord:
    """One record of a node. Header and map nodes have records without keys."""

    # Number of its node, and its place among the node's records.
    node: int
    number: int
    whole: Region
    key: Region
    data: Region


def node_kind(image: Image, tree: Tree, number: int) -> int | None:
    """BTNodeDescriptor.kind; None for a node that is all zeros, or not there."""
    data = tree.node(number).slice(0, NODE_DESCRIPTOR.size).read(image)
    if len(data) < NODE_DESCRIPTOR.size or not any(data):
        return None
    kind = NODE_DESCRIPTOR.unpack(data)["kind"]
    assert isinstance(kind, int)
    return kind


def node_records(image: Image, tree: Tree, number: int) -> list[NodeRecord]:
    """The records of a node; none where its offsets make no sense."""
    region = tree.node(number)
    data = region.read(image)
    kind = node_kind(image, tree, number)
    if kind is None or len(data) < tree.node_size:
        return []
    count = int.from_bytes(data[0x0A:0x0C], "big")
    first = tree.node_size - 2 * (count + 1)
    if first < NODE_DESCRIPTOR.size:
        return []
    table = data[first:]
    offsets = [int.from_bytes(table[2 * at : 2 * at + 2], "big") for at in range(count, -1, -1)]
    if offsets[0] < NODE_DESCRIPTOR.size or offsets[-1] > first or sorted(offsets) != offsets:
        return []
    records: list[NodeRecord] = []
    for at, (start, end) in enumerate(pairwise(offsets)):
        key = 0
        if kind == _LEAF:
            key = tree.leaf_key_length(data[start:end])
        elif kind == _INDEX:
            key = tree.index_key_length(data[start:end])
        key = min(key, end - start)
        whole = region.slice(start, end - start)
        records.append(
            NodeRecord(
                node=number,
                number=at,
                whole=whole,
                key=whole.slice(0, key),
                data=whole.slice(key, end - start - key),
            )
        )
    return records


def leaf_records(image: Image, tree: Tree) -> Iterator[NodeRecord]:
    """The records of every leaf node, in the order of the node numbers."""
    for number in range(tree.nodes):
        if node_kind(image, tree, number) == _LEAF:
            yield from node_records(image, tree, number)


def key_table(tree: Tree) -> Struct:
    """The table of the tree's keys."""
    return _KEYS[tree.name, tree.key_length_size]


def data_table(image: Image, tree: Tree, record: NodeRecord) -> Struct | None:
    """The table of a record's data; None where there is none for it."""
    kind = node_kind(image, tree, record.node)
    if kind == _HEADER:
        return BT_HEADER if record.number == 0 else None
    if kind == _INDEX:
        return INDEX_POINTER
    if kind != _LEAF:
        return None
    if tree.name == "extents":
        return HFS_EXTENT_RECORD if tree.key_length_size == 1 else HFSPLUS_EXTENT_RECORD
    head = record.data.slice(0, 4).read(image)
    if tree.name == "attributes":
        return _ATTRIBUTE_DATA.get(int.from_bytes(head, "big"))
    if tree.key_length_size == 1:
        return _HFS_DATA.get(head[0]) if head else None
    return _PLUS_DATA.get(int.from_bytes(head[:2], "big"))
