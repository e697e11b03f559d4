"""An empty QNX6 filesystem behind a boot block (include/linux/qnx6_fs.h, fs/qnx6/inode.c)."""

from __future__ import annotations

import struct

from errpath.errors import UsageError
from errpath.images.image import Image

__all__ = ["empty", "empty_mmi"]

_BLOCK = 512
_MAGIC = 0x68191122
# Bytes of the boot block, and of the area that each superblock has.
_BOOT, _AREA = 0x2000, 0x1000
_ROOT_INODE = 1
_S_IFDIR = 0o040755
_POINTERS = 16
_UNUSED = 0xFFFFFFFF
# struct qnx6_super_block from sb_serial to sb_allocgroup: what stands before it, magic and
# checksum, is not summed up.
_SUPER = struct.Struct("<QIIIHH16sIIIIII")
# struct qnx6_mmi_super_block from sb_serial to sb_spare1.
_MMI_SUPER = struct.Struct("<Q12s12sIIIII4x")
# struct qnx6_root_node.
_ROOT_NODE = struct.Struct(f"<Q{_POINTERS}IBB6x")
# struct qnx6_inode_entry.
_INODE = struct.Struct(f"<QIIIIIIHH{_POINTERS}IBB2x24x")
# struct qnx6_dir_entry.
_ENTRY = struct.Struct("<IB27s")


def _crc32_be(data: bytes) -> int:
    """crc32_be() of lib/crc, which begins with 0."""
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 1 << 31 else 0)) & 0xFFFFFFFF
    return crc


def _pointers(*blocks: int) -> tuple[int, ...]:
    return (*blocks, *[_UNUSED] * (_POINTERS - len(blocks)))


def empty(size: int) -> Image:
    """A filesystem of `size` bytes with an empty root directory.

    Raises:
        UsageError: `size` is no number of blocks, or too small.
    """
    blocks = _blocks(size, _BOOT + 2 * _AREA)

    def superblock(serial: int) -> bytes:
        fixed = (0, 0, 0, 3, 0, b"errpath", _BLOCK, 4, 3, blocks, blocks - 2, 0)
        return _superblock(_SUPER.pack(serial, *fixed))

    first = _BOOT + _AREA
    pieces = [
        (_BOOT, superblock(2)),
        *_root(first),
        (first + blocks * _BLOCK, superblock(1)),
    ]
    return Image.of("qnx6", size, pieces)


def empty_mmi(size: int) -> Image:
    """The same as Audi's MMI has it (mount option mmi_fs): no boot block, and other superblocks
    (fs/qnx6/super_mmi.c).

    Raises:
        UsageError: `size` is no number of blocks, or too small.
    """
    blocks = _blocks(size, 2 * _AREA)

    def superblock(serial: int) -> bytes:
        return _superblock(
            _MMI_SUPER.pack(serial, b"", b"errpath", _BLOCK, 4, 3, blocks, blocks - 2)
        )

    pieces = [(0, superblock(2)), *_root(_AREA), (_AREA + blocks * _BLOCK, superblock(1))]
    return Image.of("qnx6-mmi", size, pieces)


def _blocks(size: int, reserved: int) -> int:
    """Blocks beside what is reserved.

    Raises:
        UsageError: they are no number of blocks, too few or too many.
    """
    blocks, rest = divmod(size - reserved, _BLOCK)
    if rest or not 2 <= blocks <= 1 << 20:
        least = reserved + 2 * _BLOCK
        raise UsageError(f"qnx6: got {size} bytes; expected {least} to 512 MiB, in blocks of 512")
    return blocks


def _superblock(fields: bytes) -> bytes:
    """Magic, checksum, and what that is of: fields and root nodes."""
    nodes = (
        _ROOT_NODE.pack(_BLOCK, *_pointers(0), 0, 0),
        *[_ROOT_NODE.pack(0, *_pointers(), 0, 0)] * 3,
    )
    summed = (fields + b"".join(nodes)).ljust(_BLOCK - 8, b"\0")
    return struct.pack("<II", _MAGIC, _crc32_be(summed)) + summed


def _root(at: int) -> tuple[tuple[int, bytes], ...]:
    """Block 0, with the inodes, and block 1, the root directory; they count from `at`."""
    inode = _INODE.pack(64, *[0] * 6, _S_IFDIR, 0, *_pointers(1), 0, 1)
    names = [_ENTRY.pack(_ROOT_INODE, len(name), name) for name in (b".", b"..")]
    return (at, inode), (at + _BLOCK, b"".join(names))
