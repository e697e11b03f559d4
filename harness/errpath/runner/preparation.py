"""Load into a booted guest what its cases need, and prove that its leak check finds leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from errpath.errors import InfrastructureError, UnknownFunctionError
from errpath.faults import injection_list, point_module
from errpath.guest.channel import AgentError
from errpath.guest.definition import GuestDefinition
from errpath.guest.machine import Guest, Machine
from errpath.kernel import BuiltKernel, BuiltModule
from errpath.kernel.features import Finding
from errpath.kernel.symbols.elf import traceable_functions
from errpath.kernel.symbols.functions import FunctionKind, FunctionSite
from errpath.kernel.symbols.symbolizer import Symbolizer
from errpath.oracles import canary, kmemleak
from errpath.oracles.kmemleak_min_age import MinAge, find_min_age, set_min_age
from errpath.oracles.modules import FAULTS, REPORTS, OwnModule
from errpath.runner.availability import known_points

__all__ = [
    "KernelUnderTest",
    "load_all",
    "load_points",
    "load_report_canaries",
    "load_targets",
]

# What is below this level is printed on the console: warnings, and all that is worse.
_PRINTK = "/proc/sys/kernel/printk"
_CONSOLE_LEVEL = "5"


class KernelUnderTest(Protocol):
    """What guests are made of; everything is made on first use."""

    @property
    def machine(self) -> GuestDefinition:
        """With the command line as this kernel spells it."""

    @property
    def accel(self) -> str:
        """ "kvm" or "tcg"."""

    @property
    def kernel(self) -> BuiltKernel:
        """The built kernel."""

    @property
    def append(self) -> tuple[str, ...]:
        """Kernel command line words after the guest definition's."""

    @property
    def features(self) -> tuple[Finding, ...]:
        """What the kernel can do."""

    @property
    def may_clone(self) -> bool:
        """Whether guests are clones of a frozen one, not boots."""

    @property
    def oracle_modules(self) -> tuple[tuple[OwnModule, BuiltModule], ...]:
        """What is loaded into every prepared guest, in load order."""

    @property
    def targets(self) -> BuiltModule:
        """The module of the injection targets."""

    def own_module(self, own: OwnModule, /) -> BuiltModule:
        """A module of ours that only some guests need."""

    def modules(self, filesystem: str, /) -> tuple[BuiltModule, ...]:
        """The modules of a filesystem with what they depend on, in load order."""

    def symbolizer(self, filesystems: Sequence[str], /) -> Symbolizer:
        """Source positions in the kernel and in the modules of these filesystems."""


def load_all(
    source: KernelUnderTest,
    guest: Machine,
    filesystems: Sequence[str],
    functions: Sequence[str],
    *,
    points: Sequence[str] | None = None,
) -> Mapping[str, Any]:
    """Load modules, canary and injection targets, with `points` also what fails single calls; find
    a canary. JSON values on the guest: why
    functions cannot be failed in it ("unknown"), which its kernel does not have ("absent"), why
    modules do not load ("broken", by filesystem), names of the "modules" of each filesystem, and
    where kmemleak's minimum age is ("min_age"; None, and "why_slow", where it cannot be lowered).
    The minimum age is the kernel's own afterwards.

    Raises:
        ErrpathError: the guest cannot be used.
    """
    # Notices go to the kernel log alone: it takes the serial port as long to print those of a mount
    # as some filesystems take to mount.
    guest.write_file(_PRINTK, _CONSOLE_LEVEL)
    modules = {name: source.modules(name) for name in filesystems}
    broken = _load_filesystems(guest, modules)
    for own, image in source.oracle_modules:
        guest.load_module(image.name, image.stripped.read_bytes(), parameters=own.parameters(guest))
    unknown, absent = load_targets(source, guest, functions, filesystems)
    if points is not None:
        unknown |= load_points(source, guest, points, modules)
    min_age, why_slow = _min_age(source, guest)
    if min_age is None:
        canary.check_with_canary(guest, kmemleak.slow_check)
    else:
        set_min_age(guest, min_age, lowered=True)
        canary.check_with_canary(guest, kmemleak.fast_check)
        set_min_age(guest, min_age, lowered=False)
    return {
        "unknown": unknown,
        "absent": absent,
        "broken": broken,
        "modules": {name: [module.name for module in each] for name, each in modules.items()},
        "min_age": None if min_age is None else [min_age.address, min_age.ticks],
        "why_slow": why_slow,
    }


def load_report_canaries(source: KernelUnderTest, guest: Guest) -> None:
    """Load the module that triggers bugs on purpose (`errpath.oracles.report_canaries`)."""
    module = source.own_module(REPORTS)
    guest.load_module(module.name, module.stripped.read_bytes())


def _min_age(source: KernelUnderTest, guest: Machine) -> tuple[MinAge | None, str]:
    """kmemleak's threshold, or None and why it cannot be lowered."""
    try:
        return find_min_age(guest, source.kernel.system_map, source.kernel.config), ""
    except InfrastructureError as error:
        return None, str(error)


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


def load_targets(
    source: KernelUnderTest, guest: Guest, functions: Sequence[str], filesystems: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Put what can be failed on the injection list; why the other functions cannot be, and which of
    some the kernel does not have."""
    if not functions:
        return {}, {}
    found = injection_list.look_up(guest, functions)
    good = [symbol for symbol in found.values() if not isinstance(symbol, UnknownFunctionError)]
    injection_list.load_targets(guest, source.targets.stripped.read_bytes(), good)
    unknown: dict[str, str] = {}
    absent: dict[str, str] = {}
    points = known_points(filesystems)
    for name, error in found.items():
        if isinstance(error, UnknownFunctionError):
            with source.symbolizer(filesystems) as symbolizer:
                site = symbolizer.find_function(name)
            if site.kind is FunctionKind.UNKNOWN and name in points:
                absent[name] = f"function {name}: not in {source.kernel.description}"
            else:
                unknown[name] = _explain(name, error, site)
    return unknown, absent


def load_points(
    source: KernelUnderTest,
    guest: Guest,
    names: Sequence[str],
    modules: Mapping[str, Sequence[BuiltModule]],
) -> dict[str, str]:
    """Make single calls fail; why functions of `names` cannot be failed.

    Only what is hooked can be failed, and every call of what is hooked takes longer: the functions
    of `names`, or where it is empty all of the filesystems' modules, as a recording needs them.
    """
    symbols = point_module.read_symbols(guest)
    if not point_module.is_loaded(guest):
        point_module.load(guest, source.own_module(FAULTS).stripped.read_bytes(), symbols)
    own = {module.name: module for built in modules.values() for module in built}
    known = point_module.callable_functions(symbols, own)
    functions = {} if names else _traceable(symbols, own)
    unknown = {}
    for name in dict.fromkeys(names):
        address = known.get(name) or symbols.builtin.get(name)
        if address is not None:
            functions[name] = address
        elif name:
            error = injection_list.look_up(guest, (name,))[name]
            assert isinstance(error, UnknownFunctionError)
            with source.symbolizer(tuple(modules)) as symbolizer:
                site = symbolizer.find_function(name)
            unknown[name] = _explain(name, error, site)
    point_module.set_functions(guest, functions)
    return unknown


def _traceable(
    symbols: point_module.TextSymbols, modules: Mapping[str, BuiltModule]
) -> dict[str, int]:
    """The functions of some modules that can be hooked. One that cannot has the kernel refuse all
    that it is tried with, and there are hundreds in a large module."""
    found: dict[str, int] = {}
    for module in modules.values():
        traceable = traceable_functions(module.stripped)
        functions = point_module.callable_functions(symbols, (module.name,))
        found |= {
            name: address
            for name, address in functions.items()
            if traceable is None or name in traceable
        }
    return found


def _explain(name: str, error: UnknownFunctionError, site: FunctionSite) -> str:
    """Why a function has no symbol, from the debug information where that knows better."""
    if site.kind is FunctionKind.INLINED:
        where = ", ".join(module or "vmlinux" for module in site.modules)
        return (
            f"function {name}: inlined away in {where}: the compiler left it no code of its "
            "own; expected a function that is called, such as one of its callers"
        )
    return str(error)
