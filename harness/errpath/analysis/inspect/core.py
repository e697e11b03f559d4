"""A guest's memory as an ELF core that drgn opens.

QEMU's own dump has no VMCOREINFO of a kernel that was not built for kdump, and without it no reader
finds the page tables. What the note holds is known from outside: symbols, and that nothing was
relocated (nokaslr).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from errpath.errors import InfrastructureError
from errpath.guest.pages import DIRECT_MAP, IMAGE_MAP
from errpath.guest.ram import GuestRam, data_extents

__all__ = ["vmcoreinfo", "write_core"]

_IMAGE_SIZE = 512 << 20
_PAGE = 4096
_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_NHDR = struct.Struct("<III")
_SYMBOLS = ("init_uts_ns", "_stext", "swapper_pg_dir", "init_top_pgt", "node_online_map")


def vmcoreinfo(release: str, symbols: dict[str, int]) -> str:
    """The text that kdump's kernel would have left, as far as readers ask for it
    (kernel/vmcore_info.c).

    Raises:
        InfrastructureError: System.map has no page table.
    """
    lines = [f"OSRELEASE={release}", f"PAGESIZE={_PAGE}"]
    top = symbols.get("swapper_pg_dir", symbols.get("init_top_pgt"))
    if top is None:
        raise InfrastructureError("core: System.map has no page table; expected init_top_pgt")
    known = {name: symbols[name] for name in _SYMBOLS if name in symbols} | {"swapper_pg_dir": top}
    lines += [f"SYMBOL({name})={address:x}" for name, address in known.items()]
    # la57 is off in the guests, and the kernel lies where it was linked to.
    lines += ["NUMBER(pgtable_l5_enabled)=0", "NUMBER(phys_base)=0", "KERNELOFFSET=0"]
    return "\n".join(lines) + "\n"


def write_core(ram: GuestRam, note: str, path: Path) -> None:
    """Write a guest's memory with a VMCOREINFO note; pages that it never touched stay holes.

    Raises:
        InfrastructureError: the file cannot be written.
    """
    data = note.encode()
    name = b"VMCOREINFO\0\0"
    notes = _NHDR.pack(11, len(data), 0) + name + data + b"\0" * (-len(data) % 4)
    image = min(ram.size, _IMAGE_SIZE)
    offset = _EHDR.size + 3 * _PHDR.size
    start = (offset + len(notes) + _PAGE - 1) // _PAGE * _PAGE
    ident = b"\x7fELF" + bytes((2, 1, 1)) + b"\0" * 9
    header = _EHDR.pack(ident, 4, 62, 1, 0, _EHDR.size, 0, 0, _EHDR.size, _PHDR.size, 3, 0, 0, 0)
    header += _PHDR.pack(4, 0, offset, 0, 0, len(notes), len(notes), 0)
    header += _PHDR.pack(1, 7, start, DIRECT_MAP, 0, ram.size, ram.size, _PAGE)
    header += _PHDR.pack(1, 7, start, IMAGE_MAP, 0, image, image, _PAGE)
    try:
        with path.open("wb") as file:
            file.write(header + notes)
            file.truncate(start + ram.size)
            file.flush()
            for at, length in data_extents(ram.fd):
                _copy(ram.fd, file.fileno(), at, length, start)
    except OSError as error:
        raise InfrastructureError(f"{path}: {error.strerror}; expected room for a core") from None


def _copy(source: int, target: int, at: int, length: int, shift: int) -> None:
    end = at + length
    while at < end:
        piece = os.pread(source, min(end - at, 1 << 20), at)
        os.pwrite(target, piece, at + shift)
        at += len(piece)
