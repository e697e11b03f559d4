"""A sweep: every point of one event of one filesystem fails once, with every oracle on.

The sequence runs twice with a recording, in one guest. What the second one saw is what a case meets
that others came before; from it come the points (`errpath.faults.points`). Each becomes a case, and
the cases run as any others do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from errpath.cases.case import MountCase, Outcome
from errpath.cases.run import run_case
from errpath.cases.sweeping import sequence
from errpath.errors import InfrastructureError, UsageError
from errpath.faults import point_module
from errpath.faults.chains import Chain, ChainFrame
from errpath.faults.points import POINT_KINDS, LeftOut, Point, points_of
from errpath.faults.shapes import Shape, definition_at, shape_of
from errpath.filesystems import load_filesystem
from errpath.kernel.symbols.symbolizer import Symbolizer
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.guests import Boot
from errpath.runner.result import Result
from errpath.runner.testbed import Testbed, batch_size

__all__ = ["SweepPlan", "SweepResult", "SweepUnit", "Sweeper"]

# Seconds of wall time of one case: a forced failure may hang it.
_SECONDS = 15.0
_TASKS = ("errpath-record1", "errpath-record2")


@dataclass(frozen=True)
class SweepUnit:
    """The points of one kind of one event of one filesystem."""

    filesystem: str
    # One of `errpath.filesystems.SWEEP_EVENTS`.
    event: str
    # One of `errpath.faults.points.POINT_KINDS`.
    kind: str

    @property
    def id(self) -> str:
        return f"sweep-{self.filesystem}-{self.event}-{self.kind}"

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


# Points and what is left out, by kind.
_Points = Mapping[str, tuple[tuple[Point, ...], tuple[LeftOut, ...]]]


@dataclass
class Sweeper:
    """Plans and runs the units of one test bed. Threads may share it."""

    testbed: Testbed
    repeats: int = 2
    # Wraps what boots a guest, so that a session that has ended gets none.
    guests: Callable[[Boot], Boot] = lambda boot: boot
    _found: dict[tuple[str, str], _Points] = field(default_factory=dict)
    _locks: dict[tuple[str, str], threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    runners: set[BatchRunner] = field(default_factory=set)

    def plan(self, unit: SweepUnit, only: Collection[str] = ()) -> SweepPlan:
        """The cases of a unit; with `only`, those of these ids.

        Raises:
            UsageError: the event cannot be had, or an id names no point.
            InfrastructureError: the sequence fails by itself, or cannot be recorded.
        """
        filesystem = load_filesystem(unit.filesystem)
        steps = sequence(filesystem, unit.event)
        if steps.reason:
            raise UsageError(f"{unit.filesystem}: {unit.event}: {steps.reason}")
        points, left = self._points(unit.filesystem, unit.event)[unit.kind]
        cases = tuple(
            MountCase(
                f"{unit.id}-{point.name}",
                unit.filesystem,
                steps.device,
                steps.failing(point.fault),
                point=f"{unit.event}/{unit.kind}",
                batch=unit.id,
                seconds=_SECONDS,
            )
            for point in points
        )
        for wanted in only:
            if all(case.id != wanted for case in cases):
                raise UsageError(_no_such_point(unit, wanted, cases, left))
        chosen = tuple(case for case in cases if not only or case.id in only)
        return SweepPlan(unit, chosen, left)

    def run(self, plan: SweepPlan) -> SweepResult:
        """Run the cases of a plan."""
        began = time.monotonic()
        names = (plan.unit.filesystem,)
        runner = BatchRunner(
            self.guests(self.testbed.guest_source(names, (), points=())),
            confirm=self.guests(self.testbed.guest_source(names, (), points=(), confirm=True)),
            batch=batch_size(self.testbed.options),
            repeats=self.repeats,
            progress=self.testbed.progress,
        )
        self.runners.add(runner)
        try:
            results = runner.run(plan.cases) if plan.cases else {}
        finally:
            runner.close()
            self.runners.discard(runner)
        return SweepResult(plan, results, time.monotonic() - began)

    # -- recording -------------------------------------------------------------------------------

    def _points(self, filesystem: str, event: str) -> _Points:
        """The points of an event, recorded once."""
        key = (filesystem, event)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._found:
                self._found[key] = self._look(filesystem, event)
            return self._found[key]

    def _look(self, filesystem: str, event: str) -> _Points:
        modules = frozenset(
            module.name
            for module in self.testbed.modules(filesystem)
            if not module.name.startswith("nls_")
        )
        chains = self._record(filesystem, event)
        with self.testbed.symbolizer((filesystem,)) as symbolizer:
            return {
                kind: points_of(
                    kind,
                    chains,
                    modules=modules,
                    expand=partial(_expand, symbolizer),
                    shape=partial(_shape, self.testbed, symbolizer, modules),
                )
                for kind in POINT_KINDS
            }

    def _record(self, filesystem: str, event: str) -> tuple[Chain, ...]:
        steps = sequence(load_filesystem(filesystem), event)
        case = MountCase(
            f"sweep-{filesystem}-{event}-recording",
            filesystem,
            steps.device,
            steps.steps,
        )
        prepared = self.guests(partial(self.testbed.guests.prepare, (filesystem,), (), points=()))()
        try:
            chains: tuple[Chain, ...] = ()
            for task in _TASKS:
                point_module.forget(prepared.guest)
                _check(case, run_case(prepared.guest, case, task))
                chains = point_module.read_chains(prepared.guest)
        finally:
            prepared.guest.close()
        return chains


def _check(case: MountCase, outcome: Outcome) -> None:
    """See that the armed step worked, and what stands before it.

    Raises:
        InfrastructureError: it did not, so that there is nothing to fail.
    """
    for step, got in zip(case.steps, outcome.steps, strict=False):
        if got.errno and step.op != "use":
            raise InfrastructureError(
                f"{case.id}: {step.op}: {got}; expected a sequence that succeeds without a fault"
            )
        if step.armed:
            return
    raise InfrastructureError(f"{case.id}: the recording did not end; expected every step")


def _expand(symbolizer: Symbolizer, frame: ChainFrame) -> Sequence[str]:
    frames = symbolizer.resolve(frame.function, frame.offset, frame.module or None, size=frame.size)
    return [found.function for found in frames] or [frame.function]


def _shape(
    testbed: Testbed, symbolizer: Symbolizer, modules: Collection[str], function: str
) -> Shape:
    for module in sorted(modules):
        frames = symbolizer.resolve(function, 0, module, exact=True)
        if frames:
            place = frames[-1]
            text = testbed.source(place.file) or ""
            return shape_of(definition_at(text, function, place.line), function)
    return Shape("", (), "its definition was not found in the source")


def _no_such_point(
    unit: SweepUnit, wanted: str, cases: Sequence[MountCase], left: Sequence[LeftOut]
) -> str:
    name = wanted.removeprefix(f"{unit.id}-")
    reason = next((item.reason for item in left if item.name == name.partition("#")[0]), "")
    if reason:
        return f"{wanted}: not failed: {name.partition('#')[0]} {reason}"
    such = f", such as {cases[0].id}" if cases else ""
    return f"{wanted}: no such point; expected one of the {len(cases)} of {unit.id}{such}"
