"""Batches on test beds: which of their cases can be run there, and one runner for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from errpath.cases.case import MountCase
from errpath.cases.failing import failing
from errpath.errors import ErrpathError, InfrastructureError
from errpath.kernel.features.summary import stand_ins
from errpath.oracles.kmemleak import Record
from errpath.runner.alternatives import Settler
from errpath.runner.availability import without_filesystem
from errpath.runner.batch_judge import Announce
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.call_shapes import impossible_calls
from errpath.runner.guests import Boot, PreparedGuest
from errpath.runner.result import Result
from errpath.runner.scheduler import Batch
from errpath.runner.testbed import Testbed, batch_size
from errpath.runner.verdict import Verdict, infrastructure_error
from errpath.util.progress import Progress

__all__ = ["BatchRuns", "filesystems_of"]

# Cases of a batch that run before the others, so that something is known soon.
_FIRST = 32

# Takes results by case id, as soon as they are there.
Publish = Callable[[Mapping[str, Result]], None]


class BatchRuns:
    """Runs batches, until the run is ended. Threads may share it."""

    def __init__(self, progress: Progress, *, repeats: int, jobs: int) -> None:
        """`repeats` is how often a suspect is run again; `jobs` is how many batches run at once."""
        self.repeats = repeats
        self._progress = progress
        self._jobs = jobs
        # Leaks that belong to no case, and failures that are of no case alone.
        self.stray: list[Record] = []
        self.notes: list[str] = []
        # Batches that have begun, by kernel.
        self._begun: Counter[str] = Counter()
        self._runners: set[BatchRunner] = set()
        self._ended = False

    def run(
        self,
        batch: Batch,
        testbed: Testbed,
        lost: Mapping[str, ErrpathError],
        publish: Publish,
        announce: Announce = lambda verdict: None,
    ) -> None:
        """Run a batch; `lost` is why filesystems cannot be had. Each case is published once.
        `announce` is `BatchJudge`'s.

        Raises:
            ErrpathError: no guest came up.
        """
        cases = self._possible(batch.cases, testbed, lost, publish)
        if not cases:
            return
        runner = self._runner(batch.kernel, testbed, cases, announce)
        self._runners.add(runner)
        try:
            runner.run(cases, publish)
        finally:
            runner.close()
            self._runners.discard(runner)
        self.stray += runner.stray
        self.notes += runner.notes
        if runner.no_guest is not None:
            # No guest came up: that is one message, not one per case.
            raise runner.no_guest

    def end(self) -> None:
        """End every guest, also of batches that are under way: those get no other guest."""
        self._ended = True
        for runner in tuple(self._runners):
            runner.close()

    def guests(self, boot: Boot) -> Boot:
        """`boot`, until the run is ended.

        What it gives raises InfrastructureError from then on.
        """

        def guest() -> PreparedGuest:
            if self._ended:
                raise InfrastructureError("the run has been ended")
            return boot()

        return guest

    def _possible(
        self,
        cases: Iterable[MountCase],
        testbed: Testbed,
        lost: Mapping[str, ErrpathError],
        publish: Publish,
    ) -> list[MountCase]:
        """The cases that this kernel has everything for, as it is run there."""
        settler = Settler(testbed.code, stand_ins(testbed.features))
        possible = []
        verdicts: list[Verdict] = []
        for case in cases:
            if case.filesystem in lost:
                verdicts.append(without_filesystem(case, lost[case.filesystem]))
                continue
            settled = settler.settled(case)
            if isinstance(settled, Verdict):
                verdicts.append(settled)
            else:
                possible.append(_in_guest(settled, testbed.definition.slowness))
        refused = impossible_calls(testbed, possible)
        verdicts += [
            infrastructure_error(case, refused[case.id]) for case in possible if case.id in refused
        ]
        possible = [case for case in possible if case.id not in refused]
        publish({verdict.case.id: Result(verdict) for verdict in verdicts})
        return possible

    def _runner(
        self, kernel: str, testbed: Testbed, cases: Iterable[MountCase], announce: Announce
    ) -> BatchRunner:
        functions, points = failing(cases)
        source = partial(testbed.guest_source, filesystems_of(cases), functions, points=points)
        return BatchRunner(
            self.guests(source()),
            confirm=self.guests(source(confirm=True)),
            batch=batch_size(testbed.options),
            repeats=self.repeats,
            progress=self._progress,
            count=testbed.options.conservation,
            first=self._first(kernel),
            usual=testbed.usual,
            announce=announce,
        )

    def _first(self, kernel: str) -> int | None:
        """How many cases a batch begins with: few in the first batches of a kernel. Later, what is
        usual on it is known."""
        self._begun[kernel] += 1
        return _FIRST if self._begun[kernel] <= 2 * self._jobs else None


def _in_guest(case: MountCase, slowness: float) -> MountCase:
    return case if slowness == 1 else replace(case, seconds=case.seconds * slowness)


def filesystems_of(cases: Iterable[MountCase]) -> tuple[str, ...]:
    """The filesystems of cases, in the cases' order."""
    return tuple(dict.fromkeys(case.filesystem for case in cases))
