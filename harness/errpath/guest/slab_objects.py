"""Inodes and dentries of a guest, found in the slabs of its memory (mm/slab.h).

An object is in use where its red zone says so (`slab_debug=Z`, SLUB_RED_ACTIVE). What is an inode
is known from the inode itself, whatever it is embedded in: its i_data points back to it as host.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from errpath.errors import InfrastructureError
from errpath.guest.offsets import Offsets
from errpath.guest.pages import (
    DIRECT_MAP,
    Count,
    KernelMemory,
    count_at,
    frame_words,
)
from errpath.guest.ram import GuestRam

__all__ = ["dentries", "inodes"]

_PAGE = 4096
_RED_ACTIVE = 0xCC
_OBJECTS = 0xFFFF
# Of a list that does not end.
_ENTRIES_MAX = 4096


@dataclass(frozen=True)
class _Cache:
    name: str
    # Bytes from one object to the next, and of the object without what SLUB adds.
    size: int
    object_size: int
    pad: int
    # Objects in a slab.
    objects: int


def inodes(
    symbols: Mapping[str, int], offsets: Offsets, ram: GuestRam, known: frozenset[int]
) -> dict[int, Count]:
    """i_count of each inode in use whose superblock is not listed (any more), by the address of the
    slab object that it is part of; objects at `known` addresses are passed over.

    Raises:
        InfrastructureError: the guest's tables lead out of its memory.
    """
    memory = _Memory(ram, symbols)
    listed = _superblocks(memory, offsets)
    found = {}
    for cache, address, data in _in_use(memory, offsets, known):
        for at in range(0, cache.object_size - offsets.inode_size + 1, 8):
            if _word(data, at + offsets.i_data_host) == address + at:
                if _word(data, at + offsets.i_sb) not in listed:
                    found[address] = count_at(address + at + offsets.i_count, born=1)
                break
    return found


def dentries(
    symbols: Mapping[str, int], offsets: Offsets, ram: GuestRam, known: frozenset[int]
) -> dict[int, Count]:
    """d_lockref.count of each dentry in use whose superblock is not listed (any more), by its
    address; those at `known` ones are passed over.

    Raises:
        InfrastructureError: the guest's tables lead out of its memory.
    """
    memory = _Memory(ram, symbols)
    listed = _superblocks(memory, offsets)
    return {
        address: count_at(address + offsets.d_count, born=1)
        for cache, address, data in _in_use(memory, offsets, known)
        if cache.name == "dentry" and _word(data, offsets.d_sb) not in listed
    }


class _Memory(KernelMemory):
    """What is there must be there: lists, and what is on them."""

    def __init__(self, ram: GuestRam, symbols: Mapping[str, int]) -> None:
        super().__init__(ram, symbols)
        self.symbols = symbols

    def number(self, address: int, size: int = 8) -> int:
        """The number of so many bytes at an address.

        Raises:
            InfrastructureError: nothing is mapped there.
        """
        return int.from_bytes(self.bytes_at(address, size), "little")

    def bytes_at(self, address: int, size: int) -> bytes:
        data = self.read(address, size)
        if len(data) != size:
            raise InfrastructureError(f"guest RAM: nothing at {address:#x}; expected a list")
        return data

    def entries(self, name: str, offset: int) -> Iterator[int]:
        """The addresses of what is on a list of the kernel, from the offset of its list_head."""
        head = self.symbols.get(name)
        if head is None:
            raise InfrastructureError(f"System.map: no {name}; expected it of every kernel")
        entry = self.number(head)
        for _ in range(_ENTRIES_MAX):
            if entry == head:
                return
            yield entry - offset
            entry = self.number(entry)


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _superblocks(memory: _Memory, offsets: Offsets) -> frozenset[int]:
    return frozenset(memory.entries("super_blocks", offsets.s_list))


def _in_use(
    memory: _Memory, offsets: Offsets, known: frozenset[int]
) -> Iterator[tuple[_Cache, int, bytes]]:
    """The cache, the address and the bytes of each object in use that an inode or a dentry fits
    into."""
    caches = {
        address: _cache(memory, offsets, address)
        for address in memory.entries("slab_caches", offsets.cache_list)
    }
    least = min(offsets.inode_size, offsets.dentry_size)
    for frame, words in frame_words(memory.ram, memory.symbols.get("init_top_pgt", 0)):
        cache = caches.get(words[offsets.slab_cache // 8])
        if cache is None or cache.object_size < least:
            continue
        slab = os.pread(memory.ram.fd, cache.objects * cache.size, frame * _PAGE)
        for number in range(cache.objects):
            at = number * cache.size + cache.pad
            address = DIRECT_MAP + frame * _PAGE + at
            end = at + cache.object_size
            if address not in known and end < len(slab) and slab[end] == _RED_ACTIVE:
                yield cache, address, slab[at:end]


def _cache(memory: _Memory, offsets: Offsets, address: int) -> _Cache:
    name = memory.bytes_at(memory.number(address + offsets.cache_name), 32).split(b"\0")[0]
    return _Cache(
        name.decode(errors="replace"),
        memory.number(address + offsets.cache_size, 4),
        memory.number(address + offsets.cache_object_size, 4),
        memory.number(address + offsets.cache_red_left_pad, 4),
        memory.number(address + offsets.cache_oo, 4) & _OBJECTS,
    )
