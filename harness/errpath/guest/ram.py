"""A guest's RAM as a memory file of ours: read, changed and copied from outside.

The file has no name in any file system: it is inherited by QEMU as a descriptor and is gone with
its last user, whatever ends the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import struct
from collections.abc import Iterable, Iterator

from errpath.errors import InfrastructureError

__all__ = ["GuestRam", "copy_extents", "data_extents", "digest_extents"]

_WORD = struct.Struct("<Q")


class GuestRam:
    """Guest-physical memory below 3 GiB, where the offset in the file is the physical address."""

    def __init__(self, size: int) -> None:
        """`size` in bytes; nothing is allocated before it is written."""
        self.size = size
        self.fd = os.memfd_create("errpath-ram", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, size)

    def read_word(self, address: int) -> int:
        """The little-endian 64-bit word at a physical address."""
        self._check(address)
        value: int = _WORD.unpack(os.pread(self.fd, _WORD.size, address))[0]
        return value

    def write_word(self, address: int, value: int) -> None:
        """Write a 64-bit word; the guest sees it at once."""
        self._check(address)
        os.pwrite(self.fd, _WORD.pack(value), address)

    def _check(self, address: int) -> None:
        if address % _WORD.size or not 0 <= address <= self.size - _WORD.size:
            raise InfrastructureError(
                f"guest RAM: address {address:#x}; expected a multiple of 8 below {self.size:#x}"
            )

    @property
    def allocated(self) -> int:
        """Bytes that the file really takes."""
        return os.fstat(self.fd).st_blocks * 512

    def close(self) -> None:
        """Give the descriptor back; QEMU's mapping stays."""
        with contextlib.suppress(OSError):
            os.close(self.fd)
        self.fd = -1


def data_extents(fd: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of each run of data in a sparse file, in bytes."""
    size = os.fstat(fd).st_size
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            # ENXIO: a hole reaches to the end.
            return
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end - start
        at = end


def copy_extents(source: int, target: int) -> tuple[tuple[int, int], ...]:
    """Copy the data of a sparse file; holes stay holes. The copied extents.

    A write from the mapped source is one copy inside the kernel, and measured half as dear as
    sendfile() page by page; copy_file_range() does not cross file systems here.
    """
    copied = tuple(data_extents(source))
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    with mmap.mmap(source, size, prot=mmap.PROT_READ) as mapped, memoryview(mapped) as view:
        for offset, length in copied:
            done = 0
            while done < length:
                with view[offset + done : offset + length] as piece:
                    done += os.pwrite(target, piece, offset + done)
    return copied


def digest_extents(source: int, extents: Iterable[tuple[int, int]]) -> str:
    """SHA-256 of these parts of a file.

    Raises:
        ValueError: a part reaches beyond the file's end.
    """
    size = os.fstat(source).st_size
    digest = hashlib.sha256(str(size).encode())
    with mmap.mmap(source, size, prot=mmap.PROT_READ) as mapped, memoryview(mapped) as view:
        for offset, length in extents:
            if offset < 0 or offset + length > size:
                raise ValueError(f"extent {offset}+{length}: the file ends at {size}")
            with view[offset : offset + length] as piece:
                digest.update(piece)
    return digest.hexdigest()
