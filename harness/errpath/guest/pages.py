"""The guest's struct pages, read from its RAM: which pages and buffers somebody still holds.

x86-64 with four levels of page tables and nothing relocated (nokaslr), as errpath's guests are
(include/linux/mm_types.h, Documentation/arch/x86/x86_64/mm.rst).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from errpath.errors import InfrastructureError
from errpath.guest.offsets import Offsets
from errpath.guest.ram import GuestRam

__all__ = [
    "DIRECT_MAP",
    "IMAGE_MAP",
    "Count",
    "KernelMemory",
    "count_at",
    "frame_words",
    "held_buffers",
    "held_pages",
    "page_count",
    "page_extent",
    "translate",
]

_PAGE = 4096
_VMEMMAP = 0xFFFF_EA00_0000_0000
# Where the kernel maps all memory, and its own image.
DIRECT_MAP = 0xFFFF_8880_0000_0000
IMAGE_MAP = 0xFFFF_FFFF_8000_0000
# struct page: flags, compound_head or lru, …, mapping, index, private, _mapcount and _refcount.
_STRUCT = struct.Struct("<8Q")
_REFCOUNT, _PRIVATE = 52, 40
# Blocks of 512 bytes in a page.
_BUFFERS_MAX = 8
_NO_MAPCOUNT = -1
# Where the kernel's half of the addresses begins.
_KERNEL = 0xFFFF_8000_0000_0000
# Of an entry of a page table.
_PRESENT, _LARGE = 1, 1 << 7
_ADDRESS = 0x000F_FFFF_FFFF_F000


class KernelMemory:
    """A guest's memory by the kernel's virtual addresses."""

    def __init__(self, ram: GuestRam, symbols: Mapping[str, int]) -> None:
        self.ram = ram
        self._table = symbols.get("init_top_pgt", 0) - IMAGE_MAP

    def read(self, address: int, size: int) -> bytes:
        """Bytes that do not cross a page; b"" where nothing is mapped.

        Raises:
            InfrastructureError: the page tables lead out of the guest's memory.
        """
        if address < _KERNEL or not self._table > 0:
            return b""
        physical = translate(self.ram, self._table, address)
        if physical is None or physical + size > self.ram.size:
            return b""
        return os.pread(self.ram.fd, size, physical)

    def word(self, address: int) -> int | None:
        """The 64-bit word at an address; None where nothing is mapped."""
        data = self.read(address, 8)
        return int.from_bytes(data, "little") if len(data) == 8 else None


@dataclass(frozen=True)
class Count:
    """A reference count in the guest: a 32-bit half of an aligned 64-bit word."""

    # The word's virtual address.
    address: int
    # Bits to shift the word by: 0 or 32.
    shift: int = 0
    # What it is when it has been allocated.
    born: int = 0

    def of(self, word: int) -> int:
        """The count in a value of the word, signed."""
        return _signed(word >> self.shift)


def count_at(address: int, *, born: int = 0) -> Count:
    """The count of 32 bits at an address."""
    return Count(address & ~7, 8 * (address & 4), born)


def page_count(frame: int) -> Count:
    """_refcount of a page frame, which shares a word with _mapcount."""
    return count_at(_VMEMMAP + frame * _STRUCT.size + _REFCOUNT, born=1)


def page_extent() -> tuple[int, int]:
    """Where _refcount lies in a struct page, and the size of one, in bytes."""
    return _REFCOUNT, _STRUCT.size


def held_pages(ram: GuestRam, top: int) -> frozenset[int]:
    """The page frames that are referenced and belong to no file, no process and no slab. `top` is
    the address of `init_top_pgt`.

    Raises:
        InfrastructureError: the page tables do not lead there.
    """
    held = set()
    for frame, words in frame_words(ram, top):
        mapping, counts = words[3], words[6]
        mapcount, refcount = _signed(counts), _signed(counts >> 32)
        if refcount > 0 and not mapping and mapcount == _NO_MAPCOUNT and not words[1] & 1:
            held.add(frame)
    return frozenset(held)


def frame_words(ram: GuestRam, top: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Each page frame with the 64-bit words of its struct page. `top` is the address of
    `init_top_pgt`.

    Raises:
        InfrastructureError: the page tables do not lead there.
    """
    per_page = _PAGE // _STRUCT.size
    for first in range(0, ram.size // _PAGE, per_page):
        physical = translate(ram, top - IMAGE_MAP, _VMEMMAP + first * _STRUCT.size)
        if physical is None:
            # A hole in the memory map.
            continue
        data = os.pread(ram.fd, _PAGE, physical)
        yield from enumerate(_STRUCT.iter_unpack(data), first)


def _signed(word: int) -> int:
    half = word & 0xFFFF_FFFF
    return half - (1 << 32) if half >> 31 else half


def held_buffers(ram: GuestRam, top: int, frame: int, offsets: Offsets) -> tuple[Count, ...]:
    """b_count of each buffer of a page frame that is referenced; () for a page without buffers.

    Raises:
        InfrastructureError: the page tables or the buffers lead out of the guest's memory.
    """
    page = _VMEMMAP + frame * _STRUCT.size
    physical = translate(ram, top - IMAGE_MAP, page)
    if physical is None:
        return ()
    first = buffer = ram.read_word(physical + _PRIVATE)
    held = []
    for _ in range(_BUFFERS_MAX):
        at = buffer - DIRECT_MAP
        # What is not a buffer of this page is something else's private data.
        if at % 8 or not 0 <= at < ram.size - _PAGE or ram.read_word(at + offsets.b_page) != page:
            return ()
        count = count_at(buffer + offsets.b_count)
        if count.of(ram.read_word(count.address - DIRECT_MAP)) > 0:
            held.append(count)
        buffer = ram.read_word(at + offsets.b_this_page)
        if buffer == first:
            break
    return tuple(held)


def translate(ram: GuestRam, table: int, address: int) -> int | None:
    """The physical address of a virtual one, by the page table at a physical address; None where
    nothing is mapped.

    Raises:
        InfrastructureError: the tables lead out of the guest's memory.
    """
    for shift in (39, 30, 21, 12):
        if not 0 <= table < ram.size:
            raise InfrastructureError(f"guest RAM: a page table at {table:#x}; expected it inside")
        entry = ram.read_word(table + (address >> shift & 511) * 8)
        if not entry & _PRESENT:
            return None
        if shift == 12 or entry & _LARGE:
            mask = (1 << shift) - 1
            return (entry & _ADDRESS & ~mask) | (address & mask)
        table = entry & _ADDRESS
    return None
