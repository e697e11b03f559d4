"""B-trees hold what they were built from, at any size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errpath.errors import UsageError
from errpath.images import Image
from errpath.images.hfs.btree import Record, TreeShape, build_tree
from errpath.images.hfs.formats import BT_HEADER
from errpath.images.hfs.nodes import Tree, leaf_records, node_kind, node_records
from errpath.images.hfs.region import Region

_SHAPES = [
    TreeShape(node_size=512, max_key_length=7, key_length_size=1),
    TreeShape(node_size=512, max_key_length=37, key_length_size=1, records_per_node=2),
    TreeShape(node_size=4096, max_key_length=10),
    TreeShape(node_size=1024, max_key_length=516, variable_index_keys=True),
]


def _record(shape: TreeShape, number: int, size: int) -> Record:
    width = shape.key_length_size
    length = 7 if shape.max_key_length == 7 else 10 - width % 2
    body = number.to_bytes(4, "big").ljust(length, b"k")
    return length.to_bytes(width, "big") + body, bytes([number % 255 + 1]) * (2 * size)


def _tree(data: bytes) -> tuple[Image, dict[str, object]]:
    return Image.from_bytes(data), dict(BT_HEADER.unpack(data[14:120]))


@settings(deadline=None)
@given(
    st.sampled_from(_SHAPES),
    st.lists(st.integers(1, 60), max_size=80),
    st.integers(0, 3000),
    st.integers(1, 9),
)
def test_tree_holds_its_records(
    shape: TreeShape, sizes: list[int], spare: int, multiple: int
) -> None:
    records = [_record(shape, number, size) for number, size in enumerate(sizes)]
    built = build_tree(records, shape, spare=spare, multiple=multiple)
    image, header = _tree(built.data)
    assert header["leafRecords"] == len(records)
    assert header["totalNodes"] == len(built.nodes)
    assert len(built.nodes) % multiple == 0
    free = header["freeNodes"]
    assert isinstance(free, int)
    assert free >= spare
    assert free == len(built.nodes) - built.used
    tree = Tree(
        name="catalog",
        region=Region(((0, image.size),)),
        node_size=shape.node_size,
        key_length_size=shape.key_length_size,
        max_key_length=shape.max_key_length,
        variable_index_keys=shape.variable_index_keys,
    )
    found = [(r.key.read(image), r.data.read(image)) for r in leaf_records(image, tree)]
    assert found == records
    _check_index(image, tree, header, records)
    _check_map(image, tree, built.used)


def _check_index(
    image: Image, tree: Tree, header: dict[str, object], records: list[Record]
) -> None:
    """From the root, every record is reached, in order."""

    def walk(number: int, height: int) -> list[Record]:
        node = node_records(image, tree, number)
        if height == 1:
            return [(r.key.read(image), r.data.read(image)) for r in node]
        below: list[Record] = []
        for record in node:
            pointed = walk(int.from_bytes(record.data.read(image), "big"), height - 1)
            width = tree.key_length_size
            first = pointed[0][0][width:]
            assert record.key.read(image)[width : width + len(first)] == first
            below += pointed
        return below

    depth, root = header["treeDepth"], header["rootNode"]
    assert isinstance(depth, int)
    assert isinstance(root, int)
    assert (walk(root, depth) if depth else []) == records


def _check_map(image: Image, tree: Tree, used: int) -> None:
    """The map, over all its nodes, has a bit for each node in use and no other."""
    bits = node_records(image, tree, 0)[2].whole.read(image)
    for number in range(tree.nodes):
        if number and node_kind(image, tree, number) == 2:
            bits += node_records(image, tree, number)[0].whole.read(image)
    assert len(bits) * 8 >= tree.nodes
    assert int.from_bytes(bits, "big") == ((1 << used) - 1) << (len(bits) * 8 - used)


def test_few_records_per_node_make_a_deep_tree() -> None:
    shape = _SHAPES[1]
    records = [_record(shape, number, 3) for number in range(40)]
    assert build_tree(records, shape).depth == 6


def test_a_record_that_fits_no_node_is_refused() -> None:
    with pytest.raises(UsageError, match="do not fit a node of 512 bytes"):
        build_tree([(b"\x01a", bytes(600))], _SHAPES[0])
    with pytest.raises(UsageError, match="expected even key and data"):
        build_tree([(b"\x02ab", b"")], _SHAPES[0])


@pytest.mark.parametrize("size", [0, 256, 1000, 65536])
def test_node_sizes_that_no_tree_has_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match="power of two from 512 to 32768"):
        TreeShape(node_size=size, max_key_length=7)
