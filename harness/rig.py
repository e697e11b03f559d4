"""Everything that a run needs, put together: built kernel, modules, prepared guests."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import process, targets
from harness.errors import UnknownFunctionError
from harness.executor import PreparedGuest
from harness.filesystems import load_filesystem
from harness.guest import accel
from harness.guest.definition import GUESTS, GuestDefinition, load_guest
from harness.guest.machine import Guest, boot
from harness.guest.qemu import QEMU
from harness.kernel import BuiltKernel, BuiltModule, KernelRequest, KernelStore
from harness.kernel.functions import FunctionKind
from harness.kernel.symbols import Symbolizer
from harness.progress import Progress

__all__ = ["Rig", "RigOptions", "executor_boot"]

_CANARY = GUESTS / "modules" / "canary"
_TARGETS = GUESTS / "modules" / "targets"


@dataclass(frozen=True)
class RigOptions:
    """What the user chose."""

    kernel: KernelRequest
    guest: str = "microvm"
    # "auto", "kvm" or "tcg".
    accel: str = "auto"
    # Kernel command line words after the guest definition's.
    append: tuple[str, ...] = ()


class Rig:
    """One kernel on one guest definition. Everything is made on first use and then kept."""

    def __init__(
        self, options: RigOptions, *, store: KernelStore, artefacts: Path, progress: Progress
    ) -> None:
        self.options = options
        self._store = store
        self._artefacts = artefacts
        self._progress = progress
        self._guests = itertools.count(1)

    @functools.cached_property
    def definition(self) -> GuestDefinition:
        return load_guest(self.options.guest)

    @functools.cached_property
    def accel(self) -> str:
        return accel.choose(self.options.accel)

    @functools.cached_property
    def kernel(self) -> BuiltKernel:
        return self._store.build(self.options.kernel)

    def check(self) -> None:
        """See that everything is there that a guest needs; builds the kernel.

        Raises:
            ErrpathError: what is missing or cannot be built, in one line.
        """
        process.find_program(QEMU)
        _ = self.definition, self.accel, self.kernel

    @functools.cache  # noqa: B019 - a rig lives as long as its run
    def modules(self, filesystem: str) -> tuple[BuiltModule, ...]:
        """The modules of a filesystem with what they depend on, in load order."""
        return self._store.modules(self.kernel, load_filesystem(filesystem).modules)

    @functools.cached_property
    def _own_modules(self) -> tuple[BuiltModule, BuiltModule]:
        return (
            self._store.external(self.kernel, _CANARY),
            self._store.external(self.kernel, _TARGETS, allow_undefined=True),
        )

    def symbolizer(self, filesystems: Sequence[str]) -> Symbolizer:
        """Decodes addresses of the kernel and of the modules of `filesystems`."""
        modules = {module.name: module for fs in filesystems for module in self.modules(fs)}
        return Symbolizer(self.kernel, [*modules.values(), *self._own_modules])

    def boot(self, *, append: Sequence[str] = (), gdb_port: int | None = None) -> Guest:
        """A guest with an agent and nothing more."""
        return self._boot(append, gdb_port)[0]

    def _boot(self, append: Sequence[str] = (), gdb_port: int | None = None) -> tuple[Guest, Path]:
        artefacts = self._artefacts / f"guest-{next(self._guests)}"
        guest = boot(
            self.definition,
            self.kernel.bzimage,
            artefacts=artefacts,
            accel=self.accel,
            append=(*self.options.append, *append),
            gdb_port=gdb_port,
        )
        return guest, artefacts

    def prepare(self, filesystems: Sequence[str], functions: Sequence[str]) -> PreparedGuest:
        """A guest with the filesystems' modules, the canary and the injection targets loaded."""
        canary_module, targets_module = self._own_modules
        modules = {fs: self.modules(fs) for fs in filesystems}
        guest, artefacts = self._boot()
        try:
            loaded: set[str] = set()
            for module in itertools.chain.from_iterable(modules.values()):
                if module.name not in loaded:
                    guest.load_module(module.name, module.path.read_bytes())
                    loaded.add(module.name)
            guest.load_module(canary_module.name, canary_module.path.read_bytes())
            unknown = self._load_targets(guest, targets_module, functions, modules)
        except BaseException:
            guest.close()
            raise
        names = {fs: tuple(module.name for module in built) for fs, built in modules.items()}
        return PreparedGuest(guest, artefacts, unknown, names)

    def add_targets(self, prepared: PreparedGuest, functions: Sequence[str]) -> None:
        """Put `functions` on the injection list of a guest in place of those that it had."""
        guest = prepared.guest
        guest.call("fault.clear")
        if targets.is_loaded(guest):
            guest.unload_module(targets.MODULE)
        modules = {fs: self.modules(fs) for fs in prepared.modules}
        unknown = self._load_targets(guest, self._own_modules[1], functions, modules)
        prepared.unknown.clear()
        prepared.unknown.update(unknown)

    def _load_targets(
        self,
        guest: Guest,
        module: BuiltModule,
        functions: Sequence[str],
        modules: dict[str, tuple[BuiltModule, ...]],
    ) -> dict[str, str]:
        """Load what can be failed; why the other functions cannot be."""
        if not functions:
            return {}
        found = targets.resolve(functions, guest.symbols(functions))
        good = [symbol for symbol in found.values() if not isinstance(symbol, UnknownFunctionError)]
        targets.load_targets(guest, module.path.read_bytes(), good)
        return {
            name: self._explain(name, error, tuple(modules))
            for name, error in found.items()
            if isinstance(error, UnknownFunctionError)
        }

    def _explain(self, name: str, error: UnknownFunctionError, filesystems: tuple[str, ...]) -> str:
        """Why a function has no symbol, from the debug information where that knows better."""
        with self.symbolizer(filesystems) as symbolizer:
            site = symbolizer.find_function(name)
        if site.kind is FunctionKind.INLINED:
            where = ", ".join(module or "vmlinux" for module in site.modules)
            return (
                f"function {name}: inlined away in {where}: the compiler left it no code of its "
                "own; expected a function that is called, such as one of its callers"
            )
        return str(error)


def executor_boot(
    rig: Rig, filesystems: Sequence[str], functions: Sequence[str]
) -> Callable[[], PreparedGuest]:
    """What an executor calls for a fresh guest."""
    return functools.partial(rig.prepare, tuple(filesystems), tuple(functions))
