"""Cases → verdicts: batches in one guest, one leak check, a confirmation run before red.

A batch runs its cases one after another, each in a task of its own name, and then checks for leaks
once. A canary is found before the first case of a guest and, by the same check, after the last case
of every batch. Where so much leaks that the canary is not seen, what was found counts, and cases in
which nothing was found run again in halves of the batch, until it is. A guest that crashes or hangs
costs the case that did it: a new guest goes on behind it, and those before it, whose leaks can no
longer be looked for, run again at the end. Behind a report that a kernel makes once, the next cases
run in a new guest too. What a batch has left armed fires before it is judged
(`errpath.runner.pending_work`). A guest that is lost without a word of its kernel costs
nothing: its cases run again, each three times at most. What is suspected is repeated in a fresh
guest, by the slow protocol, before it is called a leak.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from errpath.cases.case import MountCase
from errpath.errors import ErrpathError, GuestLostError
from errpath.oracles.kmemleak import Record
from errpath.runner.availability import lacking
from errpath.runner.batch_judge import Announce, BatchJudge, Judged, Observed
from errpath.runner.batch_step import LostGuests, Show, Step
from errpath.runner.case_loop import CaseLoop
from errpath.runner.counting import begin_counts
from errpath.runner.guests import Boot, CurrentGuest
from errpath.runner.observation import with_late_messages
from errpath.runner.pending_work import PendingWork
from errpath.runner.result import Result
from errpath.runner.subset import split_evenly
from errpath.runner.usual import UsualFailures
from errpath.runner.verdict import Status, infrastructure_error
from errpath.util.progress import Progress

__all__ = ["BatchRunner"]

# Batches of no more cases are halved, whatever hides their canary.
_FEW = 8


class BatchRunner:
    """Runs cases of one kernel and one guest definition."""

    def __init__(
        self,
        boot: Boot,
        *,
        repeats: int = 2,
        progress: Progress,
        confirm: Boot | None = None,
        batch: int = 1024,
        count: bool = False,
        first: int | None = None,
        usual: UsualFailures | None = None,
        before: MountCase | None = None,
        announce: Announce = lambda verdict: None,
    ) -> None:
        """`boot` gives a fresh guest, `confirm` one for confirmation (the same unless given).

        `repeats` is how often a suspect is run again; `batch` is how many cases share a guest. With
        `count`, what cases keep of what the kernel counts is looked for as well. The first batch
        has only `first` cases where that is given, so that something is known soon. `usual` is
        shared by the runners of one kernel. `before`, whose id is no other's, runs before the cases
        of every batch and is not counted: what is allocated once in a boot is then no case's, which
        would have to run again for it. `announce` is `BatchJudge`'s.

        Raises:
            ValueError: `batch` is less than 1.
        """
        if batch < 1:
            raise ValueError(f"batch: got {batch}; expected at least 1")
        self._batch_size = batch
        self._count = count
        self._first = batch if first is None else min(first, batch)
        self._before = before
        self._progress = progress
        self._current = CurrentGuest(boot, confirm=confirm)
        self._judge = BatchJudge(self._current, repeats=repeats, announce=announce)
        self._pending = PendingWork(self._current)
        self._lost = LostGuests()
        self._loop = CaseLoop(
            self._current, usual=usual or UsualFailures(), lost=self._lost, count=count
        )
        # Ids of cases that run in halves of a batch whose check missed its canary.
        self._halved: set[str] = set()
        self._came_up = False
        # Why no guest ever came up, lost ones apart.
        self.no_guest: ErrpathError | None = None

    @property
    def stray(self) -> list[Record]:
        """Leaks that no case's task allocated and that did not come again."""
        return self._judge.stray

    @property
    def notes(self) -> list[str]:
        """Failures that did not come again."""
        return [*self._judge.notes, *self._pending.notes]

    def close(self) -> None:
        """End the guest."""
        self._current.close()

    def run(
        self,
        cases: Sequence[MountCase],
        publish: Callable[[Mapping[str, Result]], None] = lambda results: None,
    ) -> dict[str, Result]:
        """A result for every case, by id; never fewer. `publish` is called with some of them as
        soon as they are there."""
        results: dict[str, Result] = {}
        size = self._batch_size
        pending = deque(filter(None, (cases[: self._first],)))
        pending.extend(cases[at : at + size] for at in range(self._first, len(cases), size))
        later: list[MountCase] = []
        with self._progress.step(_count(len(cases)), total=len(cases)) as step:

            def show(done: int, note: str) -> None:
                step.update(len(results) + done, note=note)

            while pending or later:
                if not pending:
                    pending.append(later)
                    later = []
                done = self._batch(pending.popleft(), show)
                found = {result.verdict.case.id: result for result in done.results}
                if self._before is not None and _fails(found.get(self._before.id)):
                    self._before = None
                results |= found
                if self.no_guest is None:
                    publish(found)
                pending.extendleft(filter(None, reversed(done.soon)))
                later += done.later
                if size == 1:
                    self.close()
        return {case.id: results[case.id] for case in cases}

    def _batch(self, cases: Sequence[MountCase], show: Show) -> Step:
        try:
            if self.no_guest is not None:
                raise self.no_guest
            show(0, "booting")
            batch = Observed(self._current.get(), before=self._before)
        except ErrpathError as error:
            if not self._came_up and not isinstance(error, GuestLostError):
                self.no_guest = error
            return Step([Result(infrastructure_error(case, str(error))) for case in cases])
        self._came_up = True
        step = Step()
        possible = self._possible(batch, cases, step)
        try:
            if not self._loop.warm_up(batch, step, show):
                self._before = None
                step.soon.append(possible)
                return step
            if self._count:
                batch.counts = begin_counts(batch.prepared.guest, possible)
            if not self._loop.run(batch, possible, step, show):
                return step
            batch.runs = with_late_messages(batch.runs)
            if self._pending.fire(batch, step, lambda note: show(len(batch.runs), note)):
                return step
            show(len(batch.runs), "checking for leaks")
            judged = self._judge.judge(batch, lambda note: show(len(batch.runs), note))
            if judged.late:
                # What was armed had fired when it was asked for.
                self._pending.blame(batch, judged.late, step)
                return step
        except GuestLostError as error:
            self.close()
            again = self._lost.again(batch.own or possible, str(error), step)
            step.soon += split_evenly(again, 2)
            return step
        if any(case.id in self._halved for case in cases):
            # What a half leaked must not hide the canary of the other.
            self.close()
        step.soon += self._unheard(batch, judged, step)
        step.soon += self._halves(judged, step)
        return step

    def _possible(self, batch: Observed, cases: Iterable[MountCase], step: Step) -> list[MountCase]:
        """The cases without those that cannot be run in this guest."""
        possible = []
        prepared = batch.prepared
        for case in cases:
            verdict = lacking(
                case,
                unknown=prepared.unknown,
                absent=prepared.absent,
                broken=prepared.broken,
                waitless=prepared.waitless,
            )
            if verdict is None:
                possible.append(case)
            else:
                step.results.append(Result(verdict, prepared.artefacts))
        return possible

    def _unheard(self, batch: Observed, judged: Judged, step: Step) -> list[Sequence[MountCase]]:
        """Take over the results, but for passes behind a report that the kernel makes once: these
        cases run again, in a guest that has all its reports yet."""
        if batch.spent:
            self.close()
        again = []
        for result in judged.results:
            verdict = result.verdict
            if verdict.status is Status.PASS and verdict.case.id in batch.unheard:
                again.append(verdict.case)
            else:
                step.results.append(result)
        return [again] if again else []

    def _halves(self, judged: Judged, step: Step) -> list[tuple[MountCase, ...]]:
        """Smaller batches of what was not seen. Where nothing is found in large ones of those
        either, it is not leaks that hide the canary."""
        unseen = {case.id for case in judged.unseen}
        if judged.evidence or len(unseen) <= _FEW or not unseen <= self._halved:
            self._halved |= unseen
            return split_evenly(judged.unseen, 2)
        step.results += [Result(infrastructure_error(case, judged.blind)) for case in judged.unseen]
        return []


def _fails(result: Result | None) -> bool:
    """Whether a sequence fails by itself: then it is no preparation for others."""
    return result is not None and result.verdict.status is not Status.PASS


def _count(cases: int) -> str:
    return "1 case" if cases == 1 else f"{cases} cases"
