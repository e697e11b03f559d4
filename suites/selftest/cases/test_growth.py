"""Cases that make trees grow and shrink: what they write fits, and nothing of it is left."""

from __future__ import annotations

import pytest

from errpath.cases.damaged import damaged_cases
from errpath.cases.growth import growth_cases
from errpath.cases.volume_steps import Mkdir, Unlink, WriteFile
from errpath.errors import UsageError
from errpath.images.crafted.catalogue import base_image
from errpath.images.crafted.fields import FieldMap, read_field

# Of HFS: bytes of a node that records and their offsets have, and of such: a file's record behind
# a key of 38 bytes, and one of an index.
_NODE = 512 - 14 - 2
_FILE = 38 + 102 + 2
_INDEX = 38 + 4 + 2


def test_what_was_made_is_removed() -> None:
    for case in growth_cases():
        made = {step.path for step in case.steps if isinstance(step, WriteFile | Mkdir)}
        # An absolute path is a file of the guest.
        made = {path for path in made if not path.startswith("/")}
        removed = {step.path for step in case.steps if isinstance(step, Unlink)}
        assert made
        assert made <= removed
        assert all(len(path.rpartition("/")[2]) <= 31 for path in made)


def test_a_tree_that_grows_again_fits_only_where_nodes_come_back() -> None:
    case = next(one for one in growth_cases() if one.id == "hfs-trees-grow-again")
    assert case.device.image is not None
    fields = FieldMap(case.device.image)
    (nodes, blocks) = (
        fields.locate(path).read(case.device.image)
        for path in ("catalog.header.freeNodes", "mdb.drFreeBks")
    )
    assert isinstance(nodes, int)
    assert isinstance(blocks, int)
    made = [step.path for step in case.steps if isinstance(step, WriteFile)]
    # Each node that the files need is taken once for each time.
    needed = len(set(made)) // (_NODE // _FILE)
    assert needed * len(made) // len(set(made)) > nodes
    assert blocks < needed


def test_the_map_of_the_header_node_is_full() -> None:
    case = next(one for one in growth_cases() if one.id == "hfs-trees-grow-behind-the-map")
    image = case.device.image
    assert image is not None
    fields = FieldMap(image)
    assert fields.locate("catalog.header.map[255]").read(image) == 0xFF
    with pytest.raises(UsageError):
        fields.locate("catalog.header.map[256]")
    assert fields.locate("catalog.node[0].descriptor.fLink").read(image) != 0


def test_damage_is_in_one_sector() -> None:
    valid = base_image("hfs-deep")
    files = read_field(valid, "mdb.drFilCnt")
    compared = 0
    for case in damaged_cases():
        image = case.device.image
        assert image is not None
        if image.size == valid.size and read_field(image, "mdb.drFilCnt") == files:
            assert len(image.delta(valid)) == 1, case.id
            compared += 1
    assert compared > 10


def test_more_is_made_than_two_levels_of_hfs_hold() -> None:
    case = next(one for one in growth_cases() if one.id == "hfs-trees-grow-and-shrink")
    files = {step.path for step in case.steps if isinstance(step, WriteFile)}
    leaves = len(files) // (_NODE // _FILE)
    assert leaves > _NODE // _INDEX
