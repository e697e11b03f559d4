"""One run: batches of cases on test beds, and the result of each case.

Knows nothing of pytest: the plugin hands it the cases in batches and asks for one result at a time.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from errpath.cases.case import MountCase
from errpath.errors import ErrpathError
from errpath.results.case_reporter import CaseReporter
from errpath.results.lifetimes import Lifetimes
from errpath.results.testbeds import TestbedFactory, Testbeds, make_testbed
from errpath.runner.batch_runs import BatchRuns, filesystems_of
from errpath.runner.options import Choice, rerun_command
from errpath.runner.result import Result
from errpath.runner.scheduler import Batch
from errpath.runner.testbed import Testbed
from errpath.runner.verdict import Status, Verdict, first_failure
from errpath.util.background import Background
from errpath.util.progress import Progress
from errpath.util.times import local_stamp

__all__ = ["RunSession", "run_directory"]


# A test bed, and why filesystems cannot be had in its guests.
_Ready = tuple[Testbed, Mapping[str, ErrpathError]]

# Guests beside one for each job: what has taken a guest down, or is confirmed, waits for seconds,
# and others run meanwhile.
_MORE = 1


class RunSession:
    """Results are computed batch by batch, when the first of a batch is asked for, or ahead of that
    for batches that are sure to be asked for (`expect`)."""

    def __init__(
        self,
        choices: Mapping[str, Choice],
        directory: Path,
        progress: Progress,
        *,
        repeats: int = 2,
        jobs: int = 1,
        make: TestbedFactory = make_testbed,
    ) -> None:
        """`choices` are the kernels by name; artefacts of the run go below `directory`.

        `repeats` is how often a suspect is run again; `jobs` is how many batches that are expected
        keep processors busy.
        """
        self.choices = choices
        self.directory = directory
        self.progress = progress
        self.jobs = jobs
        self.at_once = jobs + _MORE
        self.testbeds = Testbeds(choices, directory / "guests", progress, make)
        lifetimes = Lifetimes(self.testbeds)
        self.reporter = CaseReporter(
            directory,
            # One for all reports: to read the symbols of the modules takes longer than a report.
            decoder=functools.cache(
                lambda kernel, fs: self.testbeds.get(kernel, fs).symbolizer((fs,))
            ),
            rerun=self.rerun,
            lifetime=lifetimes.of,
            blocked=lifetimes.blocked,
            origin=lifetimes.origin,
            message=lifetimes.message,
        )
        # Files of cases that are in none of the shipped suites, by the cases' ids.
        self.suites: dict[str, str] = {}
        self.batches = BatchRuns(progress, repeats=repeats, jobs=jobs)
        # Whether a failure on a kernel is said as soon as it is there, unless one was before.
        self.announces: Callable[[str, Verdict], bool] = lambda kernel, verdict: False
        self._announced = False
        self._results: dict[tuple[str, str], Result] = {}
        self._broken: dict[Batch, ErrpathError] = {}
        self._expected: tuple[Batch, ...] = ()
        self._ahead: Background[Batch] | None = None
        # Of batches that run when the first of them is asked for.
        self._asked: dict[Batch, Background[Batch]] = {}

    def expect(self, batches: Sequence[Batch]) -> None:
        """All of these will be asked for: they may run ahead, in this order."""
        self._expected = tuple(batches)

    def result(self, batch: Batch, case: MountCase) -> Result:
        """The result of one case; the first of a batch runs the batch.

        Raises:
            ErrpathError: the batch cannot be run at all, as its kernel cannot be had.
        """
        key = (batch.kernel, case.id)
        if key not in self._results:
            broken = self._broken.get(batch)
            if broken is not None:
                raise broken
            try:
                self._have_run(batch, key)
            except ErrpathError as error:
                # Reported for every case of the batch, tried once.
                self._broken[batch] = error
                raise
        return self._results[key]

    def prepare(self) -> None:
        """Build every chosen kernel now: what cannot be built is reported once and first."""
        for kernel in self.choices:
            self.testbeds.get(kernel).check()

    def report(self, batch: Batch, case: MountCase) -> str:
        """The text of a result that is not a pass."""
        return self.reporter.report(batch.kernel, self._results[batch.kernel, case.id])

    @property
    def judged(self) -> bool:
        """Whether any case has run."""
        return any(result.verdict.outcome is not None for result in self._results.values())

    def known(self, kernel: str, case_id: str) -> Result | None:
        """The result of a case that has run."""
        return self._results.get((kernel, case_id))

    def add(self, kernel: str, cases: Sequence[MountCase], results: Mapping[str, Result]) -> Batch:
        """Take in results that were had outside of a batch; the batch that they make."""
        for case_id, result in results.items():
            self._results[kernel, case_id] = result
        return Batch(kernel, "", tuple(cases))

    def rerun(self, kernel: str, case_id: str) -> str:
        """The command that runs one case again."""
        suite = self.suites.get(case_id, "")
        return rerun_command(case_id, self.choices[kernel].argv, suite=suite)

    @property
    def working(self) -> bool:
        """Whether batches run ahead."""
        return self._ahead is not None

    def close(self) -> None:
        """End every guest, also of batches that are still under way."""
        self.batches.end()
        for background in (self._ahead, *self._asked.values()):
            if background is not None:
                background.stop()
        self.testbeds.close()

    def begin(self) -> None:
        """Run ahead what is expected, from now on: something else keeps this thread busy first.
        Everything is built before, here: builds have their own parallelism."""
        if self._ahead is not None or self.jobs < 2 or len(self._expected) < 2:
            return
        ready: dict[Batch, _Ready] = {}
        for batch in self._expected:
            try:
                ready[batch] = self._ready(batch)
            except ErrpathError as error:
                self._broken[batch] = error
        self._ahead = Background(
            ready,
            lambda batch: self._run(batch, *ready[batch]),
            jobs=self.at_once,
            progress=self.progress,
        )

    def _run(self, batch: Batch, testbed: Testbed, lost: Mapping[str, ErrpathError]) -> None:
        def publish(results: Mapping[str, Result]) -> None:
            for result in results.values():
                self._announce(batch.kernel, result.verdict)
            for case_id, result in results.items():
                self._results[batch.kernel, case_id] = result
            self.progress.wake()

        self.batches.run(
            batch, testbed, lost, publish, lambda verdict: self._announce(batch.kernel, verdict)
        )

    def _announce(self, kernel: str, verdict: Verdict) -> None:
        """Say the first failure of a run: tests that are reported before its own may take long."""
        if self._announced or not self.working or verdict.status is not Status.FAIL:
            return
        if self.announces(kernel, verdict):
            self._announced = True
            self.progress.say(first_failure(verdict))

    def _have_run(self, batch: Batch, key: tuple[str, str]) -> None:
        """Have a batch run until the result of one of its cases is there."""
        self.begin()
        background = self._ahead
        if background is None or batch not in background:
            background = self._asked.get(batch)
        if background is None:
            ready = self._ready(batch)
            background = Background(
                [batch], lambda _: self._run(batch, *ready), jobs=1, progress=self.progress
            )
            self._asked[batch] = background
        background.wait(batch, lambda: key in self._results)

    def _ready(self, batch: Batch) -> _Ready:
        """The test bed of a batch, with everything built that its guests need, and why filesystems
        of it cannot be had."""
        if batch in self._broken:
            raise self._broken[batch]
        return self.testbeds.ready(batch.kernel, filesystems_of(batch.cases))


def run_directory(root: Path, *, worker: str = "") -> Path:
    """A new directory for one run's artefacts, named by time and process."""
    stamp = local_stamp(time.time())
    return root / f"{stamp}-{os.getpid()}{worker}"
