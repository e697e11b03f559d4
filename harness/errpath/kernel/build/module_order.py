"""Modules of one configured tree by name, and what each depends on before it."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from errpath.errors import AbsentError
from errpath.kernel.build.builder import Builder
from errpath.kernel.build.built import BuiltModule
from errpath.kernel.build.modindex import module_name
from errpath.kernel.build.modules import is_aliased, load_module, soft_dependencies
from errpath.kernel.build.state import State, load_tree
from errpath.kernel.layout import Layout
from errpath.kernel.symbols.elf import modinfo

__all__ = ["ModuleOrder"]


class ModuleOrder:
    """The modules that a configuration sets to m."""

    def __init__(self, layout: Layout, builder: Builder, state: State) -> None:
        self._layout = layout
        self._builder = builder
        self._state = state

    def paths(self, names: Iterable[str]) -> tuple[str, ...]:
        """Paths without `.ko`, of names (`hfs`) or paths; what is built in is left out.

        Raises:
            AbsentError: this configuration has no such module.
        """
        index = self._builder.index(self._state)
        paths = []
        for name in names:
            path = index.modules.get(module_name(name))
            if path is not None and ("/" not in name or path == name.removesuffix(".ko")):
                paths.append(path)
            elif module_name(name) not in index.builtin:
                raise AbsentError(
                    f"{self._state.description}: has no module {name} "
                    "(expected one that its configuration sets to m)"
                )
        return tuple(paths)

    def with_dependencies(self, wanted: Iterable[str]) -> tuple[BuiltModule, ...]:
        """Built modules by path, in load order."""
        order: dict[str, BuiltModule] = {}
        seen: set[str] = set()

        def visit(path: str) -> None:
            if path in seen:
                return
            seen.add(path)
            key = self._state.module_key(path)
            module = load_module(self._layout, key)
            if module is None:
                # It was built by itself before, without what it depends on only softly.
                self._builder.modules(self._state, [path])
                module = load_module(self._layout, key)
            assert module is not None
            for dependency in (*self.paths(module.depends), *self._by_alias(module)):
                visit(dependency)
            order[path] = module

        for path in wanted:
            visit(path)
        return tuple(order.values())

    def _by_alias(self, module: BuiltModule) -> tuple[str, ...]:
        """Paths of modules that a module wants before it by an alias, such as `crypto-crc32c`: a
        guest has nothing that would load them when they are asked for. A word such as `crc32` may
        be a library's name and an algorithm's alias: which of them is wanted it does not say."""
        aliases = soft_dependencies(modinfo(module.stripped))
        if not aliases:
            return ()
        return tuple(
            path
            for path, text in self._general.items()
            if any(is_aliased(text, one) for one in aliases)
        )

    @functools.cached_property
    def _general(self) -> dict[str, str]:
        """Sources of modules by the modules' paths. What is of one processor may refuse another; a
        generic one is what always works."""
        places = {f"{path}.c": path for path in self._builder.index(self._state).modules.values()}
        general = [place for place in places if not place.startswith("arch/")]
        tree, _ = load_tree(self._layout, self._state.key)
        return {
            places[place]: file.content.decode(errors="replace")
            for place, file in tree.fetch(general)
        }
