"""Images keep exactly the bytes that they were given, however these came in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errpath.errors import UsageError
from errpath.images import Image, blank

_SPARSE = st.lists(
    st.sampled_from([bytes(512), b"\0" * 700, b"a" * 511, b"end", bytes(3000)]), max_size=8
).map(b"".join)


@settings(deadline=None)
@given(_SPARSE)
def test_bytes_survive(data: bytes) -> None:
    image = Image.from_bytes(data)
    assert image.to_bytes() == data
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert all(any(piece) for _, piece in image.extents)


@settings(deadline=None)
@given(_SPARSE, st.data())
def test_patch_is_a_slice_assignment(data: bytes, draw: st.DataObject) -> None:
    offset = draw.draw(st.integers(0, len(data)))
    patch = draw.draw(st.binary(max_size=min(600, len(data) - offset)))
    expected = bytearray(data)
    expected[offset : offset + len(patch)] = patch
    image = Image.from_bytes(data).patched(offset, patch)
    assert image == Image.from_bytes(bytes(expected))
    assert image.read(offset, len(patch)) == patch


@settings(deadline=None)
@given(_SPARSE, _SPARSE)
def test_delta_leads_from_one_image_to_the_other(one: bytes, other: bytes) -> None:
    size = max(len(one), len(other))
    base = Image.from_bytes(one.ljust(size, b"\0"))
    image = Image.from_bytes(other.ljust(size, b"\0"))
    assert base.patched_all(image.delta(base)) == image
    assert image.delta(image) == ()


@settings(deadline=None)
@given(_SPARSE, st.data())
def test_truncation_cuts_the_end(data: bytes, draw: st.DataObject) -> None:
    size = draw.draw(st.integers(0, len(data)))
    assert Image.from_bytes(data).truncated(size).to_bytes() == data[:size]


def test_file_is_sparse_and_reads_back(tmp_path: Path) -> None:
    image = Image.of("x", 64 << 20, [(0, b"start"), (40 << 20, b"middle" * 1000)])
    path = tmp_path / "x"
    image.write(path)
    assert path.stat().st_size == 64 << 20
    assert path.stat().st_blocks * 512 < 1 << 20
    assert Image.from_file(path) == image


def test_zeros_written_over_data_leave_no_extent() -> None:
    image = Image.from_bytes(b"a" * 1024)
    assert image.patched(0, bytes(1024), name="image") == blank(1024, "image")


@pytest.mark.parametrize(
    "extents", [((5, b"a"), (5, b"b")), ((9, b"ab"),), ((4, b"a"), (1, b"b")), ((-1, b"a"),)]
)
def test_extents_that_overlap_or_leave_the_image_are_refused(
    extents: tuple[tuple[int, bytes], ...],
) -> None:
    with pytest.raises(UsageError, match="expected ascending"):
        Image(name="x", size=10, extents=extents)


def test_patch_outside_is_refused() -> None:
    with pytest.raises(UsageError, match="expected 0 to 10"):
        blank(10).patched(8, b"abc")
    with pytest.raises(UsageError, match="expected 0 to 10"):
        blank(10).truncated(11)
