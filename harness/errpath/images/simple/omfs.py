"""An empty Optimized MPEG File System volume, as a Rio Karma has it (fs/omfs/omfs_fs.h).

With a free-space bitmap, which the driver copies into memory at every mount.
"""

from __future__ import annotations

import struct

from errpath.errors import UsageError
from errpath.images.image import Image

__all__ = ["empty"]

# System blocks and data blocks of one size: the driver's shift between the two is then 0.
_BLOCK = 2048
_MAGIC = 0xC2993D87
_ROOT_BLOCK, _BITMAP, _ROOT_DIRECTORY = 1, 2, 3
_NONE = 0xFFFFFFFFFFFFFFFF
_DIRECTORY_START = 0x1B8
# struct omfs_header: h_self, h_body_size, h_crc, filler; h_version, h_type, h_magic, h_check_xor.
_HEADER = struct.Struct(">QIHxx B1sBBI")
_HEADER_MAGIC = 0xD2


def _crc(data: bytes) -> int:
    """CRC-CCITT with the highest bit first and nothing inverted (the kernel's crc_itu_t)."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def _block(number: int, body: bytes) -> bytes:
    """A system block: its header vouches for itself and for the body."""
    body = body.ljust(_BLOCK - _HEADER.size, b"\0")
    head = _HEADER.pack(number, len(body), _crc(body), 1, b"s", _HEADER_MAGIC, 0, 0)
    check = 0
    for byte in head[:19]:
        check ^= byte
    return head[:19] + bytes([check]) + head[20:] + body


def empty(size: int) -> Image:
    """A volume of `size` bytes with an empty root directory.

    Raises:
        UsageError: `size` is no number of blocks, or too small or large for one bitmap block.
    """
    blocks, rest = divmod(size, _BLOCK)
    if rest or not _ROOT_DIRECTORY < blocks <= _BLOCK * 8:
        raise UsageError(f"omfs: got {size} bytes; expected 4 to {_BLOCK * 8} blocks of {_BLOCK}")
    # s_root_block, s_num_blocks, s_magic, s_blocksize, s_mirrors, s_sys_blocksize
    super_block = bytes(256) + struct.pack(
        ">QQIIII", _ROOT_BLOCK, blocks, _MAGIC, _BLOCK, 1, _BLOCK
    )
    # r_fill1, r_num_blocks, r_root_dir, r_bitmap, r_blocksize, r_clustersize, r_mirrors, r_name
    root = struct.pack(
        ">QQQQIIQ256s", 0, blocks, _ROOT_DIRECTORY, _BITMAP, _BLOCK, 1, 1, b"errpath"
    )
    # i_parent, i_sibling, i_ctime, i_type, i_name, i_size
    inode = struct.pack(">QQQ35x1sI64x256sQ", _NONE, _NONE, 0, b"D", 0, b"", _BLOCK)
    inode = inode.ljust(_DIRECTORY_START - _HEADER.size, b"\0")
    # The hash buckets up to the block's end, all empty.
    inode = inode.ljust(_BLOCK - _HEADER.size, b"\xff")
    # One bit a block, the lowest first; set is used.
    bitmap = ((1 << _ROOT_DIRECTORY + 1) - 1).to_bytes(_BLOCK, "little")
    pieces = [
        (0, super_block),
        (_ROOT_BLOCK * _BLOCK, _block(_ROOT_BLOCK, root)),
        (_ROOT_DIRECTORY * _BLOCK, _block(_ROOT_DIRECTORY, inode)),
        (_BITMAP * _BLOCK, bitmap),
    ]
    return Image.of("omfs", size, pieces)
