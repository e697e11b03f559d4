"""Function symbols of a kernel: where each function's own code is, and how long."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from errpath.kernel.symbols.elf import Symbol, function_symbols

__all__ = ["SymbolTable", "clone_of", "load_module_symbols", "load_system_map"]

# What gcc appends to the name of a function's copy or part.
_CLONE = re.compile(r"\.(?:isra|constprop|part|cold|llvm|lto_priv)(?:\.\d+)*")


def clone_of(name: str) -> str:
    """`foo.isra.0.cold` -> `foo`; a name without such a suffix is its own."""
    return _CLONE.sub("", name)


class SymbolTable:
    """Function symbols by name; several functions may share one."""

    def __init__(self, symbols: Iterable[Symbol]) -> None:
        self._by_name: dict[str, list[Symbol]] = {}
        self._by_address: dict[str, list[Symbol]] = {}
        for symbol in symbols:
            self._by_name.setdefault(symbol.name, []).append(symbol)

    def named(self, name: str) -> tuple[Symbol, ...]:
        """Every function of exactly this name."""
        return tuple(self._by_name.get(name, ()))

    def clones(self, name: str) -> tuple[str, ...]:
        """Names of the copies and parts that gcc made of a function."""
        return tuple(
            sorted(
                other
                for other in self._by_name
                if other != name and other.startswith(f"{name}.") and clone_of(other) == name
            )
        )

    def covering(self, address: int, section: str = "") -> Symbol | None:
        """The function with code at an address: of its section in a module, else virtual."""
        symbols = self._sorted(section)
        at = bisect.bisect_right(symbols, address, key=lambda symbol: symbol.address) - 1
        if at < 0 or address >= symbols[at].address + max(symbols[at].size, 1):
            return None
        return symbols[at]

    def _sorted(self, section: str) -> list[Symbol]:
        if section not in self._by_address:
            every = [one for named in self._by_name.values() for one in named]
            mine = [one for one in every if one.section == section]
            self._by_address[section] = sorted(mine, key=lambda symbol: symbol.address)
        return self._by_address[section]

    def find(self, name: str, offset: int, size: int | None) -> Symbol | None:
        """The one function of a name that has code at `offset`.

        `size` is what the console printed behind the slash; it distinguishes namesakes. None if
        there is no such function, or several that fit: a wrong line is worse than none.
        """
        named = self._by_name.get(name, [])
        fit = [symbol for symbol in named if symbol.size == 0 or offset <= symbol.size]
        if len(fit) > 1 and size is not None:
            # kallsyms counts up to the next symbol, so its size may hold some padding.
            exact = [symbol for symbol in fit if symbol.size == size]
            fit = exact or [s for s in fit if 0 <= size - s.size < 64]
        return fit[0] if len(fit) == 1 else None


@lru_cache(maxsize=8)
def load_system_map(path: Path) -> SymbolTable:
    """Function symbols of vmlinux; a size reaches up to the next symbol, as in kallsyms."""
    rows: list[tuple[int, str, str]] = []
    for line in path.read_text().splitlines():
        word, kind, name = line.split(maxsplit=2)
        rows.append((int(word, 16), kind, name))
    rows.sort(key=lambda row: row[0])
    symbols = []
    # Addresses in descending order: the next higher one ends a symbol.
    above = end = rows[-1][0] if rows else 0
    for address, kind, name in reversed(rows):
        if address < end:
            above, end = end, address
        if kind in "tTwW":
            symbols.append(Symbol(name, address, above - address))
    return SymbolTable(reversed(symbols))


def load_module_symbols(modules: Mapping[str, Path]) -> dict[str, SymbolTable]:
    """Module name -> its function symbols."""
    return {name: SymbolTable(function_symbols(path)) for name, path in modules.items()}
