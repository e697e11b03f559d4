"""struct pages read from a guest's RAM through its page tables."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from errpath.errors import InfrastructureError
from errpath.guest.offsets import Offsets
from errpath.guest.pages import count_at, held_buffers, held_pages, page_count
from errpath.guest.ram import GuestRam

_PAGE, _MIB = 4096, 1 << 20
_VMEMMAP = 0xFFFFEA0000000000
_TABLES = (0x1000, 0x2000, 0x3000)
_TOP = 0xFFFFFFFF80000000 + _TABLES[0]
# The memory map of 8 MiB: 2048 frames of 64 bytes, in one large page.
_MAP = 2 * _MIB


@pytest.fixture
def ram() -> Iterator[GuestRam]:
    memory = GuestRam(8 * _MIB)
    for shift, table, below in zip((39, 30), _TABLES, _TABLES[1:], strict=False):
        memory.write_word(table + (_VMEMMAP >> shift & 511) * 8, below | 3)
    memory.write_word(_TABLES[2] + (_VMEMMAP >> 21 & 511) * 8, _MAP | 0x83)
    for frame in range(2048):
        _page(memory, frame, refcount=0)
    yield memory
    memory.close()


def _page(
    ram: GuestRam,
    frame: int,
    *,
    refcount: int,
    mapping: int = 0,
    mapcount: int = -1,
    head: int = 0,
    private: int = 0,
) -> None:
    words = struct.pack("<QQQQQQiiQ", 0, head, 0, mapping, 0, private, mapcount, refcount, 0)
    os.pwrite(ram.fd, words, _MAP + frame * 64)


def test_what_is_held_and_belongs_to_nobody(ram: GuestRam) -> None:
    _page(ram, 7, refcount=1)
    _page(ram, 8, refcount=2, mapping=0xFFFF888000001000)
    _page(ram, 9, refcount=1, mapcount=-0x0F000000)
    _page(ram, 10, refcount=1, head=1)
    _page(ram, 2047, refcount=3)
    assert held_pages(ram, _TOP) == {7, 2047}
    count = page_count(7)
    assert count.address == _VMEMMAP + 7 * 64 + 48
    assert (count.of(2 << 32 | 0xFFFFFFFF), count.of(0xFFFFFFFE << 32)) == (2, -2)


_OFFSETS = Offsets(*range(0, 8 * len(Offsets._fields), 8))._replace(
    b_this_page=8, b_page=16, b_count=92
)
_BUFFERS = tuple(0xFFFF888000005000 + 104 * n for n in range(3))


def _buffers(ram: GuestRam, frame: int, *counts: int) -> None:
    """A page's ring of buffers."""
    for buffer, following, count in zip(
        _BUFFERS, (*_BUFFERS[1:], _BUFFERS[0]), counts, strict=True
    ):
        words = struct.pack("<QQQ68xi", 0, following, _VMEMMAP + frame * 64, count)
        os.pwrite(ram.fd, words, buffer - 0xFFFF888000000000)


def test_buffers_that_are_held(ram: GuestRam) -> None:
    _page(ram, 7, refcount=1, private=_BUFFERS[0])
    _buffers(ram, 7, 0, 2, 1)
    held = held_buffers(ram, _TOP, 7, _OFFSETS)
    assert held == tuple(count_at(buffer + 92) for buffer in _BUFFERS[1:])
    assert held[0].of(ram.read_word(held[0].address - 0xFFFF888000000000)) == 2


def test_private_data_that_is_no_buffer(ram: GuestRam) -> None:
    for private in (0, 5, _BUFFERS[0], 0xFFFF888000000000 + (8 << 20)):
        _page(ram, 7, refcount=1, private=private)
        assert held_buffers(ram, _TOP, 7, _OFFSETS) == ()
    # A buffer of another page.
    _page(ram, 7, refcount=1, private=_BUFFERS[0])
    _buffers(ram, 8, 1, 1, 1)
    assert held_buffers(ram, _TOP, 7, _OFFSETS) == ()


def test_holes_of_the_memory_map(ram: GuestRam) -> None:
    _page(ram, 7, refcount=1)
    ram.write_word(_TABLES[2] + (_VMEMMAP >> 21 & 511) * 8, 0)
    assert held_pages(ram, _TOP) == frozenset()


def test_page_tables_that_lead_nowhere(ram: GuestRam) -> None:
    ram.write_word(_TABLES[0] + (_VMEMMAP >> 39 & 511) * 8, 0x7FFFFFFFF003)
    with pytest.raises(InfrastructureError, match="expected it inside"):
        held_pages(ram, _TOP)
