"""From `function+offset` to file and line, with the frames of inlined functions."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from errpath.kernel.build.built import BuiltKernel, BuiltModule
from errpath.kernel.symbols.addr2line import Addr2line, Frame
from errpath.kernel.symbols.elf import Symbol
from errpath.kernel.symbols.functions import FunctionSite, site_of
from errpath.kernel.symbols.symtab import SymbolTable, load_module_symbols, load_system_map

__all__ = ["Frame", "FunctionSite", "Symbolizer"]

# `hfs_init_fs_context+0x24/0xa0 [hfs]`; newer kernels may add a build id inside the brackets.
_SYMBOL = re.compile(
    r"(?P<name>[A-Za-z_][\w.]*)\+(?P<offset>0x[0-9a-f]+)/(?P<size>0x[0-9a-f]+)"
    r"(?: \[(?P<module>\w+)(?: [0-9a-f]+)?\])?"
)
# An instruction pointer is no return address: it is the very instruction.
_EXACT = re.compile(r"\b(?:RIP|IP|EIP|pc|PC is at)\b[^+]*$")


class Symbolizer:
    """Looks up addresses of one kernel and its modules. A context manager; `close` ends it.

    addr2line runs once for each file and section that is asked about, and stays.
    """

    def __init__(self, kernel: BuiltKernel, modules: Iterable[BuiltModule] = ()) -> None:
        self._kernel = kernel
        self._modules = {module.name: module for module in modules}
        self._tables = load_module_symbols(
            {name: module.path for name, module in self._modules.items()}
        )
        self._running: dict[tuple[str, str], Addr2line] = {}
        # A symbolizer that was not closed must not leave processes behind.
        weakref.finalize(self, _end_all, self._running)
        self._lookup = lru_cache(maxsize=4096)(self._find)

    def __enter__(self) -> Symbolizer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every addr2line."""
        _end_all(self._running)

    def resolve(
        self,
        function: str,
        offset: int,
        module: str | None = None,
        *,
        size: int | None = None,
        exact: bool = False,
    ) -> tuple[Frame, ...]:
        """The frames at an offset in a function, innermost first; () if unknown.

        `offset` is in bytes from the function's start, `size` the function's length where known
        (it distinguishes functions of one name). A stack trace holds return addresses: they point
        behind the call, and behind the last call of a function may be another function, or another
        line of this one. So the byte before is looked up, for every frame; `exact` is for the
        instruction pointer of a fault, which is not such an address.
        """
        return self._lookup(function, offset, module, size, exact)

    def at(
        self, address: int, sections: Mapping[str, Mapping[str, int]], *, exact: bool = True
    ) -> tuple[Frame, ...]:
        """The frames at an absolute address in a running kernel, innermost first.

        `sections` are the addresses of each module's sections in that kernel. Where there is no
        line, the one frame is the function alone; () where there is no function either.
        """
        found = self._locate(address, sections)
        if found is None:
            return ()
        module, symbol, offset = found
        frames = self.resolve(symbol.name, offset, module, size=symbol.size or None, exact=exact)
        return frames or (Frame(symbol.name, module or "", 0, False),)

    def address(
        self,
        function: str,
        offset: int,
        module: str | None,
        sections: Mapping[str, Mapping[str, int]],
        *,
        size: int | None = None,
    ) -> int | None:
        """The absolute address at an offset in a function, as `at` takes it; None if unknown."""
        if module is None:
            symbol = load_system_map(self._kernel.system_map).find(function, offset, size)
            return symbol.address + offset if symbol is not None else None
        name = module.replace("-", "_")
        table = self._tables.get(name)
        symbol = table.find(function, offset, size) if table is not None else None
        start = sections.get(name, {}).get(symbol.section) if symbol is not None else None
        if symbol is None or start is None:
            return None
        return start + symbol.address + offset

    def _locate(
        self, address: int, sections: Mapping[str, Mapping[str, int]]
    ) -> tuple[str | None, Symbol, int] | None:
        for name, starts in sections.items():
            for section, start in starts.items():
                table = self._tables.get(name)
                if table is None or address < start:
                    continue
                symbol = table.covering(address - start, section)
                if symbol is not None:
                    return name, symbol, address - start - symbol.address
        symbol = load_system_map(self._kernel.system_map).covering(address)
        return (None, symbol, address - symbol.address) if symbol is not None else None

    def find_function(self, name: str) -> FunctionSite:
        """Where the code of a function is; see `FunctionSite`."""
        tables: dict[str | None, SymbolTable] = {None: load_system_map(self._kernel.system_map)}
        tables.update(self._tables)
        files: dict[str | None, Path] = {None: self._kernel.vmlinux}
        files.update((module.name, module.path) for module in self._modules.values())
        return site_of(name, tables, files)

    def decode(self, text: str) -> str:
        """A console's or kmemleak's text with ` (file:line …)` behind each `func+0x1/0x2 [mod]`.

        As in the kernel's decode_stacktrace, inlined frames come first inside the parentheses.
        """
        return "".join(self._decode_line(line) for line in text.splitlines(keepends=True))

    def frames(self, text: str) -> Iterator[tuple[str, tuple[Frame, ...]]]:
        """Each function that the text has as `func+0x1/0x2 [mod]`, with the frames there, innermost
        first; those are () where they are unknown."""
        for line in text.splitlines():
            for match in _SYMBOL.finditer(line):
                yield match["name"], self._frames(line, match)

    def _decode_line(self, line: str) -> str:
        def place(match: re.Match[str]) -> str:
            frames = self._frames(line, match)
            if not frames:
                return match[0]
            places = " ".join(f"{frame.file}:{frame.line}" for frame in frames)
            return f"{match[0]} ({places})"

        return _SYMBOL.sub(place, line)

    def _frames(self, line: str, match: re.Match[str]) -> tuple[Frame, ...]:
        return self.resolve(
            match["name"],
            int(match["offset"], 16),
            match["module"],
            size=int(match["size"], 16),
            exact=_EXACT.search(line[: match.start()]) is not None,
        )

    def _find(
        self, function: str, offset: int, module: str | None, size: int | None, exact: bool
    ) -> tuple[Frame, ...]:
        if module is not None:
            table = self._tables.get(module.replace("-", "_"))
        else:
            table = load_system_map(self._kernel.system_map)
        symbol = table.find(function, offset, size) if table is not None else None
        if symbol is None:
            return ()
        back = 0 if exact or offset == 0 else 1
        program = self._program(module, symbol.section)
        return program.lookup(symbol.address + offset - back)

    def _program(self, module: str | None, section: str) -> Addr2line:
        key = (module or "", section)
        if key not in self._running:
            elf, prefixes = self._kernel.vmlinux, [self._kernel.source_prefix]
            if module is not None:
                built = self._modules[module.replace("-", "_")]
                elf, prefixes = built.path, [built.source_prefix, *prefixes]
            self._running[key] = Addr2line(elf, prefixes=prefixes, section=section)
        return self._running[key]


def _end_all(running: dict[tuple[str, str], Addr2line]) -> None:
    while running:
        running.popitem()[1].close()
