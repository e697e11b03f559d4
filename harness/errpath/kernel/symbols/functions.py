"""Whether a function can be found by name in a kernel: as code, as clones, or not at all.

A fault can be forced only where a function has code of its own. The compiler may have placed it
inside its callers, or made copies under other names; a fault plan must say so instead of never
firing.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from elftools.elf.elffile import ELFFile

from errpath.kernel.symbols.symtab import SymbolTable

__all__ = ["FunctionKind", "FunctionSite", "site_of"]


class FunctionKind(Enum):
    """What became of a function."""

    # It has code under its own name.
    CODE = "code"
    # It has code only under names such as `foo.isra.0`.
    CLONES = "clones"
    # The debug information names it, and it has no code of its own.
    INLINED = "inlined"
    # Nothing names it.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class FunctionSite:
    """Where a function's code is."""

    name: str
    kind: FunctionKind
    # Where: module names; None stands for vmlinux. Empty if unknown.
    modules: tuple[str | None, ...] = ()
    # Names of its clones, such as `foo.part.0` (also beside code of its own).
    clones: tuple[str, ...] = ()
    # How many functions of this name there are in all; a fault by name hits one of them.
    count: int = 0


def site_of(
    name: str,
    tables: Mapping[str | None, SymbolTable],
    files: Mapping[str | None, Path],
) -> FunctionSite:
    """Look a function up in the symbols, then in the debug information. None is vmlinux."""
    clones: list[str] = []
    cloned_in: list[str | None] = []
    where: list[str | None] = []
    count = 0
    for module, table in tables.items():
        own = table.named(name)
        count += len(own)
        if own:
            where.append(module)
        if copies := table.clones(name):
            cloned_in.append(module)
            clones += copies
    if where:
        return FunctionSite(name, FunctionKind.CODE, tuple(where), tuple(clones), count)
    # The `.cold` part of a function whose rest was inlined cannot be called.
    callable_clones = [clone for clone in clones if not clone.endswith(".cold")]
    if callable_clones:
        return FunctionSite(name, FunctionKind.CLONES, tuple(cloned_in), tuple(clones))
    inlined = tuple(module for module, path in files.items() if _debug_names(path, name))
    kind = FunctionKind.INLINED if inlined else FunctionKind.UNKNOWN
    return FunctionSite(name, kind, inlined)


def _debug_names(elf: Path, name: str) -> bool:
    """Whether the debug information of a file holds a name.

    The linker merges strings by their tails (`foo` lives inside `my_foo`), so a string counts only
    if something in `.debug_info` refers to its very offset.
    """
    with elf.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        parsed = ELFFile(file)
        strings = parsed.get_section_by_name(".debug_str")
        info = parsed.get_section_by_name(".debug_info")
        if strings is None or info is None:
            return False
        first = strings["sh_offset"]
        last = first + strings["sh_size"]
        wanted = name.encode() + b"\0"
        at = data.find(wanted, first, last)
        while at != -1:
            if data[at - 1] == 0 or at == first:
                return True
            if _refers(data, parsed, at - first, info["sh_offset"], info["sh_size"]):
                return True
            at = data.find(wanted, at + 1, last)
    return False


def _refers(data: mmap.mmap, elf: ELFFile, offset: int, start: int, size: int) -> bool:
    relocations = elf.get_section_by_name(".rela.debug_info")
    if relocations is None:
        return data.find(struct.pack("<I", offset), start, start + size) != -1
    # In a module the references are still relocations: (offset, info, addend), 24 bytes each.
    begin = relocations["sh_offset"]
    body = data[begin : begin + relocations["sh_size"]]
    return any(addend == offset for _, _, addend in struct.iter_unpack("<QQq", body))
