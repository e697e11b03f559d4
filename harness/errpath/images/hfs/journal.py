"""The journal of a journaled HFS+ volume, empty (TN1150 "Journal")."""

from __future__ import annotations

from errpath.images.hfs.formats import JOURNAL_HEADER, JOURNAL_INFO_BLOCK
from errpath.images.hfs.layout import Value

__all__ = ["BUFFER_NAME", "INFO_NAME", "checksum", "journal_buffer", "journal_info_block"]

# The two files in the root directory that hold the journal.
INFO_NAME = ".journal_info_block"
BUFFER_NAME = ".journal"

# "JNLx", and what gives the byte order of the journal's own structures.
_MAGIC, _ENDIAN = 0x4A4E4C78, 0x12345678
# JournalInfoBlock.flags: the journal lies in this volume.
_IN_FILESYSTEM = 1
# Bytes: what is reserved for the header, and a block list header.
_HEADER_SIZE, _BLOCK_LIST_SIZE = 512, 4096


def checksum(data: bytes) -> int:
    """The journal's checksum, over a header whose own checksum field is zero."""
    value = 0
    for byte in data:
        value = (value << 8) & 0xFFFFFFFF ^ (value + byte) & 0xFFFFFFFF
    return ~value & 0xFFFFFFFF


def journal_info_block(*, offset: int, size: int) -> bytes:
    """The journal info block; `offset` (in the volume) and `size` of the journal, in bytes."""
    return JOURNAL_INFO_BLOCK.pack({"flags": _IN_FILESYSTEM, "offset": offset, "size": size})


def journal_buffer(size: int) -> bytes:
    """The header of an empty journal of `size` bytes: it starts where it ends."""
    values: dict[str, Value] = {
        "magic": _MAGIC,
        "endian": _ENDIAN,
        "start": _HEADER_SIZE,
        "end": _HEADER_SIZE,
        "size": size,
        "blhdr_size": _BLOCK_LIST_SIZE,
        "jhdr_size": _HEADER_SIZE,
    }
    values["checksum"] = checksum(JOURNAL_HEADER.pack(values))
    return JOURNAL_HEADER.pack(values)
