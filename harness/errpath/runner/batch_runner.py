"""Cases → verdicts: batches in one guest, one leak check, a confirmation run before red.

A batch runs its cases one after another, each in a task of its own name, and then checks for leaks
once. A canary is found before the first case of a guest and, by the same check, after the last case
of every batch. Where so much leaks that the canary is not seen, what was found counts, and cases in
which nothing was found run again in halves of the batch, until it is. A guest that crashes or hangs
costs the case that did it: a new guest goes on behind it, and those before it, whose leaks can no
longer be looked for, run again at the end. A guest that is lost without a word of its kernel costs
nothing: its cases run again, each three times at most. What is suspected is repeated in a fresh
guest, by the slow protocol, before it is called a leak.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from errpath.cases.case import MountCase, Outcome
from errpath.errors import ErrpathError, GuestLostError, GuestPoisonedError
from errpath.guest.channel import AgentError
from errpath.oracles.kmemleak import Record
from errpath.runner.availability import lacking
from errpath.runner.batch_judge import BatchJudge, Judged, Observed
from errpath.runner.counting import begin_counts
from errpath.runner.guest_loss import classify_guest_loss, is_guest_unusable
from errpath.runner.guests import RETRIES, Boot, CurrentGuest
from errpath.runner.observation import observe
from errpath.runner.result import Result
from errpath.runner.subset import split_evenly
from errpath.runner.usual import PATIENCE, UsualFailures
from errpath.runner.verdict import infrastructure_error, judge
from errpath.util.progress import Progress

__all__ = ["BatchRunner"]

# Cases that may take down the same guest in a usual way: each leaves a task and a device in it.
_WRECKED_MAX = 64
# Batches of no more cases are halved, whatever hides their canary.
_FEW = 8

# Takes how many cases of the batch are done, and what is being done.
Show = Callable[[int, str], None]


@dataclass
class _Step:
    """What came of one batch."""

    results: list[Result] = field(default_factory=list)
    # Batches that run next.
    soon: list[Sequence[MountCase]] = field(default_factory=list)
    # Cases that run when nothing else is left, together.
    later: list[MountCase] = field(default_factory=list)


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
    ) -> None:
        """`boot` gives a fresh guest, `confirm` one for confirmation (the same unless given).

        `repeats` is how often a suspect is run again; `batch` is how many cases share a guest. With
        `count`, what cases keep of what the kernel counts is looked for as well. The first batch
        has only `first` cases where that is given, so that something is known soon. `usual` is
        shared by the runners of one kernel.

        Raises:
            ValueError: `batch` is less than 1.
        """
        if batch < 1:
            raise ValueError(f"batch: got {batch}; expected at least 1")
        self._batch_size = batch
        self._count = count
        self._first = batch if first is None else min(first, batch)
        self._usual = usual or UsualFailures()
        # Ids of cases to which nobody's usual failure applies: they have their time.
        self._slow: set[str] = set()
        self._progress = progress
        self._current = CurrentGuest(boot, confirm=confirm)
        self._judge = BatchJudge(self._current, repeats=repeats)
        # How often a guest was lost with each case, by id.
        self._losses: Counter[str] = Counter()
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
        return self._judge.notes

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
                results |= found
                if self.no_guest is None:
                    publish(found)
                pending.extendleft(filter(None, reversed(done.soon)))
                later += done.later
                if size == 1:
                    self.close()
        return results

    def _batch(self, cases: Sequence[MountCase], show: Show) -> _Step:
        try:
            if self.no_guest is not None:
                raise self.no_guest
            show(0, "booting")
            batch = Observed(self._current.get())
        except ErrpathError as error:
            if not self._came_up and not isinstance(error, GuestLostError):
                self.no_guest = error
            return _Step([Result(infrastructure_error(case, str(error))) for case in cases])
        self._came_up = True
        step = _Step()
        possible = self._possible(batch, cases, step)
        try:
            if self._count:
                batch.counts = begin_counts(batch.prepared.guest, possible)
            if not self._run_cases(batch, possible, step, show):
                return step
            show(len(batch.runs), "checking for leaks")
            judged = self._judge.judge(batch, lambda note: show(len(batch.runs), note))
        except GuestLostError as error:
            self.close()
            again = self._again(batch.cases or possible, str(error), step)
            step.soon += split_evenly(again, 2)
            return step
        if any(case.id in self._halved for case in cases):
            # What a half leaked must not hide the canary of the other.
            self.close()
        step.results += judged.results
        step.soon += self._halves(judged, step)
        return step

    def _possible(
        self, batch: Observed, cases: Iterable[MountCase], step: _Step
    ) -> list[MountCase]:
        """The cases without those that cannot be run in this guest."""
        possible = []
        prepared = batch.prepared
        for case in cases:
            verdict = lacking(
                case, unknown=prepared.unknown, absent=prepared.absent, broken=prepared.broken
            )
            if verdict is None:
                possible.append(case)
            else:
                step.results.append(Result(verdict, prepared.artefacts))
        return possible

    def _run_cases(
        self, batch: Observed, cases: Sequence[MountCase], step: _Step, show: Show
    ) -> bool:
        """Run the cases; False where one of them took the guest down, or it was lost."""
        prepared = batch.prepared
        patience = self._patience(cases)
        outcomes = observe(self._current, prepared, cases, count=self._count, patience=patience)
        # Cases that took the guest down in a usual way: those behind them run in it all the same,
        # and only the same failure is believed.
        wrecked = 0
        for number, case in enumerate(cases):
            show(number, case.id)
            try:
                _, outcome = next(outcomes)
            except GuestLostError as error:
                # The next attempt is by itself, so that it costs no other case anything.
                step.soon.append(self._again([case], str(error), step, prepared.artefacts))
            except GuestPoisonedError as error:
                if wrecked:
                    step.later.append(case)
                else:
                    verdict = classify_guest_loss(prepared.guest, case, str(error))
                    step.results.append(Result(verdict, prepared.artefacts))
            else:
                if isinstance(outcome, AgentError) or not is_guest_unusable(outcome):
                    self._note(batch, case, outcome, step, wrecked=bool(wrecked))
                    continue
                if self._took_down(batch, case, outcome, step, wrecked=bool(wrecked)):
                    wrecked += 1
                    if wrecked < _WRECKED_MAX:
                        continue
            # What is behind it runs in another guest.
            step.soon.append(cases[number + 1 :])
            wrecked += 1
            break
        if not wrecked:
            return True
        self.close()
        # What ran before cannot be checked in this guest any more: it runs again.
        step.later += batch.cases
        return False

    def _patience(self, cases: Iterable[MountCase]) -> float:
        if any(case.id in self._slow for case in cases):
            return PATIENCE
        return self._usual.patience

    def _note(
        self,
        batch: Observed,
        case: MountCase,
        outcome: Outcome | AgentError,
        step: _Step,
        *,
        wrecked: bool,
    ) -> None:
        """A case has left the guest as it was."""
        if wrecked:
            step.later.append(case)
        elif isinstance(outcome, AgentError):
            verdict = infrastructure_error(case, str(outcome))
            step.results.append(Result(verdict, batch.prepared.artefacts))
        else:
            self._usual.note_healthy(outcome)
            batch.runs.append((case, outcome))

    def _took_down(
        self, batch: Observed, case: MountCase, outcome: Outcome, step: _Step, *, wrecked: bool
    ) -> bool:
        """A case has taken the guest down; whether it did so in a usual way."""
        verdict = judge(case, outcome, None)
        usual = self._usual.knows(verdict)
        if usual or not (wrecked or 0 < outcome.stood_still < PATIENCE):
            step.results.append(Result(verdict, batch.prepared.artefacts))
        else:
            # Another failure than was waited for so briefly, or whose guest could be to blame.
            self._slow.add(case.id)
            step.soon.append([case])
            return False
        if not wrecked:
            self._usual.note(verdict)
        return usual

    def _halves(self, judged: Judged, step: _Step) -> list[tuple[MountCase, ...]]:
        """Smaller batches of what was not seen. Where nothing is found in large ones of those
        either, it is not leaks that hide the canary."""
        unseen = {case.id for case in judged.unseen}
        if judged.evidence or len(unseen) <= _FEW or not unseen <= self._halved:
            self._halved |= unseen
            return split_evenly(judged.unseen, 2)
        step.results += [Result(infrastructure_error(case, judged.blind)) for case in judged.unseen]
        return []

    def _again(
        self,
        cases: Sequence[MountCase],
        cause: str,
        step: _Step,
        artefacts: Path | None = None,
    ) -> list[MountCase]:
        """Those of the cases that run again after their guest was lost; errors of the others."""
        self._losses.update(case.id for case in cases)
        again = [case for case in cases if self._losses[case.id] <= RETRIES]
        step.results += [
            Result(infrastructure_error(case, f"{cause} ({RETRIES + 1} times)"), artefacts)
            for case in cases
            if self._losses[case.id] > RETRIES
        ]
        return again


def _count(cases: int) -> str:
    return "1 case" if cases == 1 else f"{cases} cases"
