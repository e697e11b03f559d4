"""A guest's memory as an ELF core that drgn opens.

QEMU's own dump has no VMCOREINFO of a kernel that was not built for kdump, and without it no reader
finds the page tables. What the note holds is known from outside: symbols, and that nothing was
relocated (nokaslr).
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from errpath.errors import InfrastructureError
from errpath.guest.pages import DIRECT_MAP, IMAGE_MAP
from errpath.guest.ram import GuestRam, data_extents

__all__ = ["parse_registers", "vmcoreinfo", "write_core"]

_IMAGE_SIZE = 512 << 20
_PAGE = 4096
_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_NHDR = struct.Struct("<III")
# elf_prstatus (include/linux/elfcore.h): siginfo, signals, pid to pgrp and sid, four times of two
# words; then the registers of struct user_regs_struct, and whether they have floating point.
_PRSTATUS = struct.Struct("<3ihxx2Q4i8Q27Qi4x")
_REGISTERS_AT = 18
_REGISTERS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx"),
    *("rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base"),
    *("ds", "es", "fs", "gs"),
)
_NT_PRSTATUS = 1
# What QEMU's `info registers -a` prints.
_CPU = re.compile(r"(?m)^CPU#(\d+)\s*$")
_VALUE = re.compile(r"\b(R[A-Z0-9]{1,2}|RFL) ?=([0-9a-f]{8,16})\b")
_SEGMENT = re.compile(r"(?m)^([CDEFGS]S) =([0-9a-f]{4}) ([0-9a-f]{16})")
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


def parse_registers(text: str) -> tuple[Mapping[str, int], ...]:
    """Each CPU's registers from what QEMU's `info registers -a` prints, by the names of struct
    user_regs_struct."""
    found = []
    for block in _CPU.split(text)[2::2]:
        values = {name.lower(): int(value, 16) for name, value in _VALUE.findall(block)}
        values["eflags"] = values.pop("rfl", 0)
        for name, selector, base in _SEGMENT.findall(block):
            values[name.lower()] = int(selector, 16)
            if name in ("FS", "GS"):
                values[f"{name.lower()}_base"] = int(base, 16)
        found.append(values)
    return tuple(found)


def write_core(
    ram: GuestRam, note: str, path: Path, *, registers: Sequence[Mapping[str, int]] = ()
) -> None:
    """Write a guest's memory with a VMCOREINFO note, and a PRSTATUS note for each CPU whose
    registers are given; pages that it never touched stay holes.

    Raises:
        InfrastructureError: the file cannot be written.
    """
    notes = b"".join(_note(b"CORE", _NT_PRSTATUS, _status(one)) for one in registers)
    notes += _note(b"VMCOREINFO", 0, note.encode())
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


def _note(name: bytes, kind: int, data: bytes) -> bytes:
    header = _NHDR.pack(len(name) + 1, len(data), kind)
    return header + _padded(name + b"\0") + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _status(registers: Mapping[str, int]) -> bytes:
    values = [0] * (_REGISTERS_AT + len(_REGISTERS) + 1)
    for place, name in enumerate(_REGISTERS, _REGISTERS_AT):
        values[place] = registers.get(name, 0)
    return _PRSTATUS.pack(*values)


def _copy(source: int, target: int, at: int, length: int, shift: int) -> None:
    end = at + length
    while at < end:
        piece = os.pread(source, min(end - at, 1 << 20), at)
        os.pwrite(target, piece, at + shift)
        at += len(piece)
