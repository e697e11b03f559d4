"""An empty Amiga Fast File System volume (fs/affs/amigaffs.h, fs/affs/super.c)."""

from __future__ import annotations

import struct

from errpath.errors import UsageError
from errpath.images.image import Image

__all__ = ["empty"]

_BLOCK = 512
# Blocks before the filesystem proper; the first holds its signature.
_RESERVED = 2
_SIGNATURE = b"DOS\x01"
_T_SHORT, _ST_ROOT = 2, 1
# Blocks that one bitmap block of 512 bytes describes: its first word is a checksum.
_BITMAP_BITS = _BLOCK * 8 - 32


def _summed(words: list[int], at: int) -> bytes:
    """The block with the word at index `at` chosen so that all words sum to 0."""
    words[at] = -sum(words) & 0xFFFFFFFF
    return struct.pack(f">{len(words)}I", *words)


def empty(size: int) -> Image:
    """A volume of `size` bytes with an empty root directory.

    Raises:
        UsageError: `size` is no number of blocks that one bitmap block can describe.
    """
    blocks, rest = divmod(size, _BLOCK)
    if rest or not 8 <= blocks <= _BITMAP_BITS:
        raise UsageError(f"affs: got {size} bytes; expected 8 to {_BITMAP_BITS} blocks of 512")
    # Where affs_fill_super() looks for it.
    root = (_RESERVED + blocks - 1) // 2
    bitmap = root + 1
    count = _BLOCK // 4
    words = [0] * count
    words[0] = _T_SHORT
    words[3] = count - 56  # hash_size
    words[count - 50] = 0xFFFFFFFF  # bm_flag: the bitmap is valid
    words[count - 49] = bitmap  # bm_blk[0]
    name = b"\x07errpath".ljust(32, b"\0")  # disk_name: a length, then the name
    words[count - 20 : count - 12] = struct.unpack(">8I", name)
    words[count - 1] = _ST_ROOT
    # One bit for each block after the reserved ones, the lowest of a word first; 1 is free.
    bits = (1 << blocks - _RESERVED) - 1
    for used in (root, bitmap):
        bits &= ~(1 << used - _RESERVED)
    free = [0, *(bits >> 32 * n & 0xFFFFFFFF for n in range(count - 1))]
    pieces = [
        (0, _SIGNATURE),
        (root * _BLOCK, _summed(words, 5)),
        (bitmap * _BLOCK, _summed(free, 0)),
    ]
    return Image.of("affs", size, pieces)
