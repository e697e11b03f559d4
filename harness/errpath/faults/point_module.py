"""The module errpath_faults in a guest: what it needs to know of the kernel, and its recordings."""

from __future__ import annotations

import bisect
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from errpath.errors import InfrastructureError
from errpath.faults.chains import Chain, parse_chains
from errpath.guest.machine import Guest

__all__ = [
    "MODULE",
    "TextSymbols",
    "callable_functions",
    "forget",
    "is_loaded",
    "load",
    "read_chains",
    "read_symbols",
    "set_functions",
]

MODULE = "errpath_faults"
_FILES = "/sys/kernel/debug/errpath_faults"
# The module's parameters, and the function that each names: the first that the kernel has.
_HOOKS = {
    "slab": ("should_failslab",),
    "page": ("should_fail_alloc_page",),
    # Without memory allocation profiling, which came with 6.10, it is the function itself.
    "percpu": ("pcpu_alloc_noprof", "pcpu_alloc"),
    "bio": ("submit_bio_noacct",),
    "vmalloc": ("__vmalloc_node_range_noprof", "__vmalloc_node_range"),
}
_OPTIONAL = ("percpu", "vmalloc")
# Ranges of code below which nothing counts, from the first of a pair to the end of the last, each
# the first that the kernel has of some names: the allocations of kmemleak, of the stack depot and
# of memory allocation profiling, and the pages of the slab allocator. Which of them are made
# depends on what came before.
_KMEMLEAK = ("__alloc_object", "__create_object", "create_object")
_STACK_DEPOT = ("stack_depot_save_flags", "__stack_depot_save")
_PROFILING = ("alloc_slab_obj_exts",)
_SLAB = ("allocate_slab",)
_REJECTED = (
    (_KMEMLEAK, ("kmemleak_write",)),
    (_STACK_DEPOT, _STACK_DEPOT),
    (_PROFILING, _PROFILING),
    (_SLAB, _SLAB),
)
# The compiler's parts of a function that nothing calls.
_NO_FUNCTION = re.compile(
    r".*\.(?:cold|part|constprop|isra)\b|__pfx_|__cfi_|\.L|(?:init|cleanup)_module$"
)


@dataclass(frozen=True)
class TextSymbols:
    """The functions of a running kernel."""

    # Addresses, sorted: where a function ends is where the next begins.
    addresses: tuple[int, ...]
    # Addresses of built-in functions by name; of several of one name, the first.
    builtin: Mapping[str, int]
    # The same for each module.
    modules: Mapping[str, Mapping[str, int]]

    def first(self, names: Sequence[str]) -> int | None:
        """The address of the first of some built-in functions that there is."""
        return next((self.builtin[name] for name in names if name in self.builtin), None)

    def after(self, address: int) -> int:
        """Where the function after the one at `address` begins."""
        at = bisect.bisect_right(self.addresses, address)
        return self.addresses[at] if at < len(self.addresses) else address + 1


def read_symbols(guest: Guest) -> TextSymbols:
    """The functions of the guest's kernel and modules, from its /proc/kallsyms."""
    builtin: dict[str, int] = {}
    modules: dict[str, dict[str, int]] = {}
    addresses = set()
    for line in guest.read_file("/proc/kallsyms").decode().splitlines():
        address, kind, name, *module = line.split()
        if kind in "tTwW":
            addresses.add(int(address, 16))
            table = modules.setdefault(module[0].strip("[]"), {}) if module else builtin
            table.setdefault(name, int(address, 16))
    return TextSymbols(tuple(sorted(addresses)), builtin, modules)


def is_loaded(guest: Guest) -> bool:
    """Whether the module is in the guest."""
    return MODULE in guest.loaded_modules()


def load(guest: Guest, module: bytes, symbols: TextSymbols) -> None:
    """Load the module.

    Raises:
        InfrastructureError: the kernel lacks what it needs.
    """
    hooks = {name: symbols.first(names) for name, names in _HOOKS.items()}
    words = [f"{name}={hook:#x}" for name, hook in hooks.items() if hook is not None]
    missing = [
        names[0] for name, names in _HOOKS.items() if name not in _OPTIONAL and hooks[name] is None
    ]
    if missing:
        raise InfrastructureError(
            f"{MODULE}: the kernel has no {', '.join(missing)}; expected CONFIG_FAILSLAB and "
            "CONFIG_FAIL_PAGE_ALLOC, without which no allocation can be failed"
        )
    ranges = [
        f"{first:#x},{symbols.after(last):#x}"
        for first, last in ((symbols.first(one), symbols.first(end)) for one, end in _REJECTED)
        if first is not None and last is not None
    ]
    if ranges:
        words.append(f"reject={','.join(ranges)}")
    guest.load_module(MODULE, module, parameters=" ".join(words))


def callable_functions(symbols: TextSymbols, modules: Collection[str]) -> dict[str, int]:
    """The functions of some modules, by name."""
    return {
        name: address
        for module in modules
        for name, address in symbols.modules.get(module, {}).items()
        if not _NO_FUNCTION.match(name)
    }


def set_functions(guest: Guest, functions: Mapping[str, int]) -> None:
    """Let faults of kind "call" have these functions, by name and address, and no others."""
    words = [f"{address:x}={name}" for name, address in functions.items()]
    guest.write_file(f"{_FILES}/functions", "\n".join(words) + "\n")


def read_chains(guest: Guest) -> tuple[Chain, ...]:
    """What the last recording saw.

    Raises:
        InfrastructureError: it saw more than it has room for.
    """
    state = guest.read_file(f"{_FILES}/state").decode().split()
    if state[4:] != ["lost", "0"]:
        raise InfrastructureError(
            f"{MODULE}: {' '.join(state)}; expected room for every call chain of a recording"
        )
    return parse_chains(guest.read_file(f"{_FILES}/chains").decode())


def forget(guest: Guest) -> None:
    """Drop a recording."""
    guest.write_file(f"{_FILES}/chains", "\n")
