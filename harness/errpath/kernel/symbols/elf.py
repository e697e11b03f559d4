"""What is read from a module's ELF file: its modinfo and its symbols."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

__all__ = [
    "Linkage",
    "Symbol",
    "function_symbols",
    "linkage",
    "modinfo",
    "section_bytes",
    "section_size",
    "traceable_functions",
]

# Bytes from a function's symbol within which the place that ftrace patches is.
_ENTRY = 16


@dataclass(frozen=True)
class Symbol:
    """One function's code."""

    name: str
    # Bytes from the start of its section (module), or virtual address (vmlinux).
    address: int
    # Bytes of code; 0 if unknown.
    size: int
    # `.text`, `.init.text`, …; empty in vmlinux.
    section: str = ""


@dataclass(frozen=True)
class Linkage:
    """What a module exports, and what it needs of others."""

    exported: frozenset[str]
    # Without weak ones: those may stay undefined.
    undefined: frozenset[str]


def linkage(module: Path) -> Linkage:
    """The symbols that a module exports and lacks."""
    exported: set[str] = set()
    undefined: set[str] = set()
    with module.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
            name = str(symbol.name)
            if name.startswith("__ksymtab_"):
                exported.add(name.removeprefix("__ksymtab_"))
            elif (symbol["st_shndx"], symbol["st_info"]["bind"]) == ("SHN_UNDEF", "STB_GLOBAL"):
                undefined.add(name)
    return Linkage(frozenset(exported), frozenset(undefined))


def section_size(module: Path, name: str) -> int:
    """Bytes of a section; 0 where there is none."""
    with module.open("rb") as file:
        section = ELFFile(file).get_section_by_name(name)
        return int(section["sh_size"]) if section is not None else 0


def section_bytes(module: Path, name: str) -> bytes:
    """What a section holds; b"" where there is none."""
    with module.open("rb") as file:
        section = ELFFile(file).get_section_by_name(name)
        return bytes(section.data()) if section is not None else b""


def modinfo(module: Path) -> dict[str, tuple[str, ...]]:
    """Key -> values of a module's `.modinfo` section, in file order."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in filter(None, section_bytes(module, ".modinfo").split(b"\0")):
        key, _, value = entry.decode(errors="replace").partition("=")
        found[key] = (*found.get(key, ()), value)
    return found


def function_symbols(module: Path) -> tuple[Symbol, ...]:
    """Every function symbol that a module defines, static ones too."""
    found = []
    with module.open("rb") as file:
        elf = ELFFile(file)
        names = [section.name for section in elf.iter_sections()]
        table = elf.get_section_by_name(".symtab")
        for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
            index = symbol["st_shndx"]
            if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(index, int):
                found.append(
                    Symbol(symbol.name, symbol["st_value"], symbol["st_size"], names[index])
                )
    return tuple(found)


def traceable_functions(module: Path) -> frozenset[str] | None:
    """The functions of a module that ftrace can patch: those whose entry `__mcount_loc` lists. None
    where that cannot be read from the file."""
    entries: dict[str, list[int]] = {}
    with module.open("rb") as file:
        elf = ELFFile(file)
        names = [section.name for section in elf.iter_sections()]
        table = elf.get_section_by_name(".symtab")
        places = elf.get_section_by_name(".rela__mcount_loc")
        if not isinstance(table, SymbolTableSection) or not isinstance(places, RelocationSection):
            return None
        for place in places.iter_relocations():
            symbol = table.get_symbol(place["r_info_sym"])
            if isinstance(index := symbol["st_shndx"], int):
                address = symbol["st_value"] + place["r_addend"]
                entries.setdefault(names[index], []).append(address)
    for addresses in entries.values():
        addresses.sort()
    return frozenset(
        symbol.name
        for symbol in function_symbols(module)
        if (found := entries.get(symbol.section))
        and (at := bisect.bisect_left(found, symbol.address)) < len(found)
        and found[at] - symbol.address < _ENTRY
    )
