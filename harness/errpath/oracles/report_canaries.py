"""Canaries of a debugging kernel's reports: bugs triggered on purpose, each must be reported.

KASAN that has made its one report, lockdep that has switched itself off, a module that was built
without UBSAN: none of them reports anything, and that would be taken for a sound filesystem. So in
a guest of their own, made as the cases' guests are, one bug of each kind that the kernel's
configuration checks for is triggered (guests/modules/reports).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from errpath.errors import InfrastructureError
from errpath.kernel.log import find_crashes
from errpath.oracles.failure import CORRUPTION, LOCKDEP, OOPS, UNDEFINED, WARNING, Failure, Kind
from errpath.oracles.kernel_log import log_failures
from errpath.oracles.modules import REPORTS

__all__ = [
    "CANARIES",
    "ReportCanary",
    "ReportMissedError",
    "boot_words",
    "canaries_of",
    "find_reports",
    "other_guests",
]


@dataclass(frozen=True)
class ReportCanary:
    """One bug."""

    # Command of the module.
    command: str
    # The options that together are the check.
    config: tuple[str, ...]
    kind: Kind
    # What the title has.
    title: str


_KASAN = ("CONFIG_KASAN_GENERIC",)
_OBJECTS = ("CONFIG_DEBUG_OBJECTS_FREE",)
# In this order: a report of an inverted lock is lockdep's last, and so is any of KASAN, which
# taints the kernel as one whose locks are not to be trusted.
CANARIES = (
    ReportCanary("rcu", ("CONFIG_PROVE_RCU",), LOCKDEP, "suspicious RCU usage"),
    ReportCanary(
        "sleep-in-atomic", ("CONFIG_DEBUG_ATOMIC_SLEEP",), OOPS, "sleeping function called"
    ),
    ReportCanary("free-timer", (*_OBJECTS, "CONFIG_DEBUG_OBJECTS_TIMERS"), WARNING, "ODEBUG"),
    ReportCanary("free-work", (*_OBJECTS, "CONFIG_DEBUG_OBJECTS_WORK"), WARNING, "ODEBUG"),
    ReportCanary("lock-inversion", ("CONFIG_PROVE_LOCKING",), LOCKDEP, "possible deadlock"),
    ReportCanary("shift", ("CONFIG_UBSAN_SHIFT",), UNDEFINED, "shift-out-of-bounds"),
    ReportCanary("index", ("CONFIG_UBSAN_BOUNDS",), UNDEFINED, "array-index-out-of-bounds"),
    ReportCanary("read-after-free", _KASAN, CORRUPTION, "KASAN: slab-use-after-free Read"),
    ReportCanary("write-after-free", _KASAN, CORRUPTION, "KASAN: slab-use-after-free Write"),
    ReportCanary("out-of-bounds", _KASAN, CORRUPTION, "KASAN: slab-out-of-bounds Read"),
    ReportCanary("double-free", _KASAN, CORRUPTION, "KASAN: invalid-free"),
)


class ReportGuest(Protocol):
    """What is asked of a guest with the module."""

    def write_file(self, path: str, data: bytes | str, /) -> None: ...

    def dmesg(self) -> str: ...


class ReportMissedError(InfrastructureError):
    """The kernel did not report a bug: its silence proves nothing."""


def canaries_of(config: Mapping[str, str]) -> tuple[ReportCanary, ...]:
    """The canaries of the checks that a kernel's configuration has."""
    return tuple(one for one in CANARIES if all(config.get(name) == "y" for name in one.config))


def other_guests(config: Mapping[str, str]) -> str:
    """For the line that lists the oracles: what is not looked for with such a kernel, and the
    guests where it is; empty for one of them."""
    if canaries_of(config):
        return ""
    return (
        "; not looked for: wrong accesses to memory (--guest kasan), the rules of locks, timers "
        "and work (--guest lockdep)"
    )


def boot_words(config: Mapping[str, str]) -> tuple[str, ...]:
    """What a kernel wants on its command line so that it makes every report, and not the first
    alone."""
    return ("kasan_multi_shot",) if config.get("CONFIG_KASAN") == "y" else ()


def find_reports(guest: ReportGuest, canaries: tuple[ReportCanary, ...]) -> dict[str, Failure]:
    """The failure that each canary is reported as, by command. The guest is of no use afterwards.

    Raises:
        ReportMissedError: one was not reported, or as something else.
    """
    found = {}
    for one in canaries:
        before = len(find_crashes(guest.dmesg()))
        guest.write_file(REPORTS.file, one.command)
        failures = log_failures(find_crashes(guest.dmesg())[before:])
        match = next((x for x in failures if x.kind is one.kind and one.title in x.title), None)
        if match is None:
            titles = ", ".join(failure.title for failure in failures) or "nothing"
            raise ReportMissedError(
                f"canary: {one.command} ({', '.join(one.config)}) was reported as {titles}; "
                f"expected {one.kind}: {one.title}"
            )
        found[one.command] = match
    return found
