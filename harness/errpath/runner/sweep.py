"""A sweep: every point of one event of one filesystem fails once, with every oracle on.

The points come from a recording (`errpath.runner.sweep_recording`). Each becomes a case, and the
cases run as any others do. Points that were not reached run again behind an untouched sequence;
forced failures get their natural twins (`errpath.runner.sweep_twins`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from errpath.cases.case import MountCase
from errpath.cases.sweeping import sequence
from errpath.errors import ErrpathError, UsageError
from errpath.faults.points import UNTOUCHED, LeftOut, Point
from errpath.filesystems import load_filesystem
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.guests import Boot
from errpath.runner.result import Result
from errpath.runner.scheduler import BATCH_MAX
from errpath.runner.sweep_recording import Recorded, record_events
from errpath.runner.sweep_twins import Twin, find_twin, twin_candidates
from errpath.runner.testbed import Testbed, batch_size
from errpath.runner.verdict import NOT_REACHED, Status, left_out

__all__ = ["SweepPlan", "SweepResult", "SweepUnit", "Sweeper"]

# Of points that were not reached, so many run again each in a guest of its own.
_ALONE = 24
# So many forced calls have one leak check: what ran since the last one runs again when one of them
# takes the guest down.
_FORCED = 24
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
    def event_id(self) -> str:
        """The same for all kinds of points."""
        volume = f"@{self.volume}" if self.volume else ""
        return f"sweep-{self.filesystem}{volume}-{self.event}"

    @property
    def id(self) -> str:
        return f"{self.event_id}-{self.kind}"

    def records_with(self, other: SweepUnit) -> bool:
        """Whether one guest records both."""
        return (self.filesystem, self.volume) == (other.filesystem, other.volume)

    def runs_with(self, other: SweepUnit) -> bool:
        """Whether the points of both run in one guest: a forced call may take it down."""
        return self.event_id == other.event_id and "call" not in (self.kind, other.kind)

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
    # Results of natural points, by case id: a unit's own run and a search for twins share them.
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
        """Run the cases of a plan."""
        began = time.monotonic()
        results = (
            self._natural(plan) if plan.unit.kind != "call" else self._run(plan.cases, _FORCED)
        )
        results |= self._again(plan.unit, results)
        twins = self._twins(plan, results) if plan.unit.kind == "call" else {}
        return SweepResult(plan, results, time.monotonic() - began, twins)

    # -- cases -----------------------------------------------------------------------------------

    def _recorded(self, unit: SweepUnit) -> Recorded:
        """The points of a unit's event. All events of a volume that are wanted are recorded at
        once.

        Raises:
            ErrpathError: it cannot be recorded.
        """
        with self._lock_of(f"{unit.filesystem}@{unit.volume} recordings"):
            if unit.event_id not in self._found:
                wanted = [other for other in self.expected if other.records_with(unit)]
                by_event = {other.event: other.event_id for other in (*wanted, unit)}
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

    def _run(self, cases: Sequence[MountCase], most: int = BATCH_MAX) -> dict[str, Result]:
        """Results of cases of one filesystem, by id, from guests of their own; one leak check for
        `most` of them."""
        if not cases:
            return {}
        runner = BatchRunner(
            self._boot(cases[0].filesystem),
            confirm=self._boot(cases[0].filesystem, confirm=True),
            batch=min(most, batch_size(self.testbed.options)),
            repeats=self.repeats,
            progress=self.testbed.progress,
            count=self.testbed.options.conservation,
        )
        self.runners.add(runner)
        try:
            return runner.run(cases)
        finally:
            self.notes += runner.notes
            runner.close()
            self.runners.discard(runner)

    def _natural(self, plan: SweepPlan) -> dict[str, Result]:
        """Results of points that can fail by themselves, each run once in the sweeper's life. The
        first unit of an event runs those of the others too: a guest and a leak check for all."""
        with self._lock_of(f"{plan.unit.event_id} runs"):
            wanted = {case.id: case for case in plan.cases}
            if wanted and not wanted.keys() <= self._done.keys():
                for unit in self.expected:
                    if unit.runs_with(plan.unit):
                        points, _ = self._recorded(unit).points[unit.kind]
                        wanted |= {case.id: case for case in (self._case(unit, p) for p in points)}
            self._done |= self._run([c for c in wanted.values() if c.id not in self._done])
        return {case.id: self._done[case.id] for case in plan.cases}

    def _again(self, unit: SweepUnit, results: Mapping[str, Result]) -> dict[str, Result]:
        """Results of the points that were not reached: once more together, then each by itself,
        behind a sequence in which nothing fails. What came before may have kept them from it."""
        again: dict[str, Result] = {}
        lost = list(_not_reached(results.values()))
        if lost:
            again |= self._run([self._case(unit, _UNTOUCHED), *lost])
            lost = list(_not_reached(again.values()))
        for case in lost[:_ALONE]:
            again |= self._run([self._case(unit, _UNTOUCHED), case])
        for case in _not_reached(tuple(again.values())):
            reason = (
                "a recording reached it, three runs did not: what leads there depends on timing"
            )
            again[case.id] = Result(left_out(case, reason))
        return {case_id: result for case_id, result in again.items() if case_id in results}

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


def _not_reached(results: Iterable[Result]) -> Iterable[MountCase]:
    for result in results:
        verdict = result.verdict
        if verdict.status is Status.ERROR and verdict.reasons[0].startswith(NOT_REACHED):
            yield verdict.case


def _no_such_point(
    unit: SweepUnit, wanted: str, cases: Sequence[MountCase], left: Sequence[LeftOut]
) -> str:
    name = wanted.removeprefix(f"{unit.id}-")
    reason = next((item.reason for item in left if item.name == name.partition("#")[0]), "")
    if reason:
        return f"{wanted}: not failed: {name.partition('#')[0]} {reason}"
    such = f", such as {cases[0].id}" if cases else ""
    return f"{wanted}: no such point; expected one of the {len(cases)} of {unit.id}{such}"
