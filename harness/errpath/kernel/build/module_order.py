"""Modules of one configured tree by name, and what each depends on before it."""

from __future__ import annotations

from collections.abc import Iterable

from errpath.errors import AbsentError
from errpath.kernel.build.builder import Builder
from errpath.kernel.build.built import BuiltModule
from errpath.kernel.build.modindex import module_name
from errpath.kernel.build.modules import load_module
from errpath.kernel.build.state import State
from errpath.kernel.layout import Layout

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
            for dependency in self.paths(module.depends):
                visit(dependency)
            order[path] = module

        for path in wanted:
            visit(path)
        return tuple(order.values())
