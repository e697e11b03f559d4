"""The kernel under test with its modules and symbols, and the guests that run it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from errpath.cases.case import MountCase
from errpath.errors import AbsentError, BuildError, ErrpathError, SourceError
from errpath.filesystems import load_filesystem
from errpath.guest import accel
from errpath.guest.clones import Added
from errpath.guest.definition import GuestDefinition, load_guest
from errpath.guest.disk import Disk
from errpath.guest.offsets import OFFSETS_DIRECTORY
from errpath.guest.qemu import QEMU
from errpath.guest.snapshot import SnapshotStore
from errpath.kernel import BuiltKernel, BuiltModule, FunctionKind, KernelRequest, KernelStore
from errpath.kernel.features import Finding
from errpath.kernel.features.change import Code
from errpath.kernel.features.summary import spelled, summary
from errpath.kernel.symbols.symbolizer import Symbolizer
from errpath.oracles.modules import CANARY, FAULTS, PENDING, PLANTS, PROBE, WAIT, OwnModule
from errpath.oracles.report_canaries import boot_words, other_guests
from errpath.runner.availability import check_configured, check_symbols
from errpath.runner.blocked import blocked_tasks
from errpath.runner.guest_factory import GuestFactory
from errpath.runner.guests import Boot, PreparedGuest
from errpath.runner.lifetime import LifetimeWatch, measure_lifetime
from errpath.runner.scheduler import BATCH_MAX
from errpath.runner.usual import UsualFailures
from errpath.util import process
from errpath.util.progress import Progress
from errpath.util.resources import GUESTS

__all__ = ["Testbed", "TestbedOptions", "batch_size"]

_TARGETS = GUESTS / "modules" / "targets"
# Wakes /proc/allocinfo in a kernel that has it; others do not mind.
_ALLOCINFO = "sysctl.vm.mem_profiling=1"


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
    conservation: bool = True
    # Modules of oracles.modules.PLANTS to load as well: faults that only tests and benchmarks want.
    plants: tuple[str, ...] = ()
    # Disks of the guest, beside what its definition has.
    disks: tuple[Disk, ...] = ()


class Testbed:
    """One kernel on one guest definition. Everything is made on first use and then kept."""

    __test__ = False

    def __init__(
        self, options: TestbedOptions, *, store: KernelStore, artefacts: Path, progress: Progress
    ) -> None:
        """Each guest's artefacts get a directory below `artefacts`."""
        self.options = options
        self._store = store
        self.progress = progress
        # What goes wrong again and again on it.
        self.usual = UsualFailures()
        # The kernel, once it has been built.
        self.built: BuiltKernel | None = None
        self.guests = GuestFactory(
            self,
            artefacts=artefacts,
            snapshots=SnapshotStore(store.layout, progress=progress),
            progress=progress,
        )

    @functools.cached_property
    def definition(self) -> GuestDefinition:
        """The guest's, with the disks that the options add."""
        return load_guest(self.options.guest).with_disks(self.options.disks)

    @functools.cached_property
    def accel(self) -> str:
        """ "kvm" or "tcg", as chosen and as this machine allows."""
        return accel.choose(self.options.accel)

    @property
    def append(self) -> tuple[str, ...]:
        """Kernel command line words after the guest definition's."""
        counted = (_ALLOCINFO,) if self.options.conservation else ()
        return (*counted, *self.options.append)

    @property
    def may_clone(self) -> bool:
        """Whether guests may be clones."""
        return self.options.isolation != "boot"

    @property
    def kernel(self) -> BuiltKernel:
        """The kernel; it is built if need be."""
        if self.built is None:
            self.built = self._store.build(self.options.kernel)
        return self.built

    @functools.cached_property
    def features(self) -> tuple[Finding, ...]:
        """What the kernel can do."""
        return self._store.features(self.kernel)

    @functools.cached_property
    def machine(self) -> GuestDefinition:
        """The guest's definition, with the command line as this kernel spells it."""
        found = self.features
        options = self.kernel.options()
        self.progress.say(f"{self.kernel.name}: {summary(found)}{other_guests(options)}")
        words = (*self.definition.boot_args, *boot_words(options))
        return self.definition.with_boot_args(spelled(words, found))

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

    def build(self, filesystems: Sequence[str], *, points: bool = False) -> dict[str, ErrpathError]:
        """Everything that guests with these filesystems need, and, with `points`, those in which
        single calls fail: guests may then be made in several threads at once. What cannot be had of
        a filesystem is no error of the others: why not, by filesystem.

        Raises:
            ErrpathError: what cannot be built that every guest needs.
        """
        lost: dict[str, ErrpathError] = {}
        for name in filesystems:
            try:
                self.modules(name)
            except (AbsentError, SourceError, BuildError) as error:
                lost[name] = error
        _ = self.oracle_modules, self.targets
        if points:
            _ = self.own_module(FAULTS)
        self.guests.get_ready()
        return lost

    @functools.cached_property
    def oracle_modules(self) -> tuple[tuple[OwnModule, BuiltModule], ...]:
        """What is loaded into every prepared guest, in load order."""
        wanted = (CANARY, PROBE, PENDING, WAIT, *(PLANTS[name] for name in self.options.plants))
        return tuple((own, self._store.external(self.kernel, own.directory)) for own in wanted)

    @functools.cached_property
    def targets(self) -> BuiltModule:
        """The module of the injection targets."""
        return self._store.external(self.kernel, _TARGETS, allow_undefined=True)

    @functools.cache  # noqa: B019 - as above
    def own_module(self, own: OwnModule) -> BuiltModule:
        """A module of ours that only some guests need."""
        return self._store.external(self.kernel, own.directory)

    @functools.cached_property
    def offsets_module(self) -> BuiltModule:
        """The module that says where members of structures lie."""
        return self._store.external(self.kernel, OFFSETS_DIRECTORY, allow_undefined=True)

    def source(self, path: str) -> str | None:
        """The text of a source file of the kernel, such as `fs/hfs/super.c`, or None."""
        return self._store.sources.text(self.kernel, path)

    def code(self, filesystem: str) -> Code:
        """The code of the kernel and of a filesystem's modules."""
        return _KernelCode(self, filesystem)

    def symbolizer(self, filesystems: Sequence[str]) -> Symbolizer:
        """Decodes addresses of the kernel and of the modules of `filesystems`."""
        modules = {module.name: module for fs in filesystems for module in self.modules(fs)}
        own = (*(built for _, built in self.oracle_modules), self.targets)
        return Symbolizer(self.kernel, [*modules.values(), *own])

    def guest_source(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        *,
        points: Sequence[str] | None = None,
        confirm: bool = False,
    ) -> Boot:
        """What gives a batch runner fresh guests; with `confirm`, they are checked slowly."""
        fast = self.options.leak_check == "fast" and not confirm
        return functools.partial(
            self.guests.prepare, tuple(filesystems), tuple(functions), points=points, fast=fast
        )

    def clone(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        points: Sequence[str] | None,
        added: Added | None,
    ) -> PreparedGuest:
        """A clone whose leaks are checked fast, with `added` on its QEMU's command line.

        Raises:
            CloneError: guests cannot be cloned here.
        """
        return self.guests.prepare_clone(filesystems, functions, points=points, added=added)

    def watch(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        *,
        points: Sequence[str] | None = None,
    ) -> LifetimeWatch:
        """What measures the life of an object that a case leaks, in clones."""
        return functools.partial(
            measure_lifetime, self, tuple(filesystems), tuple(functions), points
        )

    def blocked(
        self,
        filesystems: Sequence[str],
        functions: Sequence[str],
        points: Sequence[str] | None,
        case: MountCase,
    ) -> str:
        """The other tasks that wait while a case hangs (`blocked_tasks`)."""
        return blocked_tasks(self, filesystems, functions, points, case)

    def close(self) -> None:
        """Let go of the frozen guests."""
        self.guests.close()


class _KernelCode:
    """Source files, and functions by symbols and debug information."""

    def __init__(self, testbed: Testbed, filesystem: str) -> None:
        self._testbed = testbed
        self._filesystem = filesystem

    def source(self, path: str) -> str | None:
        return self._testbed.source(path)

    def has_function(self, name: str) -> bool | None:
        with self._testbed.symbolizer((self._filesystem,)) as symbolizer:
            known = symbolizer.find_function(name).kind is not FunctionKind.UNKNOWN
        # Without debug information, what was inlined leaves no trace.
        debug = any(one.name == "source_lines" and one.present for one in self._testbed.features)
        return known if known or debug else None


def batch_size(options: TestbedOptions) -> int:
    """How many cases share a guest before its leaks are looked for."""
    return BATCH_MAX if options.isolation == "batch" else 1
