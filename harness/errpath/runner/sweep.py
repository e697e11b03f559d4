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
from errpath.faults.points import UNTOUCHED, LeftOut, Point
from errpath.filesystems import load_filesystem
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.guests import Boot
from errpath.runner.result import Result
from errpath.runner.sweep_recording import Recorded, record_events
from errpath.runner.sweep_twins import Twin, find_twin, twin_candidates
from errpath.runner.testbed import Testbed, batch_size
from errpath.runner.verdict import NOT_REACHED, Status, Verdict, left_out

__all__ = ["SweepPlan", "SweepResult", "SweepUnit", "Sweeper"]

# Of points that were not reached, so many run again each in a guest of its own.
_ALONE = 24
# So many points have one leak check: what ran since the last one runs again when one of them takes
# the guest down, which a forced call may do, and what fails by itself hardly ever does.
_MOST_FORCED = 24
_MOST = 256
_UNTOUCHED = Point(UNTOUCHED, None)


@dataclass(frozen=True)
class SweepUnit:
    """The points of one kind of one event of one filesystem."""

    filesystem: str
    # One of `errpath.filesystems.SWEEP_EVENTS`.
    event: str
    # One of `errpath.faults.points.POINT_KINDS`.
    kind: str
    # One of the filesystem's further volumes; "" is the smallest.
    volume: str = ""

    @property
    def volume_id(self) -> str:
        """The same for all events of a volume, which one guest records."""
        volume = f"@{self.volume}" if self.volume else ""
        return f"sweep-{self.filesystem}{volume}"

    @property
    def event_id(self) -> str:
        """The same for all kinds of points."""
        return f"{self.volume_id}-{self.event}"

    @property
    def id(self) -> str:
        return f"{self.event_id}-{self.kind}"

    @property
    def group(self) -> str:
        """Units of the same group share guests and leak checks: all events of a volume, forced
        calls apart."""
        return f"{self.volume_id}-{'call' if self.kind == 'call' else 'natural'}"

    def holds(self, case_id: str) -> bool:
        """Whether a case of this id is one of this unit's."""
        return case_id.startswith(f"{self.id}-")


@dataclass(frozen=True)
class SweepPlan:
    """The cases of a unit."""

    unit: SweepUnit
    cases: tuple[MountCase, ...]
    # What is not failed.
    left_out: tuple[LeftOut, ...] = ()


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

    testbed: Testbed
    repeats: int = 2
    # Wraps what boots a guest, so that a session that has ended gets none.
    guests: Callable[[Boot], Boot] = lambda boot: boot
    # The units that will be asked for: what of them belongs together is recorded and run at once.
    expected: tuple[SweepUnit, ...] = ()
    # What no case is to blame for alone.
    notes: list[str] = field(default_factory=list)
    runners: set[BatchRunner] = field(default_factory=set)
    _found: dict[str, Recorded | ErrpathError] = field(default_factory=dict)
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
        points, left = self._recorded(unit).points[unit.kind]
        cases = tuple(self._case(unit, point) for point in points)
        for wanted in only:
            if all(case.id != wanted for case in cases):
                raise UsageError(_no_such_point(unit, wanted, cases, left))
        chosen = tuple(case for case in cases if not only or case.id in only)
        return SweepPlan(unit, chosen, left)

    def again(self) -> Sweeper:
        """A sweeper with the same recordings, to which nothing has been run."""
        return replace(self, _done={}, expected=())

    def run(self, plan: SweepPlan) -> SweepResult:
        """Run the cases of a plan; with the first of a group, those of all its units that are
        expected: a guest and a leak check for all."""
        began = time.monotonic()
        with self._lock_of(f"{plan.unit.group} runs"):
            todo = self._todo(plan)
            if todo:
                self._done |= self._run_units(todo)
        results = {case.id: self._done[case.id] for case in plan.cases}
        twins = self._twins(plan, results) if plan.unit.kind == "call" else {}
        return SweepResult(plan, results, time.monotonic() - began, twins)

    def _todo(self, plan: SweepPlan) -> dict[SweepUnit, list[MountCase]]:
        """What runs now: cases of a plan, and of its group, that have not run."""
        units = {plan.unit: list(plan.cases)}
        if all(case.id in self._done for case in plan.cases):
            return {}
        for unit in self.expected:
            if unit.group == plan.unit.group and unit not in units:
                # What cannot be recorded is told where that unit is planned.
                with contextlib.suppress(ErrpathError):
                    points, _ = self._recorded(unit).points[unit.kind]
                    units[unit] = [self._case(unit, point) for point in points]
        return {
            unit: [case for case in cases if case.id not in self._done]
            for unit, cases in units.items()
        }

    # -- cases -----------------------------------------------------------------------------------

    def _recorded(self, unit: SweepUnit) -> Recorded:
        """The points of a unit's event. All events of a volume that are wanted are recorded at
        once.

        Raises:
            ErrpathError: it cannot be recorded.
        """
        with self._lock_of(f"{unit.volume_id} recordings"):
            if unit.event_id not in self._found:
                wanted = [one for one in self.expected if one.volume_id == unit.volume_id]
                by_event = {one.event: one.event_id for one in (*wanted, unit)}
                recorded = record_events(
                    self.testbed, self.guests, unit.filesystem, by_event, unit.volume
                )
                self._found |= {by_event[event]: found for event, found in recorded.items()}
        found = self._found[unit.event_id]
        if isinstance(found, ErrpathError):
            raise found
        return found

    def _lock_of(self, key: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())

    def _case(self, unit: SweepUnit, point: Point) -> MountCase:
        """The case of a point."""
        steps = sequence(load_filesystem(unit.filesystem), unit.event, unit.volume)
        return MountCase(
            f"{unit.id}-{point.name}",
            unit.filesystem,
            steps.device,
            steps.failing(point.fault) if point.fault else steps.untouched(),
            point=f"{unit.event}/{unit.kind}",
            batch=unit.id,
            seconds=self._recorded(unit).seconds,
        )

    def _boot(self, filesystem: str, *, confirm: bool = False) -> Boot:
        source = self.testbed.guest_source((filesystem,), (), points=(), confirm=confirm)
        return self.guests(source)

    def _run(
        self, cases: Sequence[MountCase], most: int = _MOST, before: MountCase | None = None
    ) -> dict[str, Result]:
        """Results of cases of one filesystem, by id, from guests of their own; one leak check for
        `most` of them, before which `before` runs."""
        if not cases:
            return {}
        runner = BatchRunner(
            self._boot(cases[0].filesystem),
            confirm=self._boot(cases[0].filesystem, confirm=True),
            batch=min(most, batch_size(self.testbed.options)),
            repeats=self.repeats,
            progress=self.testbed.progress,
            count=self.testbed.options.conservation,
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
        before = replace(self._case(first[0], _UNTOUCHED), id=f"{first[0].volume_id}-before")
        found = self._run(cases, _MOST_FORCED if first[0].kind == "call" else _MOST, before)
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
        return {case.id: found[case.id] for case in cases}

    def _behind_untouched(self, units: Mapping[SweepUnit, Sequence[MountCase]]) -> list[MountCase]:
        return [
            case for unit, own in units.items() for case in (self._case(unit, _UNTOUCHED), *own)
        ]

    # -- twins -----------------------------------------------------------------------------------

    def _twins(self, plan: SweepPlan, results: Mapping[str, Result]) -> dict[str, Twin]:
        """The natural twins of the forced failures of a plan."""
        natural = self._recorded(plan.unit).natural()
        wanted: dict[str, list[MountCase]] = {}
        for case in plan.cases:
            if results[case.id].verdict.status is Status.FAIL and case.fault is not None:
                wanted[case.id] = [
                    self._case(replace(plan.unit, kind=kind), point)
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


def _no_such_point(
    unit: SweepUnit, wanted: str, cases: Sequence[MountCase], left: Sequence[LeftOut]
) -> str:
    name = wanted.removeprefix(f"{unit.id}-")
    reason = next((item.reason for item in left if item.name == name.partition("#")[0]), "")
    if reason:
        return f"{wanted}: not failed: {name.partition('#')[0]} {reason}"
    such = f", such as {cases[0].id}" if cases else ""
    return f"{wanted}: no such point; expected one of the {len(cases)} of {unit.id}{such}"
