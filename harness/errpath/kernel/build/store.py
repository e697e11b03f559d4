"""The store of kernels: build once, find at once.

`KernelStore.build` answers from the cache as long as source, patches, configuration and compiler
are the same, and builds what is missing otherwise.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from errpath.errors import SourceError, UsageError
from errpath.kernel.build.builder import Builder
from errpath.kernel.build.built import BuiltKernel, BuiltModule, KernelRequest
from errpath.kernel.build.inventory import Inventory
from errpath.kernel.build.kbuild import compiler_identity
from errpath.kernel.build.kconfig import Dropped, load_requested
from errpath.kernel.build.kernel_features import KernelFeatures
from errpath.kernel.build.kernel_sources import KernelSources
from errpath.kernel.build.module_order import ModuleOrder
from errpath.kernel.build.modules import HEADER, load_module, missing_modules
from errpath.kernel.build.prebuilt import Prebuilt, import_prebuilt
from errpath.kernel.build.prune import Pruned, mark_used, prune
from errpath.kernel.build.state import State, combine, load_state, load_tree, save_state
from errpath.kernel.features.finding import Finding
from errpath.kernel.features.table import Feature, load_table
from errpath.kernel.layout import Layout, disk_errors, read_json
from errpath.kernel.source.directory import walk
from errpath.kernel.source.patches import apply_patches, patch_digest
from errpath.kernel.source.spec import open_spec, prebuilt_directory
from errpath.util.cache import cache_root
from errpath.util.progress import Progress

__all__ = ["KernelStore"]


class KernelStore:
    """Kernels in a cache directory (`$ERRPATH_CACHE`, or the user's cache directory)."""

    def __init__(
        self,
        root: Path | None = None,
        *,
        progress: Progress,
        jobs: int | None = None,
        compiler: Callable[[], str] = compiler_identity,
        table: Callable[[], tuple[Feature, ...]] = load_table,
    ) -> None:
        """`table` is the features that kernels are probed for."""
        if jobs is not None and jobs < 1:
            raise UsageError(f"jobs: expected a number of at least 1, got {jobs}")
        self.layout = Layout((root if root is not None else cache_root()).absolute())
        self._progress = progress
        self._compiler = compiler
        # Keys of the kernels that were handed out: none of them is pruned while the store lives.
        self._used: set[str] = set()
        self.sources = KernelSources(self.layout)
        self.inventory = Inventory(self.layout, progress)
        self._features = KernelFeatures(self.layout, table)
        self._builder = Builder(self.layout, progress, jobs or len(os.sched_getaffinity(0)))

    def build(self, request: KernelRequest) -> BuiltKernel:
        """The kernel of a request, built if it is not in the cache. Modules are built on demand.

        Raises:
            SourceError: the spec names no usable source.
            PatchError: a patch does not apply.
            ConfigError: the configuration lost a requested line.
            BuildError: the kernel does not compile.
            InfrastructureError: the disk is full, or a host tool is missing.
        """
        with disk_errors(self.layout.root):
            directory = prebuilt_directory(request.spec)
            if directory is not None:
                key = import_prebuilt(self.layout, request, directory)
                return self._kernel(request, key, "", str(directory))
            state = self._state(request)
            return self._kernel(request, state.core_key, state.key, state.description)

    def modules(self, kernel: BuiltKernel, names: Iterable[str]) -> tuple[BuiltModule, ...]:
        """Modules by name (`hfs`) or path (`fs/hfs/hfs`), with what they depend on before them.

        What is built into the kernel is left out.

        Raises:
            SourceError: this configuration has no such module.
            BuildError: a module does not compile.
        """
        with disk_errors(self.layout.root):
            prebuilt = self._prebuilt(kernel)
            if prebuilt is not None:
                return prebuilt.modules(names)
            state = self._loaded(kernel)
            order = ModuleOrder(self.layout, self._builder, state)
            wanted = order.paths(names)
            missing = missing_modules(self.layout, state, wanted)
            if missing:
                self._builder.modules(state, missing)
            return order.with_dependencies(wanted)

    def external(
        self, kernel: BuiltKernel, directory: Path, *, allow_undefined: bool = False
    ) -> BuiltModule:
        """A module of our own: `directory` holds its sources and a Makefile for kbuild.

        With `allow_undefined`, symbols that nothing exports are left to the loader.

        Raises:
            SourceError: `directory` makes no module.
            BuildError: it does not compile.
        """
        with disk_errors(self.layout.root):
            content = hashlib.sha256()
            header = ""
            for path, _ in sorted(walk(directory)):
                text = (directory / path).read_bytes()
                content.update(f"{path}\0".encode() + text + b"\0")
                if HEADER.encode() in text:
                    header = header or self._features.header(self.features(kernel))
            key = combine(
                *("external", kernel.key, directory.name, content.hexdigest()),
                *(str(allow_undefined), header),
            )
            module = load_module(self.layout, key)
            if module is None:
                prebuilt = self._prebuilt(kernel)
                if prebuilt is not None:
                    prebuilt.external(
                        directory, key, allow_undefined=allow_undefined, header=header
                    )
                else:
                    self._builder.external(
                        self._loaded(kernel),
                        directory,
                        key,
                        allow_undefined=allow_undefined,
                        header=header,
                    )
                module = load_module(self.layout, key)
                assert module is not None
            return module

    def features(self, kernel: BuiltKernel) -> tuple[Finding, ...]:
        """What a kernel has of the table of features, in the table's order; probed once.

        Raises:
            BuildError: a probe failed, and the compiler did not say why.
        """
        with disk_errors(self.layout.root):
            return self._features.of(kernel, lambda sources: self._compile(kernel, sources))

    def _compile(self, kernel: BuiltKernel, sources: Mapping[str, str]) -> Mapping[str, str]:
        prebuilt = self._prebuilt(kernel)
        if prebuilt is not None:
            return prebuilt.compile(sources)
        return self._builder.compile(self._loaded(kernel), sources)

    def prune(self, limit: int) -> Pruned:
        """Remove what was not used for longest until the cache takes at most `limit` bytes."""
        return prune(self.inventory, limit)

    def _state(self, request: KernelRequest) -> State:
        requested = load_requested(request.fragments, request.kconfig_add)
        compiler = self._compiler()
        tree = open_spec(self.layout, request.spec, self._progress)
        patches = patch_digest(request.patches)
        key = combine("state", tree.identity, tree.base.lineage, patches, requested.key, compiler)
        state = load_state(self.layout, key)
        if state is None:
            fuzzy: list[str] = []
            patched = apply_patches(tree, request.patches, fuzzy.append)
            for line in fuzzy:
                self._progress.say(line)
            count = len(request.patches)
            description = tree.base.description
            if tree.overlay:
                description += " with uncommitted changes"
            if count:
                description += f", {count} patch{'es' if count > 1 else ''}"
            if fuzzy:
                description += " with fuzz"
            state = save_state(self.layout, key, patched, requested, compiler, description)
        if not (self.layout.builds / state.core_key).is_dir():
            patched, _ = load_tree(self.layout, state.key)
            self._builder.core(state, patched, requested)
        return state

    def _prebuilt(self, kernel: BuiltKernel) -> Prebuilt | None:
        meta = read_json(kernel.directory / "meta.json") or {}
        if "prebuilt" not in meta:
            return None
        objects = Path(meta["prebuilt"])
        return Prebuilt(self.layout, self._progress, self._builder.jobs, kernel.key, objects)

    def _kernel(
        self, request: KernelRequest, key: str, state: str, description: str
    ) -> BuiltKernel:
        directory = self.layout.builds / key
        meta = read_json(directory / "meta.json")
        assert meta is not None
        if key not in self._used:
            self._used.add(key)
            weakref.finalize(self, os.close, mark_used(self.layout, key))
        return BuiltKernel(
            key=key,
            state=state or key,
            name=request.name or request.spec,
            release=meta["release"],
            description=description,
            directory=directory,
            source_prefix=meta["source_prefix"],
            dropped=tuple(Dropped(**line) for line in meta.get("dropped", ())),
        )

    def _loaded(self, kernel: BuiltKernel) -> State:
        state = load_state(self.layout, kernel.state)
        if state is None:
            raise SourceError(f"{kernel.description}: was removed from the cache; build it again")
        return state
