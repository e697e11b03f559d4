"""An ADFS disc of E format with one small file (fs/adfs/map.c, dir_f.c, super.c)."""

from __future__ import annotations

import struct

from errpath.errors import UsageError
from errpath.images.image import Image

__all__ = ["volume", "zone_check"]

_BLOCK, _SHIFT = 1024, 10
# Bits of a fragment's identifier; a bit of the map stands for a block.
_ID_BITS = 13
# adfs_discrecord; its place in the map's only zone, behind four bytes of header.
_RECORD = struct.Struct("<10B H I I H 10s I I 4B I I 8x")
_RECORD_AT = 4
# Map bits before the first that stands for a block.
_FIRST = 8 * (_RECORD_AT + 60)
# Fragments: the map, its copy and the root directory; the file; what is free.
_ROOT, _FILE = 2, 3
_FRAGMENT = 16
_DIRECTORY = 2048
_DATA = b"errpath\n"
# Owner may read and write, others read; a text file.
_ATTRIBUTES, _LOAD = 0x23, 0xFFFFFF00


def zone_check(block: bytes) -> int:
    """adfs_calczonecheck(): of a map block, but for its first byte."""
    sums = [0, 0, 0, 0]
    for at in range(len(block) - 4, 0, -4):
        for n in range(4):
            sums[n] += block[at + n] + (sums[n - 1] >> 8)
            sums[n - 1] &= 0xFF
    sums[0] += sums[3] >> 8
    for n in range(1, 4):
        sums[n] += block[n] + (sums[n - 1] >> 8)
    return (sums[0] ^ sums[1] ^ sums[2] ^ sums[3]) & 0xFF


def _map(blocks: int) -> bytes:
    fragments = (_ROOT, _FRAGMENT), (_FILE, _FRAGMENT), (0, blocks - 2 * _FRAGMENT)
    bits, at = 0, _FIRST
    for identifier, length in fragments:
        # The last bit of a fragment is set.
        bits |= identifier << at | 1 << at + length - 1
        at += length
    # Where the first free fragment is, from here.
    bits |= _FIRST + 2 * _FRAGMENT - 8 << 8
    bits |= 0xFF << 24
    record = _RECORD.pack(
        *(_SHIFT, 5, 2, 2, _ID_BITS, _SHIFT, 1, 0, 0, 1),
        *(32, _ROOT << 8 | 3, blocks * _BLOCK, 1, b"errpath   ", 0, 0),
        *(0, 0, 0, 0, 0, 0),
    )
    bits |= int.from_bytes(record, "little") << 8 * _RECORD_AT
    block = bits.to_bytes(_BLOCK, "little")
    return bytes([zone_check(block)]) + block[1:]


def _rotated(value: int) -> int:
    return (value >> 13 | value << 19) & 0xFFFFFFFF


def _check_byte(directory: bytes, end: int) -> int:
    """adfs_dir_checkbyte(): of the entries up to `end`, and of the tail."""
    check = 0
    words = [*range(0, end & ~3, 4)]
    for at in words:
        check = int.from_bytes(directory[at : at + 4], "little") ^ _rotated(check)
    for byte in directory[end & ~3 : end]:
        check = byte ^ _rotated(check)
    for at in range(2008, 2044, 4):
        check = int.from_bytes(directory[at : at + 4], "little") ^ _rotated(check)
    return (check ^ check >> 8 ^ check >> 16 ^ check >> 24) & 0xFF


def _root() -> bytes:
    name = b"readme".ljust(10, b"\r")
    entry = name + struct.pack("<III", _LOAD, 0, len(_DATA))
    entry += (_FILE << 8).to_bytes(3, "little") + bytes([_ATTRIBUTES])
    head = b"\0Hugo" + entry
    parent = (_ROOT << 8 | 3).to_bytes(3, "little")
    title = b"errpath".ljust(19, b"\r")
    tail = bytes(3) + parent + title + b"$".ljust(10, b"\r") + b"\0Hugo"
    directory = head.ljust(2007, b"\0") + tail + b"\0"
    return directory[:-1] + bytes([_check_byte(directory, len(head))])


def volume(size: int) -> Image:
    """A disc of `size` bytes.

    Raises:
        UsageError: `size` is no number of blocks that one zone can describe.
    """
    blocks, rest = divmod(size, _BLOCK)
    if rest or not 4 * _FRAGMENT <= blocks <= 8 * _BLOCK - _FIRST - 32:
        most = 8 * _BLOCK - _FIRST - 32
        raise UsageError(
            f"adfs: got {size} bytes; expected {4 * _FRAGMENT} to {most} blocks of 1024"
        )
    zone = _map(blocks)
    pieces = [(0, zone), (_BLOCK, zone), (2 * _BLOCK, _root()), (_FRAGMENT * _BLOCK, _DATA)]
    return Image.of("adfs", size, pieces)
