"""Everything that a run needs, put together: built kernel, modules, prepared guests."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from errpath.errors import (
    AbsentError,
    BuildError,
    ErrpathError,
    InfrastructureError,
    SourceError,
    UnknownFunctionError,
)
from errpath.faults import injection_list, point_module
from errpath.filesystems import load_filesystem
from errpath.guest import accel
from errpath.guest.channel import AgentError
from errpath.guest.clones import Clones, MachineSpec
from errpath.guest.definition import GuestDefinition, load_guest
from errpath.guest.machine import Guest, Machine, boot
from errpath.guest.qemu import QEMU
from errpath.guest.qmp import CloneError
from errpath.guest.snapshot import SnapshotStore
from errpath.kernel import BuiltKernel, BuiltModule, KernelRequest, KernelStore
from errpath.kernel.features import Finding
from errpath.kernel.features.summary import spelled, summary
from errpath.kernel.symbols.functions import FunctionKind, FunctionSite
from errpath.kernel.symbols.symbolizer import Symbolizer
from errpath.oracles import canary, kmemleak
from errpath.oracles.canary import Check
from errpath.oracles.kmemleak_min_age import MinAge, find_min_age, set_min_age
from errpath.oracles.modules import CANARY, PLANTS, PROBE, OwnModule
from errpath.runner.availability import check_configured, check_symbols, known_points
from errpath.runner.batch_runner import PreparedGuest
from errpath.util import process
from errpath.util.progress import Progress
from errpath.util.resources import GUESTS

__all__ = [
    "BATCH_MAX",
    "Testbed",
    "TestbedOptions",
    "batch_size",
    "guest_factory",
]

# Cases of one batch: a crash makes those before it run again, and kmemleak's scans get longer.
BATCH_MAX = 1024

# Changes with the keys of what is noted of a frozen guest: one of another form is not cloned.
_NOTES = "notes-2"
_TARGETS = GUESTS / "modules" / "targets"
_FAULTS = GUESTS / "modules" / "faults"


@dataclass(frozen=True)
class TestbedOptions:
    """What the user chose."""

    # pytest takes a class in a test module for a test if its name begins so.
    __test__: ClassVar[bool] = False

    kernel: KernelRequest
    guest: str = "microvm"
    # "auto", "kvm" or "tcg".
    accel: str = "auto"
    # Kernel command line words after the guest definition's.
    append: tuple[str, ...] = ()
    # One of ISOLATIONS: what cases share.
    isolation: str = "batch"
    # One of LEAK_CHECKS.
    leak_check: str = "fast"
    # Whether what cases leave behind is counted as well (harness/errpath/runner/resource_check.py).
    conservation: bool = False
    # Modules of oracles.modules.PLANTS to load as well: faults that only tests and benchmarks want.
    plants: tuple[str, ...] = ()


class Testbed:
    """One kernel on one guest definition. Everything is made on first use and then kept."""

    __test__ = False

    def __init__(
        self, options: TestbedOptions, *, store: KernelStore, artefacts: Path, progress: Progress
    ) -> None:
        self.options = options
        self._store = store
        self._artefacts = artefacts
        self.progress = progress
        self._guests = itertools.count(1)
        # Why guests are booted and not cloned, once that is known.
        self._no_clones: str | None = None
        self._said_slow = False

    @functools.cached_property
    def definition(self) -> GuestDefinition:
        return load_guest(self.options.guest)

    @functools.cached_property
    def accel(self) -> str:
        return accel.choose(self.options.accel)

    @functools.cached_property
    def kernel(self) -> BuiltKernel:
        return self._store.build(self.options.kernel)

    @functools.cached_property
    def features(self) -> tuple[Finding, ...]:
        """What the kernel can do."""
        return self._store.features(self.kernel)

    @functools.cached_property
    def machine(self) -> GuestDefinition:
        """The guest's definition, with the command line as this kernel spells it."""
        found = self.features
        self.progress.say(f"{self.kernel.name}: {summary(found)}")
        return self.definition.with_boot_args(spelled(self.definition.boot_args, found))

    def check(self) -> None:
        """See that everything is there that a guest needs; builds the kernel.

        Raises:
            ErrpathError: what is missing or cannot be built, in one line.
        """
        process.find_program(QEMU)
        _ = self.accel, self.machine

    @functools.cache  # noqa: B019 - a test bed lives as long as its run
    def modules(self, filesystem: str) -> tuple[BuiltModule, ...]:
        """The modules of a filesystem with what they depend on, in load order.

        Raises:
            AbsentError: the kernel does not have the filesystem.
            BuildError: a module does not compile, or lacks a symbol.
        """
        definition = load_filesystem(filesystem)
        check_configured(self.kernel, definition)
        modules = self._store.modules(self.kernel, definition.modules)
        if (directory := definition.kbuild_directory) is not None:
            modules = (*modules, self._store.external(self.kernel, directory))
        check_symbols(self.kernel, definition, modules)
        return modules

    def build(self, filesystems: Sequence[str], *, points: bool = False) -> None:
        """Everything that guests with these filesystems need, and, with `points`, those in which
        single calls fail: what is left to do for `prepare` may be done in several threads at once.

        Raises:
            ErrpathError: what cannot be built.
        """
        for name in filesystems:
            self.modules(name)
        _ = self._own_modules, self._clones
        if points:
            _ = self._faults_module

    def build_each(self, filesystems: Sequence[str]) -> dict[str, ErrpathError]:
        """The same, but what cannot be had of a filesystem is no error of the others: why not, by
        filesystem.

        Raises:
            ErrpathError: what cannot be built that every guest needs.
        """
        lost: dict[str, ErrpathError] = {}
        for name in filesystems:
            try:
                self.modules(name)
            except (AbsentError, SourceError, BuildError) as error:
                lost[name] = error
        self.build(())
        return lost

    @functools.cached_property
    def _oracle_modules(self) -> tuple[tuple[OwnModule, BuiltModule], ...]:
        """What is loaded into every prepared guest, in load order."""
        wanted = (CANARY, PROBE, *(PLANTS[name] for name in self.options.plants))
        return tuple((own, self._store.external(self.kernel, own.directory)) for own in wanted)

    @functools.cached_property
    def _targets(self) -> BuiltModule:
        return self._store.external(self.kernel, _TARGETS, allow_undefined=True)

    @property
    def _own_modules(self) -> tuple[BuiltModule, ...]:
        return (*(built for _, built in self._oracle_modules), self._targets)

    @functools.cached_property
    def _faults_module(self) -> BuiltModule:
        return self._store.external(self.kernel, _FAULTS)

    def source(self, path: str) -> str | None:
        """The text of a source file of the kernel, such as `fs/hfs/super.c`, or None."""
        return self._store.source(self.kernel, path)

    def symbolizer(self, filesystems: Sequence[str]) -> Symbolizer:
        """Decodes addresses of the kernel and of the modules of `filesystems`."""
        modules = {module.name: module for fs in filesystems for module in self.modules(fs)}
        return Symbolizer(self.kernel, [*modules.values(), *self._own_modules])

    def boot(self, *, append: Sequence[str] = (), gdb_port: int | None = None) -> Guest:
        """A guest with an agent and nothing more."""
        return self._boot(append, gdb_port)[0]

    def _boot(
        self, append: Sequence[str] = (), gdb_port: int | None = None
    ) -> tuple[Machine, Path]:
        artefacts = self._guest_directory()
        guest = boot(
            self.machine,
            self.kernel.bzimage,
            artefacts=artefacts,
            accel=self.accel,
            append=(*self.options.append, *append),
            gdb_port=gdb_port,
        )
        return guest, artefacts

    def _guest_directory(self) -> Path:
        return self._artefacts / f"guest-{next(self._guests)}"

    def prepare(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        *,
        points: Sequence[str] | None = None,
        fast: bool = False,
    ) -> PreparedGuest:
        """A guest with the filesystems' modules, the canary and the injection targets loaded, in
        which a leak check has found its canary: a clone where clones work, else freshly booted.

        With `fast`, kmemleak's minimum age is lowered in it, unless that cannot be done. With
        `points`, single calls can be failed in it (`errpath.faults.model`): of the filesystems' own
        functions, of those that `points` names, of allocations and of block requests.
        """
        if self.options.isolation != "boot" and self._no_clones is None:
            try:
                wanted = None if points is None else tuple(points)
                return self._clone(tuple(filesystems), tuple(functions), wanted, fast)
            except CloneError as error:
                self._no_clones = str(error)
                self.progress.say(f"guests are booted for every use, not cloned: {error}")
        return self.prepare_by_boot(filesystems, functions, points=points, fast=fast)

    def prepare_by_boot(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        *,
        points: Sequence[str] | None = None,
        fast: bool = False,
    ) -> PreparedGuest:
        """The same, booted for this use alone."""
        guest, notes, artefacts = self._make(filesystems, functions, points, clone=False)
        return self._prepared(guest, notes, artefacts, fast)

    def _clone(
        self,
        filesystems: tuple[str, ...],
        functions: tuple[str, ...],
        points: tuple[str, ...] | None,
        fast: bool,
    ) -> PreparedGuest:
        modules = [self.modules(name) for name in filesystems]
        keys = [[module.key for module in built] for built in (*modules, self._own_modules)]

        def make() -> tuple[Machine, Mapping[str, Any]]:
            return self._make(filesystems, functions, points, clone=True)[:2]

        chosen: tuple[object, ...] = (_NOTES, filesystems, functions, keys)
        if points is not None:
            chosen = (*chosen, "points", points, self._faults_module.key)
        guest, artefacts, notes = self._clones.prepared(chosen, make)
        return self._prepared(guest, notes, artefacts, fast)

    @functools.cached_property
    def _clones(self) -> Clones:
        spec = MachineSpec(
            self.machine, self.kernel.bzimage, self.kernel.key, self.accel, self.options.append
        )
        snapshots = SnapshotStore(self._store.layout, progress=self.progress)
        return Clones(
            spec, snapshots, boot=lambda: self._boot()[0], artefacts=self._guest_directory
        )

    def _prepared(
        self, guest: Machine, notes: Mapping[str, Any], artefacts: Path, fast: bool
    ) -> PreparedGuest:
        check: Check = kmemleak.slow_check
        try:
            if fast and notes["min_age"] is not None:
                set_min_age(guest, MinAge(*notes["min_age"]), lowered=True)
                check = kmemleak.fast_check
            elif fast and not self._said_slow:
                self._said_slow = True
                self.progress.say(f"leak checks are slow: {notes['why_slow']}")
        except BaseException:
            guest.close()
            raise
        modules = {name: tuple(names) for name, names in notes["modules"].items()}
        return PreparedGuest(
            guest,
            artefacts,
            dict(notes["unknown"]),
            modules,
            check=check,
            proven=True,
            absent=dict(notes["absent"]),
            broken=dict(notes["broken"]),
        )

    def _make(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        points: Sequence[str] | None,
        *,
        clone: bool,
    ) -> tuple[Machine, Mapping[str, Any], Path]:
        """A guest that is ready for cases, with what there is to know of it. Its minimum age is the
        kernel's own."""
        modules = {fs: self.modules(fs) for fs in filesystems}
        guest, artefacts = self._clones.booted() if clone else self._boot()
        try:
            broken = _load_filesystems(guest, modules)
            for own, built in self._oracle_modules:
                guest.load_module(
                    built.name, built.stripped.read_bytes(), parameters=own.parameters(guest)
                )
            unknown, absent = self._load_targets(guest, functions, modules)
            if points is not None:
                unknown |= self._load_points(guest, points, modules)
            min_age, why_slow = self._min_age(guest)
            if min_age is None:
                canary.check_with_canary(guest, kmemleak.slow_check)
            else:
                set_min_age(guest, min_age, lowered=True)
                canary.check_with_canary(guest, kmemleak.fast_check)
                set_min_age(guest, min_age, lowered=False)
        except BaseException:
            guest.close()
            raise
        notes = {
            "unknown": unknown,
            "absent": absent,
            "broken": broken,
            "modules": {fs: [module.name for module in built] for fs, built in modules.items()},
            "min_age": None if min_age is None else [min_age.address, min_age.ticks],
            "why_slow": why_slow,
        }
        return guest, notes, artefacts

    def _min_age(self, guest: Machine) -> tuple[MinAge | None, str]:
        """kmemleak's threshold, or None and why it cannot be lowered."""
        try:
            return find_min_age(guest, self.kernel.system_map, self.kernel.config), ""
        except InfrastructureError as error:
            return None, str(error)

    def close(self) -> None:
        """Let go of the frozen guests."""
        if "_clones" in self.__dict__:
            self._clones.close()

    def add_targets(self, prepared: PreparedGuest, functions: Sequence[str]) -> None:
        """Put `functions` on the injection list of a guest in place of those that it had."""
        guest = prepared.guest
        guest.call("fault.clear")
        if injection_list.is_loaded(guest):
            guest.unload_module(injection_list.MODULE)
        modules = {fs: self.modules(fs) for fs in prepared.modules}
        found = self._load_targets(guest, functions, modules)
        for known, now in zip((prepared.unknown, prepared.absent), found, strict=True):
            known.clear()
            known.update(now)

    def _load_targets(
        self,
        guest: Guest,
        functions: Sequence[str],
        modules: dict[str, tuple[BuiltModule, ...]],
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Load what can be failed; why the other functions cannot be, and which of some the kernel
        does not have."""
        if not functions:
            return {}, {}
        found = injection_list.resolve(functions, guest.symbols(functions))
        good = [symbol for symbol in found.values() if not isinstance(symbol, UnknownFunctionError)]
        injection_list.load_targets(guest, self._targets.stripped.read_bytes(), good)
        unknown: dict[str, str] = {}
        absent: dict[str, str] = {}
        points = known_points(modules)
        for name, error in found.items():
            if isinstance(error, UnknownFunctionError):
                with self.symbolizer(tuple(modules)) as symbolizer:
                    site = symbolizer.find_function(name)
                if site.kind is FunctionKind.UNKNOWN and name in points:
                    absent[name] = f"function {name}: not in {self.kernel.description}"
                else:
                    unknown[name] = self._explain(name, error, site)
        return unknown, absent

    def _load_points(
        self, guest: Guest, names: Sequence[str], modules: dict[str, tuple[BuiltModule, ...]]
    ) -> dict[str, str]:
        """Make single calls fail; why functions of `names` cannot be failed."""
        symbols = point_module.read_symbols(guest)
        point_module.load(guest, self._faults_module.stripped.read_bytes(), symbols)
        own = [module.name for built in modules.values() for module in built]
        functions = point_module.callable_functions(symbols, own)
        unknown = {}
        for name in dict.fromkeys(names):
            address = functions.get(name) or symbols.builtin.get(name)
            if address is not None:
                functions[name] = address
            elif name:
                error = injection_list.resolve((name,), guest.symbols((name,)))[name]
                assert isinstance(error, UnknownFunctionError)
                with self.symbolizer(tuple(modules)) as symbolizer:
                    site = symbolizer.find_function(name)
                unknown[name] = self._explain(name, error, site)
        point_module.set_functions(guest, functions)
        return unknown

    def _explain(self, name: str, error: UnknownFunctionError, site: FunctionSite) -> str:
        """Why a function has no symbol, from the debug information where that knows better."""
        if site.kind is FunctionKind.INLINED:
            where = ", ".join(module or "vmlinux" for module in site.modules)
            return (
                f"function {name}: inlined away in {where}: the compiler left it no code of its "
                "own; expected a function that is called, such as one of its callers"
            )
        return str(error)


def _load_filesystems(guest: Guest, modules: Mapping[str, Sequence[BuiltModule]]) -> dict[str, str]:
    """Load the modules of filesystems in a guest; why those of some do not load."""
    broken: dict[str, str] = {}
    loaded: set[str] = set()
    for filesystem, built in modules.items():
        for module in built:
            if module.name in loaded:
                continue
            try:
                guest.load_module(module.name, module.stripped.read_bytes())
            except AgentError as error:
                broken[filesystem] = (
                    f"filesystem {filesystem}: {module.name} does not load: {error}"
                )
                break
            loaded.add(module.name)
    return broken


def batch_size(options: TestbedOptions) -> int:
    """How many cases share a guest before its leaks are looked for."""
    return BATCH_MAX if options.isolation == "batch" else 1


def guest_factory(
    testbed: Testbed,
    filesystems: Sequence[str],
    functions: Sequence[str],
    *,
    points: Sequence[str] | None = None,
    confirm: bool = False,
) -> Callable[[], PreparedGuest]:
    """What an runner calls for a fresh guest; with `confirm`, for one in which a suspicion is
    looked at by the slow protocol."""
    fast = testbed.options.leak_check == "fast" and not confirm
    return functools.partial(
        testbed.prepare, tuple(filesystems), tuple(functions), points=points, fast=fast
    )
