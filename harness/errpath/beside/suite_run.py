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

    def close(self) -> None:
        """End the guest."""
        if self._prepared is not None:
            self._prepared.guest.close()
            self._prepared = self._shell = self._counts = None

    def tests(self, selection: Selection) -> tuple[str, ...]:
        """The names of the selected tests."""
        return self.suite.tests(self._ready()[1], selection)

    def run(self, test: str) -> SuiteResult:
        """Run one test and look at what it left."""
        try:
            return retried(lambda: self._run(test))
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

    def _run(self, test: str) -> SuiteResult:
        prepared, shell = self._ready()
        began = time.monotonic()
        mark = f"errpath: {test} begins at {began}"
        try:
            prepared.guest.write_file("/dev/kmsg", mark)
            answer, why = self._answer(shell, test)
            seconds = time.monotonic() - began
            self.suite.rest(shell)
            log = prepared.guest.dmesg().rpartition(mark)[2]
            checked = self._check(prepared, prepared.check)
            rises = self._counts.rises() if self._counts is not None else {}
        except GuestLostError:
            self.close()
            raise
        except GuestPoisonedError as error:
            return self._died(test, prepared, str(error), time.monotonic() - began)
        except ErrpathError as error:
            self.close()
            return SuiteResult(test, None, (infrastructure(str(error)),))
        failures = [*log_failures(find_crashes(log)), *why]
        confirmed = repeats = 0
        if checked.records:
            # What follows must not be judged by what is left of this one.
            self.close()
            confirmed, repeats = self._confirm(test, checked.records)
            if confirmed:
                failures += leak_failures(checked.records, confirmed=confirmed, repeats=repeats)
            elif not failures:
                failures.append(
                    infrastructure(f"a suspected leak was confirmed in 0 of {repeats} repeats")
                )
        elif rises:
            self.close()
            failures += self._rises_again(test, rises)
        elif failures or checked.blind:
            self.close()
        if checked.blind and not failures:
            failures.append(infrastructure(checked.blind))
        return SuiteResult(test, answer, _worst_first(failures), confirmed, repeats, seconds)

    def _answer(self, shell: GuestShell, test: str) -> tuple[Answer | None, tuple[Failure, ...]]:
        """What the suite says, and the failure that this is."""
        if self._fail is not None:
            return self._answer_with_faults(shell, test, self._fail)
        try:
            answer = self.suite.run(shell, test, seconds=self._seconds)
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
        """In how many runs of how many, alone in a fresh guest, the same was lost."""
        wanted = {record.signature for record in records}
        try:
            prepared, shell = self._ready(fast=False)
            self._answer(shell, test)
            again = self._check(prepared, kmemleak.slow_check).records
        except ErrpathError:
            return 0, 1
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
