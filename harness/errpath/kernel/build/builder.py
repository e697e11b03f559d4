"""The long work: a kernel, its modules and modules of ours, built in a workspace under its lock."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import BuildError
from errpath.kernel.build.kbuild import Kbuild, undefined_symbols
from errpath.kernel.build.kconfig import Requested, parse_config
from errpath.kernel.build.modindex import ModuleIndex, find_exporter, module_name, scan
from errpath.kernel.build.modules import (
    compile_sources,
    lacking_symbols,
    make_external,
    missing_modules,
    save_module,
)
from errpath.kernel.build.state import State, combine, load_tree
from errpath.kernel.build.workspace import Workspace
from errpath.kernel.layout import Layout, read_json, write_json
from errpath.kernel.source.tree import Tree, digest
from errpath.util.locks import file_lock
from errpath.util.progress import Progress
from errpath.util.room import need_room

__all__ = ["Builder"]

# About how many lines a build of the default kernel prints; only for the progress line.
_CORE_STEPS = 1250
# Of the objects of a kernel and what is kept of them.
_OBJECTS_BYTES = 600 * 2**20
# A module's dependencies come to light one layer at a time.
_MAX_ROUNDS = 12


@dataclass(frozen=True)
class Builder:
    """Builds into the cache."""

    layout: Layout
    progress: Progress
    jobs: int

    def core(self, state: State, tree: Tree, requested: Requested) -> None:
        """Build vmlinux and bzImage of a state, unless another process just did."""
        final = self.layout.builds / state.core_key
        with self._workspace(state, f"building {state.description}") as (workspace, lock):
            if final.is_dir():
                return
            kbuild = self._prepared(workspace, lock, state, tree, requested)
            with self.layout.making(final) as directory:
                self._collect(kbuild, workspace, state, requested, directory)

    def modules(self, state: State, paths: Sequence[str]) -> None:
        """Build modules, and whatever they depend on that is a module too.

        Raises:
            BuildError: they do not compile, or want a symbol that nothing exports.
        """
        names = ", ".join(module_name(path) for path in paths)
        with self._workspace(state, f"building {names} of {state.description}") as (space, lock):
            wanted = missing_modules(self.layout, state, paths)
            if not wanted:
                return
            kbuild = self._prepared(space, lock, state, *load_tree(self.layout, state.key))
            index = self.index(state)
            for path in self._make_modules(kbuild, index, wanted):
                self._collect_module(kbuild, index, state, path)

    def compile(self, state: State, sources: Mapping[str, str]) -> dict[str, str]:
        """What the compiler printed for each C text, by name; "" where it compiled."""
        with self._workspace(state, f"probing {state.description}") as (workspace, lock):
            kbuild = self._prepared(workspace, lock, state, *load_tree(self.layout, state.key))
            return compile_sources(self.layout, kbuild, sources)

    def external(
        self, state: State, directory: Path, key: str, *, allow_undefined: bool, header: str = ""
    ) -> None:
        """Build a module of our own from a copy of `directory`."""
        final = self.layout.modules / key
        what = f"building {directory.name} for {state.description}"
        with self._workspace(state, what) as (workspace, lock):
            if final.is_dir():
                return
            kbuild = self._prepared(workspace, lock, state, *load_tree(self.layout, state.key))
            make_external(
                self.layout,
                kbuild,
                directory,
                final,
                kernel=state.core_key,
                allow_undefined=allow_undefined,
                header=header,
            )

    def index(self, state: State) -> ModuleIndex:
        """The modules of a finished kernel."""
        record = read_json(self.layout.builds / state.core_key / "modules.json") or {}
        return ModuleIndex(record.get("modules", {}), frozenset(record.get("builtin", ())))

    @contextlib.contextmanager
    def _workspace(self, state: State, what: str) -> Iterator[tuple[Workspace, int]]:
        lock = self.layout.locks / f"work-{state.lineage}"
        with file_lock(lock, what, progress=self.progress) as descriptor:
            yield Workspace.of(self.layout, state.lineage), descriptor

    def _prepared(
        self, workspace: Workspace, lock: int, state: State, tree: Tree, requested: Requested
    ) -> Kbuild:
        """The object tree with this state's sources, and vmlinux built from them."""
        workspace.sync(tree, self.progress)
        objects = workspace.object_tree(state.config_key)
        kbuild = Kbuild(workspace.source, objects, lock, self.progress, self.jobs)
        built = objects / "errpath.core"
        if kbuild.recover():
            built.unlink(missing_ok=True)
        if built.exists() and built.read_text() == state.core_key:
            return kbuild
        built.unlink(missing_ok=True)
        if not (objects / "vmlinux").exists():
            need_room(objects, _OBJECTS_BYTES, f"building {state.description}")
        what = f"building {state.description}"
        if (self.layout.builds / state.core_key).is_dir():
            what += " again: its objects have made room for other configurations"
        self._configure(kbuild, state, tree, requested)
        kbuild.make(["bzImage", "modules_prepare"], what, total=_CORE_STEPS)
        # Modules of ours look for symbols here, and kbuild writes it only for modules of its own.
        shutil.copyfile(objects / "vmlinux.symvers", objects / "Module.symvers")
        built.write_text(state.core_key)
        return kbuild

    def _configure(self, kbuild: Kbuild, state: State, tree: Tree, requested: Requested) -> None:
        """Configure the object tree, unless nothing that decides a configuration has changed."""
        inputs = digest(
            (path, token)
            for path, token in tree.manifest().items()
            if path.startswith(("scripts/", "Makefile")) or "/Kconfig" in f"/{path}"
        )
        key = combine(inputs, requested.key, requested.text)
        done = kbuild.objects / "errpath.configured"
        if done.exists() and done.read_text() == key:
            return
        done.unlink(missing_ok=True)
        kbuild.configure(requested, state.description)
        done.write_text(key)

    def _collect(
        self,
        kbuild: Kbuild,
        workspace: Workspace,
        state: State,
        requested: Requested,
        directory: Path,
    ) -> None:
        objects = kbuild.objects
        files = {
            "arch/x86/boot/bzImage": "bzImage",
            "vmlinux": "vmlinux",
            "System.map": "System.map",
            ".config": "config",
            "vmlinux.symvers": "Module.symvers",
        }
        for source, target in files.items():
            shutil.copyfile(objects / source, directory / target)
        index = scan(workspace.source, parse_config((objects / ".config").read_text()))
        record = {"modules": dict(index.modules), "builtin": sorted(index.builtin)}
        write_json(directory / "modules.json", record)
        meta = {
            "release": (objects / "include/config/kernel.release").read_text().strip(),
            "description": state.description,
            "lineage": state.lineage,
            "source_prefix": f"{workspace.source}/",
            "dropped": [dataclasses.asdict(line) for line in kbuild.dropped(requested)],
        }
        write_json(directory / "meta.json", meta)

    def _make_modules(
        self, kbuild: Kbuild, index: ModuleIndex, wanted: Iterable[str]
    ) -> tuple[str, ...]:
        """Build modules with all that they depend on; the paths of all of them."""
        pending = dict.fromkeys(wanted)
        for _ in range(_MAX_ROUNDS):
            names = ", ".join(module_name(path) for path in pending)
            # Undefined symbols only warn: they show which modules are still to be built.
            kbuild.make(
                [f"{path}.ko" for path in pending],
                f"building {names}",
                variables=["KBUILD_MODPOST_WARN=1"],
            )
            made = {f"{path}.ko": kbuild.objects / f"{path}.ko" for path in pending}
            missing = undefined_symbols(kbuild.last_output())
            missing |= lacking_symbols(made, kbuild.objects / "vmlinux.symvers")
            if not missing:
                return tuple(pending)
            exporters = {name: find_exporter(kbuild.source, index, name) for name in missing}
            more = {path for path in exporters.values() if path is not None} - pending.keys()
            if not more:
                symbol, module = next(iter(missing.items()))
                raise BuildError(f"{module}: wants {symbol}, which nothing exports")
            pending |= dict.fromkeys(sorted(more))
        raise BuildError(f"{names}: dependencies deeper than {_MAX_ROUNDS} modules")

    def _collect_module(self, kbuild: Kbuild, index: ModuleIndex, state: State, path: str) -> None:
        final = self.layout.modules / state.module_key(path)
        with self.layout.making(final) as directory:
            save_module(
                kbuild.objects / f"{path}.ko",
                directory,
                kernel=state.core_key,
                to_path=index.modules.get,
            )
