"""Build the nodes of a B-tree file from sorted records (TN1150 "B-Trees", Inside Macintosh: Files).

Both filesystems share the format. The nodes are laid out the way a fresh volume has them: the
header node, the leaves from left to right, the levels above, then map nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from errpath.errors import UsageError
from errpath.images.hfs.formats import BT_HEADER, NODE_DESCRIPTOR

__all__ = [
    "HEADER",
    "INDEX",
    "LEAF",
    "MAP",
    "BuiltTree",
    "Record",
    "TreeShape",
    "build_tree",
]

# A record of a leaf: its key with the length in front, and its data. Both of even length.
Record = tuple[bytes, bytes]

# BTNodeDescriptor.kind
LEAF, INDEX, HEADER, MAP = -1, 0, 1, 2

# The header node's map record follows the header record and 128 bytes for the tree's owner.
_USER_DATA = 128
_HEADER_MAP = NODE_DESCRIPTOR.size + BT_HEADER.size + _USER_DATA
# Bytes at a map node's end that are not map: two record offsets and padding.
_MAP_NODE_TAIL = 6

# BTHeaderRec.attributes
BIG_KEYS, VARIABLE_INDEX_KEYS = 2, 4


@dataclass(frozen=True)
class TreeShape:
    """What is fixed for one B-tree file."""

    # Bytes, a power of two from 512 to 32768.
    node_size: int
    # Bytes of a key without its length field.
    max_key_length: int
    # Bytes of the key's length field: 1 in HFS, 2 in HFS+.
    key_length_size: int = 2
    # Index records hold keys of their own length; otherwise they are padded to the maximum.
    variable_index_keys: bool = False
    # BTHeaderRec.keyCompareType, .attributes, .clumpSize
    key_compare_type: int = 0
    attributes: int = 0
    clump_size: int = 0
    # How many records a node holds at most; None fills it. Small numbers make deep trees.
    records_per_node: int | None = None

    def __post_init__(self) -> None:
        size = self.node_size
        if not 512 <= size <= 32768 or size & (size - 1):
            raise UsageError(f"node size {size}: expected a power of two from 512 to 32768")
        if self.records_per_node is not None and self.records_per_node < 2:
            raise UsageError(f"{self.records_per_node} records per node: expected 2 or more")

    def index_key(self, key: bytes) -> bytes:
        """The key of a leaf record as an index record holds it."""
        if self.variable_index_keys:
            return key
        width = self.key_length_size
        body = key[width:].ljust(self.max_key_length, b"\0")[: self.max_key_length]
        padded = self.max_key_length.to_bytes(width, "big") + body
        return padded + b"\0" * (len(padded) % 2)


@dataclass(frozen=True)
class BuiltTree:
    """The content of a B-tree file."""

    nodes: tuple[bytes, ...]
    # How many nodes are in use, header and map nodes included.
    used: int
    # Levels; 0 for a tree without records.
    depth: int

    @property
    def data(self) -> bytes:
        """The file: all nodes in order."""
        return b"".join(self.nodes)


def _node(
    shape: TreeShape, kind: int, height: int, links: tuple[int, int], records: Sequence[bytes]
) -> bytes:
    """One node: descriptor, records, free space, and the record offsets from the end."""
    descriptor = NODE_DESCRIPTOR.pack(
        {
            "fLink": links[0],
            "bLink": links[1],
            "kind": kind,
            "height": height,
            "numRecords": len(records),
        }
    )
    out = bytearray(descriptor)
    offsets: list[int] = []
    for record in records:
        offsets.append(len(out))
        out += record
    offsets.append(len(out))
    table = b"".join(offset.to_bytes(2, "big") for offset in reversed(offsets))
    if len(out) + len(table) > shape.node_size:
        raise UsageError(f"{len(records)} records do not fit a node of {shape.node_size} bytes")
    return bytes(out) + bytes(shape.node_size - len(out) - len(table)) + table


def _split(shape: TreeShape, records: Sequence[Record]) -> list[list[Record]]:
    """The records of one level, node by node, each as full as allowed."""
    groups: list[list[Record]] = []
    room = 0
    for key, data in records:
        need = len(key) + len(data) + 2
        full = groups and shape.records_per_node and len(groups[-1]) >= shape.records_per_node
        if not groups or full or need > room:
            groups.append([])
            room = shape.node_size - NODE_DESCRIPTOR.size - 2
        groups[-1].append((key, data))
        room -= need
    return groups


def _map_nodes_needed(shape: TreeShape, total: int) -> int:
    header_bits = 8 * (shape.node_size - _HEADER_MAP - 8)
    node_bits = 8 * (shape.node_size - NODE_DESCRIPTOR.size - _MAP_NODE_TAIL)
    return max(0, -(-(total - header_bits) // node_bits))


def _levels(shape: TreeShape, records: Sequence[Record]) -> list[list[list[Record]]]:
    """Groups of records per level, leaves first, each level's nodes numbered on from node 1."""
    levels: list[list[list[Record]]] = []
    first = 1
    current = list(records)
    while current:
        groups = _split(shape, current)
        levels.append(groups)
        if len(groups) == 1:
            break
        current = [
            (shape.index_key(group[0][0]), (first + number).to_bytes(4, "big"))
            for number, group in enumerate(groups)
        ]
        first += len(groups)
    return levels


def build_tree(
    records: Sequence[Record], shape: TreeShape, *, spare: int = 0, multiple: int = 1
) -> BuiltTree:
    """The B-tree file that holds these records.

    Args:
        records: sorted by key; keys and data of even length.
        spare: free nodes at the end, at least.
        multiple: the number of nodes is rounded up to this, so that the file fills its blocks.

    Raises:
        UsageError: a record of odd length, or larger than a node.
    """
    for key, data in records:
        if len(key) % 2 or len(data) % 2:
            raise UsageError(f"record {key.hex()} is of odd length: expected even key and data")
    levels = _levels(shape, records)
    used = 1 + sum(len(groups) for groups in levels)
    maps = 0
    while True:
        total = -(-(used + maps + spare) // multiple) * multiple
        if _map_nodes_needed(shape, total) <= maps:
            break
        maps = _map_nodes_needed(shape, total)
    nodes: list[bytes] = [b""]
    for height, groups in enumerate(levels, start=1):
        first, last = len(nodes), len(nodes) + len(groups) - 1
        for number, group in enumerate(groups, start=first):
            links = (number + 1 if number < last else 0, number - 1 if number > first else 0)
            kind = LEAF if height == 1 else INDEX
            nodes.append(_node(shape, kind, height, links, [key + data for key, data in group]))
    leaves = len(levels[0]) if levels else 0
    header = BT_HEADER.pack(
        {
            "treeDepth": len(levels),
            "rootNode": used - 1 if levels else 0,
            "leafRecords": len(records),
            "firstLeafNode": 1 if leaves else 0,
            "lastLeafNode": leaves,
            "nodeSize": shape.node_size,
            "maxKeyLength": shape.max_key_length,
            "totalNodes": total,
            "freeNodes": total - used - maps,
            "clumpSize": shape.clump_size,
            "keyCompareType": shape.key_compare_type,
            "attributes": shape.attributes,
        }
    )
    bits = _bitmap(used + maps)
    length = shape.node_size - _HEADER_MAP - 8
    first_map = used if maps else 0
    nodes[0] = _node(
        shape,
        HEADER,
        0,
        (first_map, 0),
        [header, bytes(_USER_DATA), bits[:length].ljust(length, b"\0")],
    )
    bits = bits[length:]
    length = shape.node_size - NODE_DESCRIPTOR.size - _MAP_NODE_TAIL
    for number in range(maps):
        following = used + number + 1 if number + 1 < maps else 0
        nodes.append(_node(shape, MAP, 0, (following, 0), [bits[:length].ljust(length, b"\0")]))
        bits = bits[length:]
    nodes += [bytes(shape.node_size)] * (total - len(nodes))
    return BuiltTree(nodes=tuple(nodes), used=used + maps, depth=len(levels))


def _bitmap(count: int) -> bytes:
    """`count` bits set, the first one in the highest bit of the first byte."""
    whole, rest = divmod(count, 8)
    return b"\xff" * whole + (bytes([0xFF00 >> rest & 0xFF]) if rest else b"")
