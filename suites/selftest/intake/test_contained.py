"""One run of a reproducer, with a guest that only plays what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from errpath.errors import GuestPoisonedError, InfrastructureError
from errpath.guest.machine import Guest, ProgramOutput
from errpath.guest.program import guest_program
from errpath.intake.contained import Attempt, run_contained
from errpath.intake.reproducer import Reproducer
from errpath.kernel.log import Crash, find_crashes
from errpath.oracles.canary import Checked
from errpath.oracles.failure import HANG, LEAK
from errpath.oracles.kmemleak import parse_records
from errpath.runner.guests import PreparedGuest

_LAST = "\ncontain: status={} signal={} late={} stuck={}\n"
_PROGRAM = Reproducer("repro.c", b"\x7fELF", title="memory leak in f")
_RECORD = parse_records(
    'unreferenced object 0x1 (size 8):\n  comm "repro", pid 1, jiffies 1\n  backtrace:\n'
    "    f+0x1/0x2\n"
)
_WARNING = "WARNING: fs/a.c:1 at g+0x1/0x2\nCall Trace:\n g+0x1/0x2\n---[ end trace ]---\n"
_KASAN = "BUG: KASAN: slab-use-after-free in h+0x1/0x2\nRead of size 8\nCall Trace:\n h+0x1/0x2\n"


@dataclass
class _Console:
    text: str

    def crashes(self) -> tuple[Crash, ...]:
        return find_crashes(self.text)


@dataclass
class _Guest:
    """What it prints, what its log has then; or how it is lost."""

    output: str = _LAST.format(0, 0, 0, 0)
    log: str = ""
    lost: str | None = None
    error: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ran: bool = False
    closed: bool = False
    end_seconds: float = 0.0

    @property
    def console(self) -> _Console:
        return _Console(self.lost or "")

    def end_after(self, seconds: float) -> None:
        self.end_seconds = seconds

    def write_file(self, path: str, data: bytes, *, mode: int) -> None:
        assert mode == 0o755
        self.files[path] = data

    def dmesg(self) -> str:
        return "booted\n" + (self.log if self.ran else "")

    def run(self, argv: list[str], *, seconds: float) -> ProgramOutput:
        assert argv[1:] == ["7", "/repro-program"]
        assert 7 < seconds < self.end_seconds
        self.ran = True
        if self.lost is not None:
            raise GuestPoisonedError("gone")
        if self.error:
            raise InfrastructureError(self.error)
        return ProgramOutput(0, self.output)

    def close(self) -> None:
        self.closed = True


def _run(guest: _Guest, *leaks: Checked) -> Attempt:
    """One attempt; `leaks` is what the leak check finds, which is asked so often."""
    found = list(leaks)
    prepared = PreparedGuest(cast(Guest, guest), Path())
    attempt = run_contained(
        lambda: prepared, _PROGRAM, seconds=7, checked=lambda guest, check: found.pop()
    )
    assert guest.closed
    assert guest.files == {"/contain": guest_program("repro"), "/repro-program": b"\x7fELF"}
    assert not found
    return attempt


def test_a_clean_run() -> None:
    attempt = _run(_Guest("hello" + _LAST.format(3, 0, 0, 0)), Checked(()))
    assert (attempt.failures, attempt.error) == ((), "")
    assert (attempt.output, attempt.ended) == ("hello", "status 3")


def test_a_container_that_does_not_work_is_no_clean_attempt() -> None:
    """As in a guest without PID namespaces."""
    attempt = _run(_Guest("contain: clone: Invalid argument\n"))
    assert attempt.failures == ()
    assert "contain: clone: Invalid argument (namespaces? --guest repro)" in attempt.error


def test_a_program_that_is_killed() -> None:
    assert _run(_Guest(_LAST.format(128 + 11, 0, 0, 0)), Checked(())).ended == "signal 11"


def test_leaks_and_warnings() -> None:
    attempt = _run(_Guest(_LAST.format(0, 9, 1, 0), _WARNING), Checked(_RECORD))
    assert [failure.title for failure in attempt.failures] == ["WARNING in g", "memory leak in f"]
    assert attempt.leaks
    assert attempt.ended == "ended when time was up"


def test_after_a_fatal_report_no_leak_is_looked_for() -> None:
    attempt = _run(_Guest(log=_KASAN))
    assert [f.title for f in attempt.failures] == ["KASAN: slab-use-after-free Read in h"]


def test_a_check_without_its_canary_says_nothing() -> None:
    blind = "canary: 1 of 5 was not found"
    assert _run(_Guest(), Checked((), blind)).error == blind
    # What was found all the same counts.
    assert [failure.kind for failure in _run(_Guest(), Checked(_RECORD, blind)).failures] == [LEAK]


def test_a_task_that_does_not_end_is_a_hang() -> None:
    stack = (
        "contain: task 77 does not end\n[<0>] folio_wait_bit_common+0x1/0x2\n"
        "[<0>] hfs_bnode_find+0x1/0x2 [hfs]\n"
    )
    (failure,) = _run(_Guest(stack + _LAST.format(0, 9, 1, 1))).failures
    assert (failure.kind, failure.title) == (HANG, "INFO: task hung in hfs_bnode_find")
    (failure,) = _run(_Guest(_LAST.format(0, 9, 1, 1))).failures
    assert failure.title == "INFO: task hung"


@pytest.mark.parametrize(
    ("console", "titles", "error"),
    [
        (_KASAN, ["KASAN: slab-use-after-free Read in h"], ""),
        ("", [], "the guest did not survive it: gone"),
        (
            "Kernel panic - not syncing: System is deadlocked on memory\n",
            *([], "the guest did not survive it: gone"),
        ),
    ],
)
def test_a_guest_that_is_lost(console: str, titles: list[str], error: str) -> None:
    attempt = _run(_Guest(lost=console))
    assert [failure.title for failure in attempt.failures] == titles
    assert attempt.error == error


def test_an_error_of_the_infrastructure_is_no_answer() -> None:
    assert _run(_Guest(error="no channel")).error == "no channel"

    def none() -> PreparedGuest:
        raise InfrastructureError("no room")

    assert run_contained(none, _PROGRAM, seconds=7).error == "no guest: no room"
