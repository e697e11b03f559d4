"""Outcomes of a batch → verdicts: its leak check, and confirmation of what is suspected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from errpath.cases.case import MountCase, Outcome
from errpath.errors import ErrpathError, GuestLostError, GuestPoisonedError
from errpath.kernel.log import Crash
from errpath.oracles.failure import infrastructure
from errpath.oracles.kmemleak import Record
from errpath.runner.confirmation import (
    Confirmation,
    ConfirmedLeaks,
    LeakSignature,
    hinges_on_one_run,
)
from errpath.runner.guests import CurrentGuest, PreparedGuest
from errpath.runner.observation import (
    Leaks,
    Show,
    find_leaks,
    late_crashes,
    ran_at,
)
from errpath.runner.resource_check import Counted, ResourceCheck
from errpath.runner.result import Result
from errpath.runner.verdict import Leak, Status, Verdict, infrastructure_error, judge

__all__ = ["Announce", "BatchJudge", "Judged", "Observed"]

# Takes a verdict that stands while others of its batch do not.
Announce = Callable[[Verdict], None]

# Of many cases that leak the same, these are confirmed; the others are counted if all of these are.
_SAMPLE = 8


@dataclass
class Observed:
    """Cases that ran in one guest, not judged yet."""

    prepared: PreparedGuest
    runs: list[tuple[MountCase, Outcome]] = field(default_factory=list)
    # What the kernel counted before the first of them; None where nothing is counted.
    counts: Mapping[str, str] | None = None
    # What ran before those that were asked for, to warm the guest up.
    before: MountCase | None = None
    # Whether the kernel has made a report that it makes once, and ids of cases that ran after it:
    # what it says of them counts, its silence does not.
    spent: bool = False
    unheard: set[str] = field(default_factory=set)

    @property
    def cases(self) -> list[MountCase]:
        """Those that ran, in their order."""
        return [case for case, _ in self.runs]

    @property
    def outcomes(self) -> list[Outcome]:
        """What they did."""
        return [outcome for _, outcome in self.runs]

    def no_verdicts(self, reason: str) -> list[Result]:
        """Errors of those that ran, all for one reason."""
        artefacts = self.prepared.artefacts
        return [
            Result(infrastructure_error(case, reason, outcome), artefacts)
            for case, outcome in self.runs
        ]

    @property
    def own(self) -> list[MountCase]:
        """Those that were asked for."""
        return [case for case in self.cases if case is not self.before]


@dataclass(frozen=True)
class Judged:
    """What can be said of a batch."""

    results: list[Result] = field(default_factory=list)
    # Cases in which nothing was found by a check that did not find its canary: they run again in
    # smaller batches.
    unseen: list[MountCase] = field(default_factory=list)
    # Why it did not; and whether it found anything else.
    blind: str = ""
    evidence: bool = False
    # What the kernel reported after the last of the cases. Nothing is judged then.
    late: tuple[Crash, ...] = ()


class BatchJudge:
    """Judges the batches of one runner."""

    def __init__(
        self,
        current: CurrentGuest,
        *,
        repeats: int,
        announce: Announce = lambda verdict: None,
    ) -> None:
        """`repeats` is how often a suspect runs again. `announce` gets leaks as soon as they are
        confirmed: their batch may take long to judge."""
        self._announce = announce
        self._current = current
        self._confirmation = Confirmation(current, repeats=repeats)
        self._resources = ResourceCheck(current, repeats=repeats)
        # Leaks that no case's task allocated and that did not come again.
        self.stray: list[Record] = []
        self._notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        """Failures that did not come again."""
        return [*self._notes, *self._resources.notes]

    def judge(self, batch: Observed, show: Show) -> Judged:
        """The verdicts on a batch whose guest is still there.

        Raises:
            GuestLostError: it is not.
        """
        prepared = batch.prepared
        counted: Counted | None = None
        try:
            leaks = find_leaks(prepared, batch.outcomes)
            late = late_crashes(self._current, prepared, batch.outcomes)
            if late:
                return Judged(late=late)
            if batch.counts is not None and not leaks.blind:
                counted = self._resources.look(prepared, batch.counts, batch.runs)
        except GuestLostError:
            raise
        except ErrpathError as error:
            # The check itself may come upon what a case has left.
            poisoned = isinstance(error, GuestPoisonedError)
            late = late_crashes(self._current, prepared, batch.outcomes) if poisoned else ()
            self._current.close()
            return Judged(late=late) if late else Judged(batch.no_verdicts(str(error)))
        evidence = bool(leaks.others) or any(leaks.own.values())
        if leaks.blind:
            # What is kept and still referenced hides the canary as a leak does: an inode that is
            # lost points to its superblock, whose memory the canary takes. What passes runs again.
            evidence = evidence or self._keeps(batch)
            self._current.close()
        verdicts, confirmed = self._verdicts(batch, leaks, show)
        unseen = []
        results = []
        for verdict in verdicts:
            if verdict.status is Status.PASS and leaks.blind:
                if len(verdicts) > 1:
                    unseen.append(verdict.case)
                    continue
                verdict = infrastructure_error(verdict.case, leaks.blind, verdict.outcome)
            trace = confirmed.traces.get(verdict.case.id)
            results.append(Result(verdict, prepared.artefacts, trace))
        results = self._repeated(results, show)
        if counted is not None:
            results = self._resources.judge(results, counted, show)
        return Judged(results, unseen, leaks.blind, evidence)

    def _keeps(self, batch: Observed) -> bool:
        """Whether a batch kept anything of what was counted; no, where that cannot be told."""
        if batch.counts is None:
            return False
        try:
            return self._resources.look(batch.prepared, batch.counts, batch.runs).found
        except ErrpathError:
            return False

    def _verdicts(
        self, batch: Observed, leaks: Leaks, show: Show
    ) -> tuple[list[Verdict], ConfirmedLeaks]:
        confirmed, problem = self._confirm_leaks(batch, leaks, show)
        origin, untraced = self._trace_others(batch, leaks, show)
        verdicts = []
        for case, outcome in batch.runs:
            records = tuple(leaks.own[outcome.task])
            leak = None
            if records:
                counted = case.id in confirmed.counted
                repeats = 0 if counted else self._confirmation.repeats
                leak = Leak(records, confirmed.counts.get(case.id, 0), repeats)
            if case.id in confirmed.crashed:
                verdict = replace(confirmed.crashed[case.id], leak=leak)
            elif leak and problem:
                verdict = replace(infrastructure_error(case, problem, outcome), leak=leak)
            elif case.id in origin:
                verdict = judge(case, outcome, Leak((*records, *leaks.others)))
            else:
                verdict = judge(case, outcome, leak)
                if untraced and verdict.status is Status.PASS:
                    verdict = infrastructure_error(case, untraced, outcome)
            verdicts.append(verdict)
        return verdicts, confirmed

    def _confirm_leaks(
        self, batch: Observed, leaks: Leaks, show: Show
    ) -> tuple[ConfirmedLeaks, str]:
        """What repeats leaked again, and why there were none."""
        signatures = {
            case.id: {record.signature for record in leaks.own[outcome.task]}
            for case, outcome in batch.runs
        }
        alike: dict[tuple[str, frozenset[LeakSignature]], list[MountCase]] = {}
        for case in batch.cases:
            if signatures[case.id]:
                kind = (case.filesystem, frozenset(signatures[case.id]))
                alike.setdefault(kind, []).append(case)
        sample = [case for cases in alike.values() for case in cases[:_SAMPLE]]
        if not sample:
            return ConfirmedLeaks(), ""

        def found(counts: Mapping[str, int]) -> None:
            for case, outcome in batch.runs:
                if counts.get(case.id):
                    leak = Leak(
                        tuple(leaks.own[outcome.task]), counts[case.id], self._confirmation.repeats
                    )
                    self._announce(judge(case, outcome, leak))

        show(f"confirming {len(sample)} suspected leaks")
        try:
            confirmed = self._confirmation.leaks(sample, signatures, found)
            counted: set[str] = set()
            rest: list[MountCase] = []
            for cases in alike.values():
                if confirmed.always(cases[:_SAMPLE], self._confirmation.repeats):
                    counted |= {case.id for case in cases[_SAMPLE:]}
                else:
                    rest += cases[_SAMPLE:]
            if rest:
                show(f"confirming {len(rest)} suspected leaks more")
                confirmed = confirmed.plus(self._confirmation.leaks(rest, signatures))
            return replace(confirmed, counted=frozenset(counted)), ""
        except ErrpathError as error:
            return ConfirmedLeaks(), f"a suspected leak could not be confirmed: {error}"

    def _trace_others(
        self, batch: Observed, leaks: Leaks, show: Show
    ) -> tuple[frozenset[str], str]:
        """Ids of the cases that leave what other tasks allocated, and why they are not known."""
        if not leaks.others:
            return frozenset(), ""
        origin: frozenset[str] = frozenset()
        untraced = ""
        try:
            near = ran_at(batch.runs, leaks.times)
            origin = self._confirmation.origin(batch.cases, leaks.others, show, near)
        except ErrpathError as error:
            untraced = f"a leak of other origin could not be traced to its case: {error}"
        if not origin:
            self.stray += leaks.others
        return origin, untraced

    def _repeated(self, results: Sequence[Result], show: Show) -> list[Result]:
        """`results`, but for failures that do not come again in a fresh guest: those depend on an
        earlier case, and are reported as notes."""
        doubtful = [r.verdict.case for r in results if hinges_on_one_run(r.verdict)]
        if not doubtful:
            return list(results)
        show(f"confirming {len(doubtful)} failures")
        repeats = self._confirmation.failures(doubtful)
        chance = {case.id for case in doubtful} - repeats.failed - repeats.crashed.keys()
        found = []
        for result in results:
            verdict = result.verdict
            if verdict.case.id in chance:
                verdict = self._unconfirmed(verdict, repeats.problems)
            crashed = repeats.crashed.get(verdict.case.id)
            found.append(replace(result, verdict=crashed or verdict))
        return found

    def _unconfirmed(self, verdict: Verdict, problems: Mapping[str, str]) -> Verdict:
        first, *rest = verdict.failures
        problem = problems.get(verdict.case.id)
        if problem is not None:
            doubt = infrastructure(f"a failure that could not be repeated: {problem}: {first.line}")
            return replace(verdict, status=Status.ERROR, failures=(doubt, *rest))
        repeats = self._confirmation.repeats
        self._notes.append(
            f"{verdict.case.id} failed once, among others ({first.line}), and passed "
            f"{repeats} of {repeats} in a fresh guest"
        )
        return replace(verdict, status=Status.PASS, failures=())
