"""A Veritas File System of version 2 as UnixWare has it (fs/freevxfs/vxfs.h, vxfs_olt.h,
vxfs_fshead.h, vxfs_inode.h, vxfs_dir.h): a root directory with a file and a symbolic link."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from errpath.errors import UsageError
from errpath.images.image import Image

__all__ = ["volume"]

_BLOCK = 1024
_MAGIC, _VERSION = 0xA501FCF5, 2
# The superblock's fields up to its checksum, and those of version 2, as offsets in it.
_SUPER_FIELDS = {"magic": 0, "version": 4, "bsize": 32, "size": 36, "dsize": 40}
_IMMEDLEN, _NDADDR, _INOPB, _BSHIFT = 64, 68, 148, 168
_FREE, _CLEAN = 192, 333
_OLT_EXTENT, _OLT_SIZE, _DINODE_SIZE = 368, 376, 388
_SUPER_SIZE = 400

# Blocks. The structural inode list begins with the initial one, of which it is the only extent.
_SUPER_AT, _OLT_AT, _INITIAL_AT, _FSHEADS_AT, _INODES_AT, _ROOT_AT, _FILE_AT = (
    1,
    2,
    4,
    8,
    12,
    16,
    17,
)
_USED = 18
_LIST_BLOCKS = 4

# The object location table: its header, and records of these types.
_OLT_MAGIC = 0xA504FCF5
_OLT_HEAD = struct.Struct("<14I")
_OLT_FREE, _OLT_FSHEAD, _OLT_ILIST = 1, 2, 4

# Inodes of the structural list, and of the primary one.
_FSHEADS, _STRUCTURAL, _PRIMARY = 2, 3, 4
_ROOT, _FILE, _LINK = 2, 3, 4
_INODE_SIZE = 256
# struct vxfs_dinode up to vdi_org: mode, nlink, uid, gid, size, six of times, aflags, orgtype,
# eopflags, eopdata, ftarea, blocks, gen, version.
_INODE = struct.Struct("<IIII Q 6I BBHI Q IIQ")
_ORG_EXT4, _ORG_IMMEDIATE, _ORG_TYPED = 1, 2, 3
_TYPED_DATA = 2 << 56
_FSH, _ILT = 0x10000000, 0x20000000
_DIRECTORY, _REGULAR, _SYMLINK = 0x4000, 0x8000, 0xA000
_FSH_FIELDS = struct.Struct("<15I")
_DIRENT = struct.Struct("<IHHH")

_CONTENT = b"errpath\n"
_TARGET = b"file"


def _inode(mode: int, size: int, organisation: int, data: bytes, *, links: int = 1) -> bytes:
    blocks = 0 if organisation == _ORG_IMMEDIATE else -(-size // _BLOCK)
    dotdot = _ROOT if mode & 0xF000 == _DIRECTORY else 0
    head = _INODE.pack(
        *(mode, links, 0, 0, size),
        *[0] * 6,
        *(0, organisation, 0, 0, dotdot),
        *(blocks, 1, 0),
    )
    return (head + data).ljust(_INODE_SIZE, b"\0")


def _extent(block: int, blocks: int) -> bytes:
    """struct vxfs_ext4 with one direct extent."""
    return struct.pack("<IIII II", 0, 0, 0, 0, block, blocks)


def _typed(block: int, blocks: int) -> bytes:
    """struct vxfs_typed, of data at the beginning."""
    return struct.pack("<QII", _TYPED_DATA, block, blocks)


def _inodes(inodes: Mapping[int, bytes]) -> bytes:
    """An inode list."""
    count = max(inodes) + 1
    return b"".join(inodes.get(number, bytes(_INODE_SIZE)) for number in range(count))


def _fileset(index: int, inodes: int, list_inode: int) -> bytes:
    """struct vxfs_fsh."""
    return _FSH_FIELDS.pack(
        *(_VERSION, index, 0, 0, 0, inodes, 1, 0, 0, 0, inodes, 0),
        *(list_inode, 0, 0),
    )


def _directory(entries: Mapping[bytes, int]) -> bytes:
    """A directory block without hash chains; the last record takes what is left."""
    records = struct.pack("<HH", 0, 0)
    for at, (name, inode) in enumerate(entries.items()):
        size = -(-(_DIRENT.size + len(name)) // 4) * 4
        if at == len(entries) - 1:
            size = _BLOCK - len(records)
        records += (_DIRENT.pack(inode, size, len(name), 0) + name).ljust(size, b"\0")
    return records


def _super_block(blocks: int) -> bytes:
    raw = bytearray(_SUPER_SIZE)
    fields = {
        **{
            _SUPER_FIELDS[name]: value
            for name, value in (
                ("magic", _MAGIC),
                ("version", _VERSION),
                ("bsize", _BLOCK),
                ("size", blocks),
                ("dsize", blocks),
            )
        },
        _IMMEDLEN: 96,
        _NDADDR: 10,
        _INOPB: _BLOCK // _INODE_SIZE,
        _BSHIFT: _BLOCK.bit_length() - 1,
        _FREE: blocks - _USED,
        _OLT_EXTENT: _OLT_AT,
        _OLT_SIZE: 1,
        _DINODE_SIZE: _INODE_SIZE,
    }
    for offset, value in fields.items():
        struct.pack_into("<I", raw, offset, value)
    raw[_CLEAN] = 1
    return bytes(raw)


def _locations() -> bytes:
    """The object location table, one block."""
    size = _OLT_HEAD.size
    records = struct.pack("<4I", _OLT_FSHEAD, 16, _FSHEADS, 0)
    records += struct.pack("<4I", _OLT_ILIST, 16, _INITIAL_AT, 0)
    left = _BLOCK - size - len(records)
    records += struct.pack("<II", _OLT_FREE, left)
    head = _OLT_HEAD.pack(_OLT_MAGIC, size, 0, 0, 0, 0, left, _OLT_AT, 0, 1, 0, 0, 0, 0)
    return head + records


def volume(size: int) -> Image:
    """A filesystem of `size` bytes with a file and a symbolic link.

    Raises:
        UsageError: `size` is no number of blocks, or too small.
    """
    blocks, rest = divmod(size, _BLOCK)
    if rest or blocks < _USED:
        raise UsageError(f"vxfs: got {size} bytes; expected {_USED} blocks of {_BLOCK} or more")
    length = _LIST_BLOCKS * _BLOCK
    structural = {
        _FSHEADS: _inode(_FSH, 2 * _BLOCK, _ORG_EXT4, _extent(_FSHEADS_AT, 2)),
        _STRUCTURAL: _inode(_ILT, length, _ORG_EXT4, _extent(_INITIAL_AT, _LIST_BLOCKS)),
        _PRIMARY: _inode(_ILT, length, _ORG_EXT4, _extent(_INODES_AT, _LIST_BLOCKS)),
    }
    primary = {
        _ROOT: _inode(_DIRECTORY | 0o755, _BLOCK, _ORG_EXT4, _extent(_ROOT_AT, 1), links=2),
        _FILE: _inode(_REGULAR | 0o644, len(_CONTENT), _ORG_TYPED, _typed(_FILE_AT, 1)),
        _LINK: _inode(_SYMLINK | 0o777, len(_TARGET), _ORG_IMMEDIATE, _TARGET),
    }
    pieces = [
        (_SUPER_AT, _super_block(blocks)),
        (_OLT_AT, _locations()),
        (_INITIAL_AT, _inodes(structural)),
        (_FSHEADS_AT, _fileset(0, len(structural), _STRUCTURAL)),
        (_FSHEADS_AT + 1, _fileset(1, len(primary), _PRIMARY)),
        (_INODES_AT, _inodes(primary)),
        (_ROOT_AT, _directory({b"file": _FILE, b"link": _LINK})),
        (_FILE_AT, _CONTENT),
    ]
    return Image.of("vxfs", size, [(block * _BLOCK, data) for block, data in pieces])
