"""A suite's tests in guests, each followed by the oracles.

Each test is judged twice: by its suite's own runner, and by what it left behind. What looks like
a leak is looked for again in a fresh guest, by the slow protocol, before it is called one. A test
that takes its guest down is what did it; the tests after it run in a fresh guest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from errpath.beside.suite_counts import Rises, count_failures
from errpath.beside.suite_session import SuiteResult, SuiteSession, TestRan, worst_first
from errpath.errors import ErrpathError, GuestLostError, GuestPoisonedError
from errpath.oracles import kmemleak
from errpath.oracles.failure import Failure, infrastructure
from errpath.oracles.kernel_log import log_failures
from errpath.oracles.kmemleak import Record
from errpath.oracles.leaks import leak_failures
from errpath.runner.guests import retried

__all__ = ["SuiteResult", "SuiteRun"]


class SuiteRun(SuiteSession):
    """Runs tests of one suite on one kernel, and judges them."""

    def run(self, test: str, ahead: Sequence[str] = ()) -> SuiteResult:
        """Run one test and look at what it left. Those `ahead` are to be run after it."""
        try:
            return retried(lambda: self._run(test, ahead))
        except GuestLostError as error:
            self.close()
            return SuiteResult(test, None, (infrastructure(str(error)),))

    def _run(self, test: str, ahead: Sequence[str]) -> SuiteResult:
        prepared, shell = self.ready()
        began = time.monotonic()
        try:
            ran = self.ran(prepared, shell, test, ahead)
            if ran.skipped and ahead and not ran.failures:
                # What it left is found after the next one that runs.
                self.not_run.append(test)
                return ran.result()
            checked, rises, crashes = self.left(prepared, shell)
        except GuestLostError:
            self.close()
            raise
        except GuestPoisonedError as error:
            return self.died(test, prepared, str(error), time.monotonic() - began)
        except ErrpathError as error:
            self.close()
            return SuiteResult(test, None, (infrastructure(str(error)),))
        failures = [*log_failures(crashes), *ran.failures]
        confirmed = repeats = 0
        if checked.records:
            beside = f"; tests that did not run before it: {', '.join(self.not_run)}"
            beside = beside if self.not_run else ""
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
            self.renew(shell, ran)
        self.not_run.clear()
        if checked.blind and not failures:
            failures.append(infrastructure(checked.blind))
        return replace(
            ran.result(), failures=worst_first(failures), confirmed=confirmed, repeats=repeats
        )

    def _confirm(self, test: str, records: Sequence[Record]) -> tuple[int, int]:
        """In how many runs of how many, alone in a fresh guest, the same was lost.

        Raises:
            ErrpathError: it could not be looked for.
        """
        wanted = {record.signature for record in records}
        try:
            prepared, shell = self.ready(fast=False)
            self.answer(shell, test)
            self.suite.rest(shell)
            again = self.check(prepared, kmemleak.slow_check).records
        finally:
            self.close()
        return int(any(record.signature in wanted for record in again)), 1

    def _rises_again(self, test: str, rises: Rises) -> tuple[Failure, ...]:
        """What of it a fresh guest keeps too, in two runs of the test."""
        runs: list[Rises] = []
        try:
            _, shell = self.ready()
            for _ in range(2):
                self.answer(shell, test)
                self.suite.rest(shell)
                runs.append(self.counts.rises() if self.counts is not None else {})
        except ErrpathError as error:
            return (infrastructure(f"what it keeps could not be confirmed: {error}"),)
        finally:
            self.close()
        return count_failures(rises, *runs)

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
    ) -> tuple[Sequence[TestRan], Sequence[Sequence[str]]]:
        """The first tests with the verdict, or else the parts of them that must run again."""
        prepared, shell = self.ready()
        ran: list[TestRan] = []
        try:
            for number, test in enumerate(tests):
                ran.append(self.ran(prepared, shell, test, (*tests[number + 1 :], *ahead)))
                if ran[-1].failures:
                    break
            if ahead and all(one.skipped and not one.failures for one in ran):
                self.not_run += tests
                return ran, ()
            checked, rises, crashes = self.left(prepared, shell)
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
        self.not_run.clear()
        if ran[-1].failures:
            self.renew(shell, ran[-1])
        return ran, ()
