"""An empty SGI Extent File System, without a disk label (fs/efs/efs.h, fs/efs/super.c)."""

from __future__ import annotations

import struct

from errpath.errors import UsageError
from errpath.images.image import Image

__all__ = ["empty"]

_BLOCK = 512
_SUPER_BLOCK = 1
_MAGIC = 0x072959
# Inodes 0 to 3 fit the first block of the only cylinder group; the root is 2.
_FIRST_GROUP, _INODE_BLOCKS = 3, 1
_ROOT, _INODE_SIZE = 2, 128
_S_IFDIR = 0o040755
_DIR_MAGIC = 0xBEEF
# struct efs_super: fs_size, fs_firstcg, fs_cgfsize; fs_cgisize, fs_sectors, fs_heads, fs_ncg,
# fs_dirty, padding; fs_time, fs_magic, fs_fname, fs_fpack, fs_bmsize, fs_tfree, fs_tinode.
_SUPER = struct.Struct(">iii hhhhhxx ii6s6siii")
# struct efs_dinode up to its extents.
_INODE = struct.Struct(">HHHH IIIII HBB")


def _dentry(inode: int, name: bytes) -> bytes:
    """struct efs_dentry, padded to an even length: slots count in units of two bytes."""
    data = struct.pack(">IB", inode, len(name)) + name
    return data + bytes(len(data) % 2)


def _directory() -> bytes:
    """One directory block: entries fill it from its end, slots from its beginning."""
    body, slots = b"", []
    for name in (b".", b".."):
        body = _dentry(_ROOT, name) + body
        slots.append((_BLOCK - len(body)) // 2)
    head = struct.pack(">HBB", _DIR_MAGIC, slots[-1], len(slots)) + bytes(slots)
    return head.ljust(_BLOCK - len(body), b"\0") + body


def empty(size: int) -> Image:
    """A filesystem of `size` bytes with an empty root directory.

    Raises:
        UsageError: `size` is no number of blocks, or too small.
    """
    blocks, rest = divmod(size, _BLOCK)
    data_block = _FIRST_GROUP + _INODE_BLOCKS
    if rest or blocks <= data_block:
        raise UsageError(f"efs: got {size} bytes; expected more than {data_block} blocks of 512")
    super_block = _SUPER.pack(
        *(blocks, _FIRST_GROUP, blocks - _FIRST_GROUP),
        *(_INODE_BLOCKS, 1, 1, 1, 0),
        *(0, _MAGIC, b"errpat", b"errpat", 1, blocks - data_block - 1, 1),
    )
    inode = _INODE.pack(_S_IFDIR, 2, 0, 0, _BLOCK, 0, 0, 0, 0, 1, 1, 0)
    # One extent: magic 0, block number (24 bits), length (8 bits), logical offset (24 bits).
    inode += struct.pack(">I", data_block) + struct.pack(">I", 1 << 24)
    pieces = [
        (_SUPER_BLOCK * _BLOCK, super_block),
        (_FIRST_GROUP * _BLOCK + _ROOT * _INODE_SIZE, inode),
        (data_block * _BLOCK, _directory()),
    ]
    return Image.of("efs", size, pieces)
