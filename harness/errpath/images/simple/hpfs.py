"""An empty HPFS of one band (fs/hpfs/hpfs.h, fs/hpfs/super.c, fs/hpfs/map.c)."""

from __future__ import annotations

import struct

from errpath.errors import UsageError
from errpath.images.image import Image

__all__ = ["empty"]

_SECTOR = 512
# Sectors of one band, which has one bitmap.
_BAND = 16384
_SUPER, _SPARE = 16, 17
_BITMAP_DIRECTORY, _BITMAP, _DNODE_BITMAP, _FNODE = 20, 24, 28, 32
# The index of code pages, and the sector with the one that there is.
_CODE_PAGES, _CODE_PAGE = 33, 34
# The band of dnodes, four sectors each; the first is the root directory's.
_DNODES, _DNODE_COUNT = 36, 4
_END = _DNODES + 4 * _DNODE_COUNT
_SB_MAGIC, _SB_MAGIC_1 = 0xF995E849, 0xFA53E9C5
_SP_MAGIC, _SP_MAGIC_1 = 0xF9911849, 0xFA5229C5
_FNODE_MAGIC, _FNODE_DIR = 0xF7E40AAE, 256
_DNODE_MAGIC = 0x77E40AAE
_CP_DIR_MAGIC, _CP_DATA_MAGIC, _CP_NUMBER = 0x494521F7, 0x894521F7, 850
# struct hpfs_dirent: bits of its second and third bytes.
_FIRST, _LAST, _DIRECTORY = 1, 8, 16
# struct hpfs_super_block up to user_id_table.
_SUPER_BLOCK = struct.Struct("<IIBBH IIIIIIIII IIII 32sI")
# struct dnode up to its entries.
_DNODE_HEAD = struct.Struct("<IIB3xII")
# struct hpfs_dirent up to its name.
_DIRENT = struct.Struct("<HBBIIIIIIBBB")
# struct hpfs_spare_block up to n_code_pages.
_SPARE_BLOCK = struct.Struct("<II4x IIIIIII")
# struct code_page_data up to the first code page, which begins behind it.
_CODE_PAGE_HEAD = struct.Struct("<II 12x HHH")
# Where struct fnode has ea_offs, and what EAs begin at where there are none.
_EA_OFFS_AT, _EA_OFFS = 184, 0xC4


def _dirent(flags: int, attributes: int, fnode: int, name: bytes) -> bytes:
    length = (31 + len(name) + 3) & ~3
    head = _DIRENT.pack(length, flags, attributes, fnode, 0, 0, 0, 0, 0, 0, 0, len(name))
    return (head + name).ljust(length, b"\0")


def _dnode() -> bytes:
    entries = _dirent(_FIRST, _DIRECTORY, _FNODE, b"\1\1") + _dirent(_LAST, 0, 0, b"\xff")
    used = _DNODE_HEAD.size + len(entries)
    return _DNODE_HEAD.pack(_DNODE_MAGIC, used, 1, _FNODE, _DNODES) + entries


def _fnode() -> bytes:
    """A directory's fnode: in its tree of extents, one that names the dnode."""
    head = struct.pack("<I8xB15sI", _FNODE_MAGIC, 0, b"", _FNODE)
    # acl_size_l to ea_secno, ea_size_s, flags, then the header of the tree: 7 entries free, 1 used.
    head += struct.pack("<IIHBBIIHH", *[0] * 8, _FNODE_DIR)
    head += struct.pack("<B3xBBH", 0, 7, 1, 8 + 12)
    head += struct.pack("<III", 0, 0, _DNODES)
    return head.ljust(_EA_OFFS_AT, b"\0") + struct.pack("<H", _EA_OFFS)


def _code_page() -> bytes:
    """An upcase table for characters from 0x80 on that leaves each as it is."""
    head = _CODE_PAGE_HEAD.pack(_CP_DATA_MAGIC, 1, _CODE_PAGE_HEAD.size, 0, 0)
    return head + struct.pack("<HHH", 0, _CP_NUMBER, 0) + bytes(range(0x80, 0x100))


def _free(bits: range, total: int) -> bytes:
    """A bitmap in which these are free."""
    value = sum(1 << bit for bit in bits)
    return value.to_bytes(total // 8, "little")


def empty(size: int) -> Image:
    """A filesystem of `size` bytes with an empty root directory.

    Raises:
        UsageError: `size` is no number of sectors, too small or more than one band.
    """
    sectors, rest = divmod(size, _SECTOR)
    if rest or not _END < sectors <= _BAND:
        raise UsageError(f"hpfs: got {size} bytes; expected {_END + 1} to {_BAND} sectors of 512")
    super_block = _SUPER_BLOCK.pack(
        *(_SB_MAGIC, _SB_MAGIC_1, 2, 2, 0),
        *(_FNODE, sectors, 0, _BITMAP_DIRECTORY, 0, 0, 0, 0, 0),
        *(_END - _DNODES, _DNODES, _END - 1, _DNODE_BITMAP, b"errpath", 0),
    )
    spare_block = _SPARE_BLOCK.pack(_SP_MAGIC, _SP_MAGIC_1, 0, 0, 0, 0, 0, _CODE_PAGES, 1)
    code_pages = struct.pack("<II8xHHIIHH", _CP_DIR_MAGIC, 1, 0, _CP_NUMBER, 0, _CODE_PAGE, 0, 0)
    pieces = {
        _SUPER: super_block,
        _SPARE: spare_block,
        _BITMAP_DIRECTORY: struct.pack("<I", _BITMAP),
        _BITMAP: _free(range(_END, sectors), _BAND),
        _DNODE_BITMAP: _free(range(1, _DNODE_COUNT), _BAND),
        _FNODE: _fnode(),
        _CODE_PAGES: code_pages,
        _CODE_PAGE: _code_page(),
        _DNODES: _dnode(),
    }
    return Image.of("hpfs", size, [(at * _SECTOR, data) for at, data in pieces.items()])
