"""The tables of on-disk structures: their sizes, and that they decode what they encode."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errpath.errors import UsageError
from errpath.images.hfs import formats
from errpath.images.hfs.layout import Struct

# Bytes, from Inside Macintosh: Files, Inside Macintosh: Devices and TN1150.
_SIZES = {
    "MDB": 162,
    "NODE_DESCRIPTOR": 14,
    "BT_HEADER": 106,
    "HFS_EXTENT_KEY": 8,
    "HFS_EXTENT_RECORD": 12,
    "HFS_DIRECTORY": 70,
    "HFS_FILE": 102,
    "HFS_THREAD": 46,
    "VOLUME_HEADER": 512,
    "HFSPLUS_EXTENT_KEY": 12,
    "HFSPLUS_EXTENT_RECORD": 64,
    "HFSPLUS_FORK": 80,
    "HFSPLUS_FOLDER": 88,
    "HFSPLUS_FILE": 248,
    "HFSPLUS_THREAD": 10,
    "JOURNAL_INFO_BLOCK": 180,
    "JOURNAL_HEADER": 44,
    "PARTITION_MAP_OLD": 506,
}
_TABLES = [getattr(formats, name) for name in formats.__all__]


@pytest.mark.parametrize(("name", "size"), _SIZES.items())
def test_structures_have_the_size_that_apple_says(name: str, size: int) -> None:
    assert getattr(formats, name).size == size


@settings(deadline=None)
@given(st.sampled_from(_TABLES), st.data())
def test_any_bytes_decode_and_encode_back(table: Struct, draw: st.DataObject) -> None:
    data = draw.draw(st.binary(min_size=table.size, max_size=table.size))
    assert table.pack(table.unpack(data)) == data


def test_offsets_are_where_the_kernel_looks() -> None:
    assert formats.MDB.find("drCTExtRec[0].xdrStABN").offset == 0x96
    assert formats.VOLUME_HEADER.find("catalogFile.extents[0].startBlock").offset == 0x120
    assert formats.BT_HEADER.find("depth").path == "treeDepth"
    assert formats.HFSPLUS_FOLDER.find("permissions.mode").offset == 0x2A


def test_a_structure_that_is_cut_short_has_its_whole_fields() -> None:
    values = formats.NODE_DESCRIPTOR.unpack(bytes(9))
    assert list(values) == ["fLink", "bLink", "kind"]


def test_a_hole_in_a_table_is_refused() -> None:
    with pytest.raises(UsageError, match=r"x\.b stands at 0x4: expected 0x2"):
        Struct("x", ((0, "a", "u16"), (4, "b", "u16")))


@pytest.mark.parametrize("value", [0x10000, -1, b"ab", "text"])
def test_a_value_that_does_not_fit_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="does not fit u16"):
        formats.MDB.pack({"drSigWord": value})  # type: ignore[dict-item]


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(UsageError, match="no field 'drSigword': expected one of drSigWord"):
        formats.MDB.pack({"drSigword": 1})
