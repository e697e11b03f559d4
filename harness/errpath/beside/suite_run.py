"""A suite's tests in guests, each followed by the oracles.

Each test is judged twice: by its suite's own runner, and by what it left behind. What looks like
a leak is looked for again in a fresh guest, by the slow protocol, before it is called one. A test
that takes its guest down is what did it; the tests after it run in a fresh guest.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from errpath.beside.shell import GuestShell
from errpath.beside.suite_counts import Rises, SuiteCounts, count_failures
from errpath.beside.suite_faults import MAKE_IT_FAIL, EveryAlloc
from errpath.beside.suites import Answer, Selection, Suite, SuiteStatus
from errpath.errors import ErrpathError, GuestLostError, GuestPoisonedError, InfrastructureError
from errpath.guest.channel import AgentError
from errpath.kernel.log import Crash, find_crashes
from errpath.oracles import canary, kmemleak
from errpath.oracles.canary import Check
from errpath.oracles.failure import TEST, Failure, infrastructure
from errpath.oracles.kernel_log import log_failures
from errpath.oracles.kmemleak import Record
from errpath.oracles.leaks import leak_failures
from errpath.oracles.resources import settle
from errpath.results.records import CaseRecord, CaseStatus
from errpath.runner.guests import PreparedGuest, retried
from errpath.util.deadline import Deadline

__all__ = ["SuiteResult", "SuiteRun"]

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
class _Ran:
    """A test that has run, before what it left is looked at."""

    test: str
    answer: Answer | None
    # By its runner, and in the kernel log.
    failures: tuple[Failure, ...]
    seconds: float

    @property
    def skipped(self) -> bool:
        return self.answer is not None and self.answer.status is SuiteStatus.SKIP

    def result(self) -> SuiteResult:
        """Unless something else is found."""
        return SuiteResult(self.test, self.answer, self.failures, seconds=self.seconds)


class SuiteRun:
    """Runs tests of one suite on one kernel, in one guest after another."""

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
        self._counts: SuiteCounts | None = None
        # Tests that did not run since the oracles were asked last.
        self._not_run: list[str] = []

    def close(self) -> None:
        """End the guest."""
        if self._prepared is not None:
            self._prepared.guest.close()
            self._prepared = self._shell = self._counts = None
            self._not_run.clear()

    def tests(self, selection: Selection) -> tuple[str, ...]:
        """The names of the selected tests."""
        return self.suite.tests(self._ready()[1], selection)

    def run(self, test: str, ahead: Sequence[str] = ()) -> SuiteResult:
        """Run one test and look at what it left. Those `ahead` are to be run after it."""
        try:
            return retried(lambda: self._run(test, ahead))
        except GuestLostError as error:
            self.close()
            return SuiteResult(test, None, (infrastructure(str(error)),))

    # -- one test --------------------------------------------------------------------------------

    def _ready(self, *, fast: bool = True) -> tuple[PreparedGuest, GuestShell]:
        if self._prepared is None or self._shell is None:
            self._prepared = self._guest(fast)
            try:
                self._shell = self._enter(self._prepared)
                self.suite.prepare(self._shell)
                # What preparing left is not a test's.
                self._check(self._prepared, self._prepared.check)
                self._counts = SuiteCounts.begin(self._prepared)
            except BaseException:
                self.close()
                raise
        return self._prepared, self._shell

    def _run(self, test: str, ahead: Sequence[str]) -> SuiteResult:
        prepared, shell = self._ready()
        began = time.monotonic()
        try:
            ran = self._ran(prepared, shell, test, ahead)
            if ran.skipped and ahead and not ran.failures:
                # What it left is found after the next one that runs.
                self._not_run.append(test)
                return ran.result()
            checked, rises, crashes = self._left(prepared, shell)
        except GuestLostError:
            self.close()
            raise
        except GuestPoisonedError as error:
            return self._died(test, prepared, str(error), time.monotonic() - began)
        except ErrpathError as error:
            self.close()
            return SuiteResult(test, None, (infrastructure(str(error)),))
        failures = [*log_failures(crashes), *ran.failures]
        confirmed = repeats = 0
        if checked.records:
            beside = f"; tests that did not run before it: {', '.join(self._not_run)}"
            beside = beside if self._not_run else ""
            # What follows must not be judged by what is left of this one.
            self.close()
            try:
                confirmed, repeats = self._confirm(test, checked.records)
            except ErrpathError as error:
                failures.append(infrastructure(f"a suspected leak: {error}"))
            else:
                leaks = leak_failures(checked.records, confirmed=confirmed, repeats=repeats)
                if confirmed:
                    failures += leaks
                elif not failures:
                    doubt = f"a suspected {leaks[0].title} was confirmed in 0 of {repeats} repeats"
                    failures.append(infrastructure(doubt + beside))
        elif rises:
            self.close()
            failures += self._rises_again(test, rises)
        elif checked.blind or crashes:
            self.close()
        elif failures:
            self._renew(shell, ran)
        self._not_run.clear()
        if checked.blind and not failures:
            failures.append(infrastructure(checked.blind))
        return replace(
            ran.result(), failures=_worst_first(failures), confirmed=confirmed, repeats=repeats
        )

    def _ran(
        self, prepared: PreparedGuest, shell: GuestShell, test: str, ahead: Sequence[str]
    ) -> _Ran:
        """Run a test, and read the kernel log."""
        began = time.monotonic()
        mark = f"errpath: {test} begins at {began}"
        prepared.guest.write_file("/dev/kmsg", mark)
        answer, why = self._answer(shell, test, ahead)
        seconds = time.monotonic() - began
        crashes = find_crashes(prepared.guest.dmesg().rpartition(mark)[2])
        return _Ran(test, answer, (*log_failures(crashes), *why), seconds)

    def _left(
        self, prepared: PreparedGuest, shell: GuestShell
    ) -> tuple[canary.Checked, Rises, Sequence[Crash]]:
        """With nothing mounted, what the leak check finds, what is more than before, and what the
        kernel says meanwhile."""
        mark = f"errpath: unmounted at {time.monotonic()}"
        prepared.guest.write_file("/dev/kmsg", mark)
        self.suite.rest(shell)
        checked = self._check(prepared, prepared.check)
        rises = self._counts.rises() if self._counts is not None else {}
        return checked, rises, find_crashes(prepared.guest.dmesg().rpartition(mark)[2])

    def _renew(self, shell: GuestShell, ran: _Ran) -> None:
        """Keep the guest of a test that failed by its runner's word alone, with a new volume."""
        own = ran.answer is not None and all(one.kind is TEST for one in ran.failures)
        try:
            if own and self.suite.renew(shell):
                return
        except ErrpathError:
            pass
        self.close()

    # -- several tests ---------------------------------------------------------------------------

    def run_group(self, tests: Sequence[str], ahead: Sequence[str] = ()) -> tuple[SuiteResult, ...]:
        """Run tests one after the other, and look once at what they have left together. Where
        something is suspected, halves of them run again, down to one test, which is judged as
        `run` judges it. Those `ahead` are to be run after them."""
        if len(tests) <= 1:
            return tuple(self.run(test, ahead) for test in tests)
        try:
            ran, again = retried(lambda: self._run_together(tests, ahead))
        except ErrpathError:
            # Whatever it is, each of them has it to itself.
            self.close()
            ran, again = (), [(test,) for test in tests]
        results = [one.result() for one in ran]
        known = len(ran)
        for part in again:
            known += len(part)
            results += self.run_group(part, (*tests[known:], *ahead))
        return (*results, *self.run_group(tests[known:], ahead))

    def _run_together(
        self, tests: Sequence[str], ahead: Sequence[str]
    ) -> tuple[Sequence[_Ran], Sequence[Sequence[str]]]:
        """The first tests with the verdict, or else the parts of them that must run again."""
        prepared, shell = self._ready()
        ran: list[_Ran] = []
        try:
            for number, test in enumerate(tests):
                ran.append(self._ran(prepared, shell, test, (*tests[number + 1 :], *ahead)))
                if ran[-1].failures:
                    break
            if ahead and all(one.skipped and not one.failures for one in ran):
                self._not_run += tests
                return ran, ()
            checked, rises, crashes = self._left(prepared, shell)
        except GuestLostError:
            self.close()
            raise
        except ErrpathError:
            # Of this test, or of what the others before it left.
            self.close()
            count = min(len(ran), len(tests) - 1)
            return (), [part for part in (tests[:count], tests[count : count + 1]) if part]
        if checked.records or rises or checked.blind or crashes:
            self.close()
            middle = (len(ran) + 1) // 2
            return (), [part for part in (tests[:middle], tests[middle : len(ran)]) if part]
        self._not_run.clear()
        if ran[-1].failures:
            self._renew(shell, ran[-1])
        return ran, ()

    # -- what is asked ---------------------------------------------------------------------------

    def _answer(
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

    def _died(self, test: str, prepared: PreparedGuest, cause: str, seconds: float) -> SuiteResult:
        """A test that its guest did not survive."""
        console = prepared.guest.console
        crashes: tuple[Crash, ...] = ()
        if console is not None:
            console.wait_end(Deadline.after(_LOG_SECONDS, "the console"))
            crashes = tuple(console.crashes())
        self.close()
        failures = log_failures(crashes) or (infrastructure(cause),)
        return SuiteResult(test, None, _worst_first(failures), seconds=seconds)

    @staticmethod
    def _check(prepared: PreparedGuest, check: Check) -> canary.Checked:
        checked = canary.check_beside_canary(prepared.guest, check)
        if not checked.blind or checked.records:
            return checked
        # A stale pointer to a canary lies in what the test has left in caches, most often.
        settle(prepared.guest)
        return canary.check_beside_canary(prepared.guest, check)

    def _confirm(self, test: str, records: Sequence[Record]) -> tuple[int, int]:
        """In how many runs of how many, alone in a fresh guest, the same was lost.

        Raises:
            ErrpathError: it could not be looked for.
        """
        wanted = {record.signature for record in records}
        try:
            prepared, shell = self._ready(fast=False)
            self._answer(shell, test)
            self.suite.rest(shell)
            again = self._check(prepared, kmemleak.slow_check).records
        finally:
            self.close()
        return int(any(record.signature in wanted for record in again)), 1

    def _rises_again(self, test: str, rises: Rises) -> tuple[Failure, ...]:
        """What of it a fresh guest keeps too, in two runs of the test."""
        runs: list[Rises] = []
        try:
            _, shell = self._ready()
            for _ in range(2):
                self._answer(shell, test)
                self.suite.rest(shell)
                runs.append(self._counts.rises() if self._counts is not None else {})
        except ErrpathError as error:
            return (infrastructure(f"what it keeps could not be confirmed: {error}"),)
        finally:
            self.close()
        return count_failures(rises, *runs)


def _worst_first(failures: Sequence[Failure]) -> tuple[Failure, ...]:
    """Ordered by what they are."""
    return tuple(sorted(failures, key=lambda failure: failure.kind.severity))
