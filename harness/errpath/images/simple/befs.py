"""An empty BeFS, little endian (fs/befs/befs_fs_types.h, fs/befs/super.c, fs/befs/btree.c)."""

from __future__ import annotations

import struct

from errpath.errors import UsageError
from errpath.images.image import Image

__all__ = ["empty"]

_BLOCK, _SHIFT = 1024, 10
_MAGICS = (0x42465331, 0xDD121031, 0x15B6830E)
_BYTE_ORDER = 0x42494745
_CLEAN = 0x434C454E
_INODE_MAGIC, _IN_USE = 0x3BBE0AD9, 1
_BTREE_MAGIC = 0x69F6C2E8
_S_IFDIR = 0o040755
# Blocks of the root directory's inode, and of its B+tree: a header, then the only node.
_ROOT, _TREE = 2, 3
_NONE = 2**64 - 1
# befs_disk_block_run: allocation group, start, length.
_RUN = struct.Struct("<IHH")
# befs_super_block.
_SUPER = struct.Struct("<32sIIII QQ I IIII I 8s QQ I 8s8s")
# befs_inode up to its data stream, and the rest of it.
_INODE = struct.Struct("<I8s IIII QQ 8s8s III")
_STREAM = struct.Struct("<96sQ 8sQ 8sQ Q")


def _run(start: int, length: int) -> bytes:
    return _RUN.pack(0, start, length)


def _root() -> bytes:
    head = _INODE.pack(
        *(_INODE_MAGIC, _run(_ROOT, 1), 0, 0, _S_IFDIR, _IN_USE),
        *(0, 0, _run(_ROOT, 1), bytes(8), 0, _BLOCK, 0),
    )
    size = 2 * _BLOCK
    direct = _run(_TREE, 2).ljust(96, b"\0")
    return head + _STREAM.pack(direct, size, bytes(8), 0, bytes(8), 0, size)


def _tree() -> bytes:
    """The header and one leaf with the names "." and ".."."""
    header = struct.pack("<IIIIQQQ", _BTREE_MAGIC, _BLOCK, 1, 0, _BLOCK, _NONE, 2 * _BLOCK)
    names = (b".", b"..")
    keys = b"".join(names)
    leaf = struct.pack("<QQQHH", _NONE, _NONE, _NONE, len(names), len(keys)) + keys
    # The lengths of the keys, added up, and the values are aligned to eight bytes.
    leaf = leaf.ljust((len(leaf) + 7) // 8 * 8, b"\0")
    leaf += struct.pack("<HH", 1, 3) + struct.pack("<QQ", _ROOT, _ROOT)
    return header.ljust(_BLOCK, b"\0") + leaf


def empty(size: int) -> Image:
    """A filesystem of `size` bytes with an empty root directory.

    Raises:
        UsageError: `size` is no number of blocks, or too small.
    """
    blocks, rest = divmod(size, _BLOCK)
    if rest or not _TREE + 2 <= blocks <= 8192:
        raise UsageError(f"befs: got {size} bytes; expected {_TREE + 2} to 8192 blocks of 1024")
    super_block = _SUPER.pack(
        *(b"errpath", _MAGICS[0], _BYTE_ORDER, _BLOCK, _SHIFT, blocks, _TREE + 2, _BLOCK),
        *(_MAGICS[1], 8192, 13, 1, _CLEAN, _run(1, 1), 0, 0),
        *(_MAGICS[2], _run(_ROOT, 1), _run(0, 0)),
    )
    pieces = [(512, super_block), (_ROOT * _BLOCK, _root()), (_TREE * _BLOCK, _tree())]
    return Image.of("befs", size, pieces)
