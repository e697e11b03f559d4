"""Canaries of reports, against a kernel of a few lines that reports what it is set to."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from errpath.oracles.failure import LOCKDEP
from errpath.oracles.report_canaries import (
    CANARIES,
    ReportMissedError,
    boot_words,
    canaries_of,
    find_reports,
)

# As a kernel prints them.
_REPORTS = {
    "read-after-free": "BUG: KASAN: slab-use-after-free in f+0x1/0x2 [errpath_reports]\n"
    "Read of size 1 at addr ffff888004664130 by task report/40",
    "write-after-free": "BUG: KASAN: slab-use-after-free in f+0x1/0x2 [errpath_reports]\n"
    "Write of size 1 at addr ffff888004664130 by task report/40",
    "out-of-bounds": "BUG: KASAN: slab-out-of-bounds in f+0x1/0x2 [errpath_reports]\n"
    "Read of size 1 at addr ffff888004664130 by task report/40",
    "double-free": "BUG: KASAN: double-free in kfree+0x1/0x2",
    "shift": "UBSAN: shift-out-of-bounds in errpath_reports.c:1:2",
    "index": "UBSAN: array-index-out-of-bounds in errpath_reports.c:1:2",
    "rcu": "WARNING: suspicious RCU usage",
    "sleep-in-atomic": "BUG: sleeping function called from invalid context at errpath_reports.c:1",
    "free-timer": "ODEBUG: free active (active state 0) object: ffff888004664130 object type: "
    "timer_list hint: f+0x0/0x10 [m]\nWARNING: lib/debugobjects.c:1 at f",
    "free-work": "ODEBUG: free active (active state 0) object: ffff888004664130 object type: "
    "work_struct hint: f+0x0/0x10 [m]\nWARNING: lib/debugobjects.c:1 at f",
    "lock-inversion": "WARNING: possible circular locking dependency detected",
}


@dataclass
class _Kernel:
    # Commands that it reports as something else, or not at all.
    instead: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def write_file(self, path: str, data: bytes | str) -> None:
        assert path == "/sys/kernel/debug/errpath_reports"
        assert isinstance(data, str)
        self.log += [*self.instead.get(data, _REPORTS[data]).splitlines(), "Call Trace:"]

    def dmesg(self) -> str:
        return "".join(f"<4>[    1.000000] {line}\n" for line in self.log)


def test_every_bug_is_reported() -> None:
    found = find_reports(_Kernel(), CANARIES)
    assert found.keys() == _REPORTS.keys()


def test_lockdep_comes_before_what_switches_it_off() -> None:
    """A report of KASAN taints the kernel, and then lockdep reports nothing more."""
    titles = [one.title for one in CANARIES]
    kasan = next(number for number, title in enumerate(titles) if title.startswith("KASAN"))
    assert all(one.kind is not LOCKDEP for one in CANARIES[kasan:])
    locks = [one.title for one in CANARIES if one.kind is LOCKDEP]
    assert locks[-1] == "possible deadlock"


@pytest.mark.parametrize("command", sorted(_REPORTS))
def test_one_that_is_not_reported_is_no_verdict(command: str) -> None:
    with pytest.raises(ReportMissedError, match=rf"canary: {command} \(CONFIG_.*nothing"):
        find_reports(_Kernel({command: "fine"}), CANARIES)


def test_one_that_is_reported_as_something_else_is_no_verdict() -> None:
    kernel = _Kernel({"read-after-free": "BUG: KASAN: slab-out-of-bounds in f+0x1/0x2"})
    with pytest.raises(ReportMissedError, match="reported as KASAN: slab-out-of-bounds"):
        find_reports(kernel, CANARIES)


def test_a_kernel_is_told_to_make_every_report() -> None:
    assert boot_words({"CONFIG_KASAN": "y"}) == ("kasan_multi_shot",)
    assert boot_words({"CONFIG_KASAN": "n", "CONFIG_UBSAN": "y"}) == ()


def test_a_kernel_is_asked_for_what_it_is_built_with() -> None:
    assert canaries_of({"CONFIG_KASAN": "y", "CONFIG_PROVE_LOCKING": "n"}) == ()
    found = canaries_of({"CONFIG_UBSAN_SHIFT": "y", "CONFIG_DEBUG_OBJECTS_TIMERS": "y"})
    assert [one.command for one in found] == ["shift"]
