"""Cases → verdicts: batches in one guest, one leak check, a second look before red.

A batch runs its cases one after another, each in a task of its own name, and then checks for leaks
once. A canary is found before the first case of a guest and, by the same check, after the last case
of every batch; otherwise every case of the batch is an ERROR. A guest that crashes or hangs costs
the case that did it: a new guest goes on behind it, and those before it, whose leaks can no longer
be looked for, run again at the end. What is suspected is repeated in a fresh guest, by the slow
protocol, before it is called a leak.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from errpath.cases.case import MountCase, Outcome
from errpath.cases.run import run_cases
from errpath.errors import ErrpathError, GuestPoisonedError, KernelError
from errpath.guest.channel import AgentError
from errpath.guest.machine import Guest
from errpath.kernel.log import find_crashes
from errpath.oracles import canary, kmemleak
from errpath.oracles.canary import Check
from errpath.oracles.kmemleak import Record
from errpath.oracles.ownership import OwnershipTrace, trace_case
from errpath.runner.availability import lacking
from errpath.runner.verdict import Leak, Status, Verdict, infrastructure_error, judge
from errpath.util.progress import Progress

__all__ = ["BatchRunner", "PreparedGuest", "Result", "classify_guest_loss", "is_guest_unusable"]

# So many different leaks get their ownership story; more would only repeat it.
_STORIES_MAX = 12


@dataclass(frozen=True)
class PreparedGuest:
    """A booted guest with the modules and injection targets that its cases need."""

    guest: Guest
    # Where its console log and QEMU's argv are.
    artefacts: Path
    # Functions that cannot be failed in it, and why.
    unknown: dict[str, str] = field(default_factory=dict)
    # Modules of each filesystem, for the tracer's filter.
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # The leak check that this guest is made for; None for the runner's own.
    check: Check | None = None
    # Whether a check in it, or in the guest of which it is a clone, has found its canary already.
    proven: bool = False
    # Functions that its kernel does not have, and filesystems whose modules do not load; and why.
    absent: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A verdict with what the report shows beside it."""

    verdict: Verdict
    artefacts: Path | None = None
    story: OwnershipTrace | None = None


@dataclass
class _Batch:
    """Cases that ran in one guest, not judged yet."""

    prepared: PreparedGuest
    done: list[tuple[MountCase, Outcome]] = field(default_factory=list)
    # Cases that the rig could not run.
    failed: list[Result] = field(default_factory=list)


Signature = tuple[int, tuple[str, ...]]


class BatchRunner:
    """Runs cases of one kernel and one guest definition."""

    def __init__(
        self,
        boot: Callable[[], PreparedGuest],
        *,
        repeats: int = 2,
        progress: Progress,
        check: Check = kmemleak.slow_check,
        confirm: Callable[[], PreparedGuest] | None = None,
        batch: int = 1024,
    ) -> None:
        """`boot` gives a fresh guest, `confirm` one for the second look (the same unless given).

        `repeats` is how often a suspect is run again; `batch` is how many cases share a guest.

        Raises:
            ValueError: `batch` is less than 1.
        """
        if batch < 1:
            raise ValueError(f"batch: got {batch}; expected at least 1")
        self._boot = boot
        self._confirm = confirm or boot
        self._batch_size = batch
        self._repeats = repeats
        self._progress = progress
        self._check = check
        self._prepared: PreparedGuest | None = None
        # First lines of the crashes that cases of the guest in use have answered for.
        self._told: set[str] = set()
        self._numbers = itertools.count(1)
        # Leaks that no case's task allocated and that did not come again.
        self.stray: list[Record] = []
        # Failures that did not come again.
        self.notes: list[str] = []

    def close(self) -> None:
        """End the guest."""
        if self._prepared is not None:
            self._prepared.guest.close()
            self._prepared = None
            self._told.clear()

    def run(self, cases: Sequence[MountCase]) -> dict[str, Result]:
        """A result for every case, by id; never fewer."""
        results: dict[str, Result] = {}
        size = self._batch_size
        pending = [list(cases[at : at + size]) for at in range(0, len(cases), size)]
        # Cases that did not take a guest down themselves, but were in one that went down.
        again: list[MountCase] = []
        with self._progress.step(_count(len(cases)), total=len(cases)) as step:

            def show(done: int, note: str) -> None:
                step.update(len(results) + done, note=note)

            while pending or again:
                if not pending:
                    pending.append(again)
                    again = []
                group = pending.pop(0)
                for result in self._batch(group, show):
                    results[result.verdict.case.id] = result
                last = max(at for at, case in enumerate(group) if case.id in results)
                before = [case for case in group[:last] if case.id not in results]
                again += before
                if group[last + 1 :]:
                    pending.insert(0, group[last + 1 :])
                if size == 1:
                    self.close()
        return results

    # -- one batch -------------------------------------------------------------------------------

    def _batch(
        self, cases: Sequence[MountCase], show: Callable[[int, str], None]
    ) -> Iterable[Result]:
        """Results for at least one of `cases`: of all, unless a case took the guest down."""
        try:
            show(0, "booting")
            batch = _Batch(self._guest())
        except ErrpathError as error:
            return [Result(infrastructure_error(case, str(error))) for case in cases]
        fatal = self._run_cases(batch, cases, show)
        if fatal is not None:
            # What ran before cannot be checked in this guest any more: it runs again.
            return [*batch.failed, Result(fatal, batch.prepared.artefacts)]
        show(len(batch.done), "checking for leaks")
        return [*batch.failed, *self._judge(batch, show)]

    def _run_cases(
        self, batch: _Batch, cases: Sequence[MountCase], show: Callable[[int, str], None]
    ) -> Verdict | None:
        """Run what can be run; the verdict of a case that took the guest down, if one did."""
        prepared = batch.prepared
        known = []
        for case in cases:
            verdict = lacking(
                case, unknown=prepared.unknown, absent=prepared.absent, broken=prepared.broken
            )
            if verdict is None:
                known.append(case)
            else:
                batch.failed.append(Result(verdict, prepared.artefacts))
        outcomes = run_cases(prepared.guest, [(case, self._task()) for case in known])
        for number, case in enumerate(known):
            show(number, case.id)
            try:
                outcome = next(outcomes)
            except GuestPoisonedError as error:
                return self._died(prepared, case, str(error))
            if isinstance(outcome, AgentError):
                batch.failed.append(
                    Result(infrastructure_error(case, str(outcome)), prepared.artefacts)
                )
                continue
            if is_guest_unusable(outcome):
                self.close()
                return judge(case, outcome, None)
            batch.done.append((case, outcome))
        return None

    def _died(self, prepared: PreparedGuest, case: MountCase, cause: str) -> Verdict:
        verdict = classify_guest_loss(prepared.guest, case, cause)
        self.close()
        return verdict

    def _judge(self, batch: _Batch, show: Callable[[int, str], None]) -> list[Result]:
        prepared = batch.prepared
        results: list[Result] = []
        try:
            own, others = self._leaks(prepared, [outcome for _, outcome in batch.done])
            self._no_late_crash(batch)
        except ErrpathError as error:
            self.close()
            return [
                Result(infrastructure_error(case, str(error), outcome), prepared.artefacts)
                for case, outcome in batch.done
            ]
        suspects = [case for case, outcome in batch.done if own[outcome.task]]
        confirmed: dict[str, int] = {}
        stories: dict[str, OwnershipTrace] = {}
        problem = ""
        if suspects:
            show(len(batch.done), f"a second look at {len(suspects)} suspected leaks")
            signatures = {
                case.id: {record.signature for record in own[outcome.task]}
                for case, outcome in batch.done
            }
            try:
                confirmed, stories = self._second_look(suspects, signatures)
            except ErrpathError as error:
                problem = f"a suspected leak could not be confirmed: {error}"
        culprit = None
        untraced = ""
        if others:
            try:
                culprit = self._culprit([case for case, _ in batch.done], others, show)
            except ErrpathError as error:
                untraced = f"a leak of other origin could not be traced to its case: {error}"
        if others and culprit is None:
            self.stray += others
        for case, outcome in batch.done:
            records = tuple(own[outcome.task])
            leak = Leak(records, confirmed.get(case.id, 0), self._repeats) if records else None
            if leak and problem:
                verdict = replace(infrastructure_error(case, problem, outcome), leak=leak)
            elif culprit is not None and case.id in culprit:
                verdict = judge(case, outcome, Leak((*records, *others)))
            else:
                verdict = judge(case, outcome, leak)
                if untraced and verdict.status is Status.PASS:
                    verdict = infrastructure_error(case, untraced, outcome)
            results.append(Result(verdict, prepared.artefacts, stories.get(case.id)))
        return self._repeated(results, show)

    def _repeated(
        self, results: Sequence[Result], show: Callable[[int, str], None]
    ) -> list[Result]:
        """`results`, with the verdicts of a fresh guest on those failures that do not come again in
        it: a case before them had a hand in those, which is told. A leak has been repeated before,
        and what the kernel said of itself is certain."""
        doubtful = [result.verdict.case for result in results if _may_be_chance(result.verdict)]
        if not doubtful:
            return list(results)
        show(len(results), f"a second look at {len(doubtful)} failures")
        cases = [case for case in doubtful for _ in range(self._repeats)]
        came_again: set[str] = set()
        # Why a failure could not be repeated, by the case's id: a repeat that says nothing of the
        # kernel does not clear it.
        problems: dict[str, str] = {}
        try:
            self.close()
            for case, outcome in zip(cases, self._outcomes(self._guest(), cases), strict=True):
                verdict = judge(case, outcome, None)
                if verdict.status is Status.FAIL:
                    came_again.add(case.id)
                elif verdict.status is Status.ERROR:
                    problems[case.id] = verdict.reasons[0]
        except ErrpathError as error:
            came_again.clear()
            problems = {case.id: str(error) for case in doubtful}
        # Nobody has looked for leaks of these runs: the next batch starts without them.
        self.close()
        chance = {case.id for case in doubtful} - came_again
        return [
            replace(result, verdict=self._doubted(result.verdict, problems))
            if result.verdict.case.id in chance
            else result
            for result in results
        ]

    def _doubted(self, verdict: Verdict, problems: Mapping[str, str]) -> Verdict:
        first, *rest = verdict.reasons
        problem = problems.get(verdict.case.id)
        if problem is not None:
            reason = f"a failure that could not be repeated: {problem}: {first}"
            return replace(verdict, status=Status.ERROR, reasons=(reason, *rest))
        self.notes.append(
            f"{verdict.case.id} failed once, among others ({first}), and passed {self._repeats} of "
            f"{self._repeats} in a fresh guest"
        )
        return replace(verdict, status=Status.PASS, reasons=())

    def _no_late_crash(self, batch: _Batch) -> None:
        """See that every crash on the console fell into the time of a case.

        Raises:
            KernelError: one came later, from a worker say: whose it is cannot be told.
        """
        for _, outcome in batch.done:
            self._told |= {crash.title for crash in find_crashes(outcome.kmsg)}
        console = batch.prepared.guest.console
        for crash in console.crashes() if console is not None else ():
            if crash.title not in self._told:
                raise KernelError(
                    f"kernel {crash.kind} outside of every case: {crash.title}; see "
                    f"{batch.prepared.artefacts / 'console.log'} (--isolation=case tells whose)"
                )

    # -- leaks -----------------------------------------------------------------------------------

    def _leaks(
        self, prepared: PreparedGuest, outcomes: Sequence[Outcome]
    ) -> tuple[dict[str, list[Record]], tuple[Record, ...]]:
        """Records by task name, and those of other origin, of a check that found its canary."""
        records = canary.check_with_canary(prepared.guest, prepared.check or self._check)
        own, other = kmemleak.split_by_task(records, [(o.task, o.pid) for o in outcomes])
        return {task: found for (task, _), found in own.items()}, tuple(other)

    def _second_look(
        self, suspects: Sequence[MountCase], signatures: Mapping[str, set[Signature]]
    ) -> tuple[dict[str, int], dict[str, OwnershipTrace]]:
        """How many repeats of each suspect leaked the same again, and the stories of the first."""
        self.close()
        prepared = self._guest(self._confirm)
        again = [case for case in suspects for _ in range(self._repeats)]
        runs = list(zip(again, self._outcomes(prepared, again), strict=True))
        own, _ = self._leaks(prepared, [outcome for _, outcome in runs])
        confirmed = dict.fromkeys((case.id for case in suspects), 0)
        for case, outcome in runs:
            if any(record.signature in signatures[case.id] for record in own[outcome.task]):
                confirmed[case.id] += 1
        # Cases that leak the same in the same way share one story.
        told: dict[tuple[object, ...], OwnershipTrace] = {}
        stories: dict[str, OwnershipTrace] = {}
        for case in suspects:
            kind = (case.filesystem, case.point, case.steps[0].op, *map(str, signatures[case.id]))
            if confirmed[case.id] and kind not in told and len(told) < _STORIES_MAX:
                modules = prepared.modules.get(case.filesystem, ())
                told[kind] = trace_case(prepared.guest, case, self._task(), modules)
            if confirmed[case.id] and kind in told:
                stories[case.id] = told[kind]
        # The traced runs leaked as well: the next batch starts from a guest without them.
        self.close()
        return confirmed, stories

    def _outcomes(self, prepared: PreparedGuest, cases: Sequence[MountCase]) -> list[Outcome]:
        """What cases did that have run before.

        Raises:
            AgentError: the guest cannot run one of them any more.
            GuestPoisonedError: one of them took the guest down, which it did not do before.
        """
        outcomes = []
        work = [(case, self._task()) for case in cases]
        for case, outcome in zip(cases, run_cases(prepared.guest, work), strict=True):
            if isinstance(outcome, AgentError):
                raise outcome
            if is_guest_unusable(outcome):
                self.close()
                reason = judge(case, outcome, None).reasons[0]
                raise GuestPoisonedError(f"guest is past use: {case.id}, run again: {reason}")
            outcomes.append(outcome)
        return outcomes

    def _culprit(
        self,
        cases: Sequence[MountCase],
        others: Sequence[Record],
        show: Callable[[int, str], None],
    ) -> set[str] | None:
        """Ids of the fewest cases that leave `others` again, by halving; None if it does not come
        again. What a worker thread allocated carries no case's name."""
        wanted = {record.signature for record in others}
        group = list(cases)
        if not self._leaves(group, wanted):
            return None
        while len(group) > 1:
            show(len(cases), f"a leak of other origin: looking among {len(group)} cases")
            half = group[: len(group) // 2]
            if self._leaves(half, wanted):
                group = half
            elif self._leaves(group[len(half) :], wanted):
                group = group[len(half) :]
            else:
                break
        return {case.id for case in group}

    def _leaves(self, cases: Sequence[MountCase], wanted: set[Signature]) -> bool:
        self.close()
        prepared = self._guest(self._confirm)
        outcomes = self._outcomes(prepared, cases)
        _, others = self._leaks(prepared, outcomes)
        self.close()
        return any(record.signature in wanted for record in others)

    # -- guests ----------------------------------------------------------------------------------

    def _guest(self, boot: Callable[[], PreparedGuest] | None = None) -> PreparedGuest:
        """The guest in use, or a fresh one that has shown that its leak check can see."""
        if self._prepared is not None and self._prepared.guest.poisoned is not None:
            self.close()
        if self._prepared is None:
            prepared = (boot or self._boot)()
            self._prepared = prepared
            try:
                if not prepared.proven:
                    self._leaks(prepared, ())
            except BaseException:
                self.close()
                raise
        return self._prepared

    def _task(self) -> str:
        """A name no other case of this runner has; task names have at most 15 bytes."""
        return f"errpath-{next(self._numbers):06d}"


def _may_be_chance(verdict: Verdict) -> bool:
    """Whether a failure hinges on what one run of its case gave."""
    return verdict.status is Status.FAIL and verdict.leak is None and not verdict.crashes


def classify_guest_loss(guest: Guest, case: MountCase, cause: str) -> Verdict:
    """The verdict on a case in which its guest went away. The kernel is blamed only where it said
    so itself."""
    crashes = guest.console.crashes() if guest.console is not None else ()
    if not any(crash.fatal for crash in crashes):
        return infrastructure_error(case, cause)
    reasons = tuple(f"kernel {crash.kind}: {crash.title}" for crash in crashes)
    return Verdict(case, Status.FAIL, reasons, None, None, crashes)


def is_guest_unusable(outcome: Outcome) -> bool:
    """Whether nothing can be concluded any more from the guest in which this happened."""
    return outcome.hung or any(crash.fatal for crash in find_crashes(outcome.kmsg))


def _count(cases: int) -> str:
    return "1 case" if cases == 1 else f"{cases} cases"
