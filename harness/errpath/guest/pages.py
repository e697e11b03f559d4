"""The guest's struct pages, read from its RAM: which pages somebody still holds.

x86-64 with four levels of page tables and nothing relocated (nokaslr), as errpath's guests are
(include/linux/mm_types.h, Documentation/arch/x86/x86_64/mm.rst).
"""

from __future__ import annotations

import os
import struct

from errpath.errors import InfrastructureError
from errpath.guest.ram import GuestRam

__all__ = ["DIRECT_MAP", "IMAGE_MAP", "count_word", "held_pages", "translate"]

_PAGE = 4096
_VMEMMAP = 0xFFFF_EA00_0000_0000
# Where the kernel maps all memory, and its own image.
DIRECT_MAP = 0xFFFF_8880_0000_0000
IMAGE_MAP = 0xFFFF_FFFF_8000_0000
# struct page: flags, compound_head or lru, …, mapping, …, _mapcount, _refcount.
_STRUCT = struct.Struct("<QQQQQQiiQ")
_COUNTS = 48
_NO_MAPCOUNT = -1
# Of an entry of a page table.
_PRESENT, _LARGE = 1, 1 << 7
_ADDRESS = 0x000F_FFFF_FFFF_F000


def count_word(frame: int) -> int:
    """The address of the eight bytes with _mapcount and _refcount of a page frame."""
    return _VMEMMAP + frame * _STRUCT.size + _COUNTS


def held_pages(ram: GuestRam, top: int) -> frozenset[int]:
    """The page frames that are referenced and belong to no file, no process and no slab. `top` is
    the address of `init_top_pgt`.

    Raises:
        InfrastructureError: the page tables do not lead there.
    """
    held = set()
    per_page = _PAGE // _STRUCT.size
    for first in range(0, ram.size // _PAGE, per_page):
        physical = translate(ram, top - IMAGE_MAP, _VMEMMAP + first * _STRUCT.size)
        if physical is None:
            # A hole in the memory map.
            continue
        data = os.pread(ram.fd, _PAGE, physical)
        for number, words in enumerate(_STRUCT.iter_unpack(data)):
            _, head, _, mapping, _, _, mapcount, refcount, _ = words
            if refcount > 0 and not mapping and mapcount == _NO_MAPCOUNT and not head & 1:
                held.add(first + number)
    return frozenset(held)


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
