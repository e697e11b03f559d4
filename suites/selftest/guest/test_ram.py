"""Memory files: words, holes, copies."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.errors import InfrastructureError
from errpath.guest.ram import GuestRam, copy_extents, data_extents, digest_extents

_SIZE = 1 << 20


@pytest.fixture
def ram() -> Iterator[GuestRam]:
    one = GuestRam(_SIZE)
    yield one
    one.close()


def test_a_word_comes_back(ram: GuestRam) -> None:
    ram.write_word(_SIZE - 8, 2**64 - 1)
    assert ram.read_word(_SIZE - 8) == 2**64 - 1
    assert os.pread(ram.fd, 8, 0) == bytes(8)


@pytest.mark.parametrize("address", [-8, 3, _SIZE, _SIZE - 4])
def test_a_word_must_lie_in_memory(ram: GuestRam, address: int) -> None:
    with pytest.raises(InfrastructureError, match="expected a multiple of 8 below"):
        ram.read_word(address)
    with pytest.raises(InfrastructureError, match="expected a multiple of 8 below"):
        ram.write_word(address, 0)


def test_nothing_is_taken_before_it_is_written(ram: GuestRam) -> None:
    assert ram.allocated == 0
    ram.write_word(8192, 1)
    assert 0 < ram.allocated < _SIZE // 4


@given(writes=st.lists(st.tuples(st.integers(0, _SIZE - 64), st.binary(min_size=1, max_size=64))))
def test_a_copy_is_equal_and_as_sparse(writes: list[tuple[int, bytes]]) -> None:
    one, other = GuestRam(_SIZE), GuestRam(_SIZE)
    try:
        for offset, data in writes:
            os.pwrite(one.fd, data, offset)
        copied = copy_extents(one.fd, other.fd)
        assert os.pread(other.fd, _SIZE, 0) == os.pread(one.fd, _SIZE, 0)
        assert other.allocated == one.allocated
        assert list(data_extents(other.fd)) == list(copied)
        assert digest_extents(one.fd, copied) == digest_extents(other.fd, copied)
    finally:
        one.close()
        other.close()


def test_a_copy_is_its_own(ram: GuestRam) -> None:
    ram.write_word(0, 7)
    other = GuestRam(_SIZE)
    copy_extents(ram.fd, other.fd)
    other.write_word(0, 8)
    assert ram.read_word(0) == 7
    other.close()


def test_a_digest_tells_one_changed_byte(ram: GuestRam) -> None:
    ram.write_word(4096, 1)
    extents = list(data_extents(ram.fd))
    before = digest_extents(ram.fd, extents)
    os.pwrite(ram.fd, b"\1", 4200)
    assert digest_extents(ram.fd, extents) != before


def test_a_digest_ends_with_the_file(ram: GuestRam) -> None:
    with pytest.raises(ValueError, match="the file ends at"):
        digest_extents(ram.fd, [(_SIZE - 10, 11)])
