"""An empty QNX 4 filesystem (include/uapi/linux/qnx4_fs.h, fs/qnx4/inode.c)."""

from __future__ import annotations

import struct

from errpath.errors import UsageError
from errpath.images.image import Image

__all__ = ["empty"]

_BLOCK = 512
# The root's blocks on disk count from 1. Entries of 64 bytes; the superblock is block 1, whose
# first entry, inode 8, is the root directory itself.
_SUPER, _ROOT_DIRECTORY, _BITMAP = 1, 2, 3
_FILE_USED = 0x01
_S_IFDIR, _S_IFREG = 0o040755, 0o100644
# struct qnx4_inode_entry: di_fname, di_size, di_first_xtnt (blk, size), di_xblk, four times,
# di_num_xtnts, di_mode, di_uid, di_gid, di_nlink, di_zero, di_type, di_status.
_ENTRY = struct.Struct("<16sI II I IIII H H H H H 4x B B")


def _entry(name: bytes, size: int, block: int, mode: int, links: int) -> bytes:
    blocks = -(-size // _BLOCK)
    extent = (block + 1, blocks)
    return _ENTRY.pack(name, size, *extent, 0, 0, 0, 0, 0, 1, mode, 0, 0, links, 0, _FILE_USED)


def empty(size: int) -> Image:
    """A filesystem of `size` bytes whose root holds nothing but the bitmap file.

    Raises:
        UsageError: `size` is no number of blocks that one block of bitmap can describe.
    """
    blocks, rest = divmod(size, _BLOCK)
    if rest or not _BITMAP < blocks <= _BLOCK * 8:
        raise UsageError(f"qnx4: got {size} bytes; expected 4 to {_BLOCK * 8} blocks of 512")
    bitmap = ((1 << _BITMAP + 1) - 1).to_bytes(-(-blocks // 8), "little")
    pieces = [
        (_SUPER * _BLOCK, _entry(b"/", _BLOCK, _ROOT_DIRECTORY, _S_IFDIR, 2)),
        (
            _ROOT_DIRECTORY * _BLOCK,
            _entry(b".bitmap", len(bitmap), _BITMAP, _S_IFREG, 1),
        ),
        (_BITMAP * _BLOCK, bitmap),
    ]
    return Image.of("qnx4", size, pieces)
