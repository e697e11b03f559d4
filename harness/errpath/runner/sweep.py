"""A sweep: every point of one event of one filesystem fails once, with every oracle on.

The points come from a recording (`errpath.runner.sweep_recording`). Each becomes a case, and the
cases run as any others do. Points that were not reached run again behind an untouched sequence;
forced failures get their natural twins (`errpath.runner.sweep_twins`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from errpath.cases.case import MountCase
from errpath.cases.sweeping import sequence
from errpath.errors import ErrpathError, UsageError
from errpath.faults.points import FORCED, UNTOUCHED, LeftOut, Point
from errpath.filesystems import load_filesystem
from errpath.oracles.steps import NO_WAIT
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.guests import Boot
from errpath.runner.result import Result, answers_alone
from errpath.runner.sweep_twins import Twin, find_twin, twin_candidates
from errpath.runner.sweep_units import Recordings, SweepUnit
from errpath.runner.testbed import batch_size
from errpath.runner.verdict import NOT_REACHED, Status, Verdict, left_out

__all__ = ["SweepPlan", "SweepResult", "Sweeper"]

# Of points that were not reached, so many run again each in a guest of its own.
_ALONE = 24
# So many points have one leak check: what ran since the last one runs again when one of them takes
# the guest down, which a forced call may do, and what fails by itself hardly ever does.
_MOST_FORCED = 24
_MOST = 256
_UNTOUCHED = Point(UNTOUCHED, None)


@dataclass(frozen=True)
class SweepPlan:
    """The cases of a unit."""

    unit: SweepUnit
    cases: tuple[MountCase, ...]
    # What is not failed.
    left_out: tuple[LeftOut, ...] = ()
    # Those of points that have their turn on another day.
    rotated: tuple[MountCase, ...] = ()


@dataclass(frozen=True)
class SweepResult:
    """What became of a unit."""

    plan: SweepPlan
    # By case id: every one of the plan's.
    results: Mapping[str, Result]
    # Seconds of wall time, the recording apart.
    seconds: float
    # Of forced failures, by case id.
    twins: Mapping[str, Twin] = field(default_factory=dict)


@dataclass
class Sweeper:
    """Plans and runs the units of one test bed. Threads may share it."""

    recordings: Recordings
    repeats: int = 2
    # Whether the case of this id is to run at all.
    wanted: Callable[[str], bool] = bool
    # What no case causes alone.
    notes: list[str] = field(default_factory=list)
    runners: set[BatchRunner] = field(default_factory=set)
    # By case id: the units of a group, and natural points with the search for twins, share them.
    _done: dict[str, Result] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, unit: SweepUnit, only: Collection[str] = ()) -> SweepPlan:
        """The cases of a unit; with `only`, those of these ids.

        Raises:
            UsageError: the event cannot be had, or an id names no point.
            InfrastructureError: the sequence fails by itself, or cannot be recorded.
        """
        steps = sequence(load_filesystem(unit.filesystem), unit.event, unit.volume)
        if steps.reason:
            raise UsageError(f"{unit.filesystem}: {unit.event}: {steps.reason}")
        points, left = self.recordings.of(unit).points[unit.kind]
        if only:
            cases = tuple(self.recordings.case(unit, point) for point in points)
            for wanted in only:
                if all(case.id != wanted for case in cases):
                    raise UsageError(_no_such_point(unit, wanted, cases, left))
            return SweepPlan(unit, tuple(case for case in cases if case.id in only), left)
        turn = self.recordings.turn(unit)
        cases = self._cases(unit)
        others = tuple(self.recordings.case(unit, one) for one in points if one not in turn)
        return SweepPlan(unit, cases, left, others)

    def again(self) -> Sweeper:
        """A sweeper with the same recordings, to which nothing has been run."""
        return replace(self, recordings=replace(self.recordings, expected=()), _done={})

    def run(self, plan: SweepPlan) -> SweepResult:
        """Run the cases of a plan; with the first of a group, those of all its units that are
        expected: a guest and a leak check for all."""
        began = time.monotonic()
        with self._lock_of(f"{plan.unit.group} runs"):
            todo = self._todo(plan)
            if todo:
                self._done |= self._run_units(todo)
        results = {case.id: self._done[case.id] for case in plan.cases}
        twins = self._twins(plan, results) if plan.unit.kind in FORCED else {}
        return SweepResult(plan, results, time.monotonic() - began, twins)

    def _todo(self, plan: SweepPlan) -> dict[SweepUnit, list[MountCase]]:
        """What runs now: cases of a plan, and of its group, that have not run."""
        units = {plan.unit: list(plan.cases)}
        if all(case.id in self._done for case in plan.cases):
            return {}
        for unit in self.recordings.expected:
            if unit.group == plan.unit.group and unit not in units:
                # What cannot be recorded is reported where that unit is planned.
                with contextlib.suppress(ErrpathError):
                    units[unit] = list(self._cases(unit))
        return {
            unit: [case for case in cases if case.id not in self._done]
            for unit, cases in units.items()
        }

    def _cases(self, unit: SweepUnit) -> tuple[MountCase, ...]:
        """The cases of a unit whose turn it is and that are wanted."""
        every = (self.recordings.case(unit, point) for point in self.recordings.turn(unit))
        return tuple(case for case in every if self.wanted(case.id))

    def _lock_of(self, key: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())

    def _boot(self, cases: Sequence[MountCase], *, confirm: bool = False) -> Boot:
        # Nobody can wait at a function that is hooked to be failed.
        points = None if any(case.places for case in cases) else ()
        source = self.recordings.testbed.guest_source(
            (cases[0].filesystem,), (), points=points, confirm=confirm
        )
        return self.recordings.guests(source)

    def _run(
        self, cases: Sequence[MountCase], most: int = _MOST, before: MountCase | None = None
    ) -> dict[str, Result]:
        """Results of cases of one filesystem, by id, from guests of their own; one leak check for
        `most` of them, before which `before` runs."""
        if not cases:
            return {}
        runner = BatchRunner(
            self._boot(cases),
            confirm=self._boot(cases, confirm=True),
            batch=min(most, batch_size(self.recordings.testbed.options)),
            repeats=self.repeats,
            progress=self.recordings.testbed.progress,
            count=self.recordings.testbed.options.conservation,
            before=before,
        )
        self.runners.add(runner)
        try:
            return runner.run(cases)
        finally:
            self.notes += runner.notes
            runner.close()
            self.runners.discard(runner)

    def _run_units(self, units: Mapping[SweepUnit, Sequence[MountCase]]) -> dict[str, Result]:
        """Results of cases of units of one group. Points that were not reached run once more
        together, then each by itself, behind a sequence in which nothing fails: what came before
        may have kept them from it."""
        # What is allocated once in a boot, the sequences in which nothing fails allocate.
        first = sorted(units, key=lambda unit: unit.kind != "plain")
        cases = [case for unit in first for case in units[unit]]
        before = replace(
            self.recordings.case(first[0], _UNTOUCHED), id=f"{first[0].volume_id}-before"
        )
        natural = first[0].group.endswith("-natural")
        found = self._run(cases, _MOST if natural else _MOST_FORCED, before)
        lost = _not_reached(units, found)
        if lost:
            found |= self._run(self._behind_untouched(lost))
            lost = _not_reached(units, found)
        alone = [(unit, case) for unit, own in lost.items() for case in own]
        for unit, case in alone[:_ALONE]:
            found |= self._run(self._behind_untouched({unit: [case]}))
        for own in _not_reached(units, found).values():
            for case in own:
                reason = (
                    "a recording reached it, three runs did not: what leads there depends on timing"
                )
                found[case.id] = Result(left_out(case, reason))
        for case in cases:
            reason = _sleepless(found[case.id].verdict)
            if reason:
                found[case.id] = Result(left_out(case, reason))
        return {case.id: answers_alone(found[case.id]) for case in cases}

    def _behind_untouched(self, units: Mapping[SweepUnit, Sequence[MountCase]]) -> list[MountCase]:
        return [
            case
            for unit, own in units.items()
            for case in (self.recordings.case(unit, _UNTOUCHED), *own)
        ]

    # -- twins -----------------------------------------------------------------------------------

    def _twins(self, plan: SweepPlan, results: Mapping[str, Result]) -> dict[str, Twin]:
        """The natural twins of the forced failures of a plan."""
        natural = self.recordings.of(plan.unit).natural()
        wanted: dict[str, list[MountCase]] = {}
        for case in plan.cases:
            if results[case.id].verdict.status is Status.FAIL and case.fault is not None:
                wanted[case.id] = [
                    self.recordings.case(replace(plan.unit, kind=kind), point)
                    for kind, point in twin_candidates(case.fault.function, natural)
                ]
        cases = {one.id: one for candidates in wanted.values() for one in candidates}
        self._done |= self._run([one for one in cases.values() if one.id not in self._done])
        return {
            case_id: find_twin(results[case_id], [one.id for one in candidates], self._done)
            for case_id, candidates in wanted.items()
        }


def _not_reached(
    units: Mapping[SweepUnit, Sequence[MountCase]], results: Mapping[str, Result]
) -> dict[SweepUnit, list[MountCase]]:
    """The cases whose fault did not hit."""
    lost = {
        unit: [case for case in cases if _missed(results[case.id].verdict)]
        for unit, cases in units.items()
    }
    return {unit: cases for unit, cases in lost.items() if cases}


def _missed(verdict: Verdict) -> bool:
    return verdict.status is Status.ERROR and verdict.reasons[0].startswith(NOT_REACHED)


def _sleepless(verdict: Verdict) -> str:
    """Why no task can wait where a point wants it to."""
    if verdict.status is not Status.ERROR or not verdict.reasons[0].startswith(NO_WAIT):
        return ""
    return verdict.reasons[0]


def _no_such_point(
    unit: SweepUnit, wanted: str, cases: Sequence[MountCase], left: Sequence[LeftOut]
) -> str:
    name = wanted.removeprefix(f"{unit.id}-")
    reason = next((item.reason for item in left if item.name == name.partition("#")[0]), "")
    if reason:
        return f"{wanted}: not failed: {name.partition('#')[0]} {reason}"
    such = f", such as {cases[0].id}" if cases else ""
    return f"{wanted}: no such point; expected one of the {len(cases)} of {unit.id}{such}"
