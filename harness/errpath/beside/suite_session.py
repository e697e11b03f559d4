"""A suite's tests in one guest after another: one runs, its runner answers, the kernel is asked.

What that says is judged in suite_run.py.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from errpath.beside.shell import GuestShell
from errpath.beside.suite_counts import Rises, SuiteCounts
from errpath.beside.suite_faults import MAKE_IT_FAIL, EveryAlloc
from errpath.beside.suites import Answer, Selection, Suite, SuiteStatus
from errpath.errors import ErrpathError, InfrastructureError
from errpath.guest.channel import AgentError
from errpath.kernel.log import Crash, find_crashes
from errpath.oracles import canary
from errpath.oracles.canary import Check
from errpath.oracles.failure import TEST, Failure, infrastructure
from errpath.oracles.kernel_log import log_failures
from errpath.oracles.resources import settle
from errpath.results.records import CaseRecord, CaseStatus
from errpath.runner.guests import PreparedGuest
from errpath.util.deadline import Deadline

__all__ = ["SuiteResult", "SuiteSession", "TestRan", "worst_first"]

_LOG_SECONDS = 1.0
_TIMED_OUT = "timed out"


@dataclass(frozen=True)
class SuiteResult:
    """One test: what its suite says, and what the oracles found."""

    test: str
    # None where the test did not come to an end.
    answer: Answer | None
    # The worst first; of the suite, of the oracles, or of the infrastructure.
    failures: tuple[Failure, ...] = ()
    # Runs in a fresh guest that showed the same leak, of so many.
    confirmed: int = 0
    repeats: int = 0
    # Seconds of the test itself.
    seconds: float = 0.0
    # Of a test that failed, by name: its output, the kernel log, what its runner has written.
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def status(self) -> CaseStatus:
        """FAIL for a bug or a failed test, ERROR for any other failure."""
        kernel = [one for one in self.failures if one.kind.bug or one.kind is TEST]
        if kernel:
            return CaseStatus.FAIL
        if self.failures:
            return CaseStatus.ERROR
        skipped = self.answer is not None and self.answer.status is SuiteStatus.SKIP
        return CaseStatus.SKIP if skipped else CaseStatus.PASS

    def record(self, suite: Suite, filesystem: str) -> CaseRecord:
        """As results keep it."""
        reasons = tuple(one.line for one in self.failures)
        if self.status is CaseStatus.SKIP and self.answer is not None:
            reasons = (self.answer.why,)
        case = f"{suite.name}:{self.test}"
        return CaseRecord(
            case,
            self.status,
            reasons,
            seconds=self.seconds,
            filesystem=filesystem,
            confirmed=self.confirmed,
            repeats=self.repeats,
            nodeid=case,
            failures=self.failures,
        )


@dataclass(frozen=True)
class TestRan:
    """A test that has run, before what it left is looked at."""

    test: str
    answer: Answer | None
    # By its runner, and in the kernel log.
    failures: tuple[Failure, ...]
    seconds: float
    # As `SuiteResult.files`.
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def skipped(self) -> bool:
        """Whether its runner did not run it."""
        return self.answer is not None and self.answer.status is SuiteStatus.SKIP

    def result(self) -> SuiteResult:
        """Unless something else is found."""
        return SuiteResult(
            self.test, self.answer, self.failures, seconds=self.seconds, files=self.files
        )


class SuiteSession:
    """Tests of one suite on one kernel, in a guest that is replaced where it must be."""

    def __init__(
        self,
        suite: Suite,
        guest: Callable[[bool], PreparedGuest],
        enter: Callable[[PreparedGuest], GuestShell],
        *,
        seconds: float,
        fail: EveryAlloc | None = None,
    ) -> None:
        """`guest` gives a fresh guest, whose leak check is fast if its argument says so; `enter` a
        shell in it. Each test may take `seconds`. With `fail`, allocations fail while it runs, and
        only the oracles are asked."""
        self.suite = suite
        self._guest = guest
        self._enter = enter
        self._seconds = seconds
        self._fail = fail
        self._prepared: PreparedGuest | None = None
        self._shell: GuestShell | None = None
        self.counts: SuiteCounts | None = None
        # Tests that did not run since the oracles were asked last.
        self.not_run: list[str] = []

    def close(self) -> None:
        """End the guest."""
        if self._prepared is not None:
            self._prepared.guest.close()
            self._prepared = self._shell = self.counts = None
            self.not_run.clear()

    def tests(self, selection: Selection) -> tuple[str, ...]:
        """The names of the selected tests."""
        return self.suite.tests(self.ready()[1], selection)

    def ready(self, *, fast: bool = True) -> tuple[PreparedGuest, GuestShell]:
        """The guest in use, or a fresh one, whose leak check is fast or slow."""
        if self._prepared is None or self._shell is None:
            self._prepared = self._guest(fast)
            try:
                self._shell = self._enter(self._prepared)
                self.suite.prepare(self._shell)
                # What preparing left is not a test's.
                self.check(self._prepared, self._prepared.check)
                self.counts = SuiteCounts.begin(self._prepared)
            except BaseException:
                self.close()
                raise
        return self._prepared, self._shell

    def ran(
        self, prepared: PreparedGuest, shell: GuestShell, test: str, ahead: Sequence[str]
    ) -> TestRan:
        """Run a test, and read the kernel log."""
        began = time.monotonic()
        mark = f"errpath: {test} begins at {began}"
        prepared.guest.write_file("/dev/kmsg", mark)
        answer, why = self.answer(shell, test, ahead)
        seconds = time.monotonic() - began
        log = prepared.guest.dmesg().rpartition(mark)[2]
        failures = (*log_failures(find_crashes(log)), *why)
        files = self._files(shell, test, answer, log) if failures else {}
        return TestRan(test, answer, failures, seconds, files)

    def _files(
        self, shell: GuestShell, test: str, answer: Answer | None, log: str
    ) -> dict[str, bytes]:
        files = {"kernel.log": log.encode()}
        if answer is not None:
            files["runner.log"] = answer.output.encode()
        # The verdict stands without them.
        with contextlib.suppress(AgentError, InfrastructureError):
            files |= self.suite.files(shell, test)
        return files

    def left(
        self, prepared: PreparedGuest, shell: GuestShell
    ) -> tuple[canary.Checked, Rises, Sequence[Crash]]:
        """With nothing mounted, what the leak check finds, what is more than before, and what the
        kernel says meanwhile."""
        mark = f"errpath: unmounted at {time.monotonic()}"
        prepared.guest.write_file("/dev/kmsg", mark)
        self.suite.rest(shell)
        checked = self.check(prepared, prepared.check)
        rises = self.counts.rises() if self.counts is not None else {}
        return checked, rises, find_crashes(prepared.guest.dmesg().rpartition(mark)[2])

    def renew(self, shell: GuestShell, ran: TestRan) -> None:
        """Keep the guest of a test that failed by its runner's word alone, with a new volume."""
        own = ran.answer is not None and all(one.kind is TEST for one in ran.failures)
        try:
            if own and self.suite.renew(shell):
                return
        except ErrpathError:
            pass
        self.close()

    def answer(
        self, shell: GuestShell, test: str, ahead: Sequence[str] = ()
    ) -> tuple[Answer | None, tuple[Failure, ...]]:
        """What the suite says, and the failure that this is."""
        if self._fail is not None:
            return self._answer_with_faults(shell, test, self._fail)
        try:
            answer = self.suite.run_among(shell, test, ahead, seconds=self._seconds)
        except AgentError as error:
            if error.errno != errno.ETIMEDOUT:
                raise
            return None, (Failure(TEST, f"{_TIMED_OUT} after {self._seconds:g} s"),)
        except InfrastructureError as error:
            return None, (infrastructure(str(error)),)
        if answer.status is not SuiteStatus.FAIL:
            return answer, ()
        return answer, (Failure(TEST, answer.why, evidence=answer.output),)

    def _answer_with_faults(
        self, shell: GuestShell, test: str, fail: EveryAlloc
    ) -> tuple[Answer | None, tuple[Failure, ...]]:
        """Whatever the test says, a program that is out of memory may say; that nothing failed is
        no answer."""
        modules = self._prepared.modules if self._prepared is not None else {}
        # The filesystem's own module comes last: before it, what it needs.
        names = [name for each in modules.values() for name in reversed(each)]
        fail.arm(shell.guest, names)
        answer = None
        with contextlib.suppress(AgentError, InfrastructureError):
            failing = replace(shell, first=MAKE_IT_FAIL)
            answer = self.suite.run(failing, test, seconds=self._seconds)
        fired = fail.disarm(shell.guest)
        if fired or (answer is not None and answer.status is SuiteStatus.SKIP):
            return answer, ()
        return answer, (infrastructure("never reached: no allocation failed"),)

    def died(self, test: str, prepared: PreparedGuest, cause: str, seconds: float) -> SuiteResult:
        """A test that its guest did not survive."""
        console = prepared.guest.console
        files: dict[str, bytes] = {}
        crashes: tuple[Crash, ...] = ()
        if console is not None:
            console.wait_end(Deadline.after(_LOG_SECONDS, "the console"))
            crashes = tuple(console.crashes())
            files["console.log"] = console.text.encode()
        self.close()
        failures = log_failures(crashes) or (infrastructure(cause),)
        return SuiteResult(test, None, worst_first(failures), seconds=seconds, files=files)

    @staticmethod
    def check(prepared: PreparedGuest, check: Check) -> canary.Checked:
        """What a leak check finds beside a canary; once more, settled, where that was not found."""
        checked = canary.check_beside_canary(prepared.guest, check)
        if not checked.blind or checked.records:
            return checked
        # A stale pointer to a canary lies in what the test has left in caches, most often.
        settle(prepared.guest)
        return canary.check_beside_canary(prepared.guest, check)


def worst_first(failures: Sequence[Failure]) -> tuple[Failure, ...]:
    """Ordered by what they are."""
    return tuple(sorted(failures, key=lambda failure: failure.kind.severity))
