"""Sweeps of two kernels, compared point by point.

The points of each kernel come from recordings of its own; what they are called survives a rebuild
(`errpath.faults.chains`), so that the same id is the same point of both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from errpath.analysis.compare.compare import Summary, config_hashes, describe
from errpath.analysis.compare.judge import Comparison, State, compare_case
from errpath.analysis.compare.observe import Observed, doubtful, observe
from errpath.cases.lifecycle import Planned
from errpath.errors import ErrpathError
from errpath.results.session import RunSession
from errpath.runner.options import Choice
from errpath.runner.sweep import Sweeper
from errpath.runner.sweep_units import Recordings, SweepUnit
from errpath.runner.verdict import Status
from errpath.util.background import Background, processors
from errpath.util.progress import Progress

__all__ = ["SweepRequest", "compare_points", "compare_sweeps"]

# What came of each point, by its id, once for each run.
Runs = Mapping[str, Sequence[Observed]]


@dataclass(frozen=True)
class SweepRequest:
    """What to compare."""

    before: Choice
    after: Choice
    units: tuple[SweepUnit, ...]
    # How often a point that is not plainly clean on both is looked at.
    repeats: int
    # Of both kernels.
    session: RunSession
    jobs: int | None = None


def compare_sweeps(request: SweepRequest, progress: Progress) -> Summary:
    """Sweep the units on both kernels, and compare.

    Raises:
        ErrpathError: no answer is possible, such as a kernel that does not compile.
    """
    began = time.monotonic()
    session = request.session
    before = _Kernel(request.before.name, session, request.units)
    after = _Kernel(request.after.name, session, request.units)
    try:
        before.build()
        after.build()
        both = (before, after)
        _run(both, request.units, request.jobs, progress)
        for _ in range(1, request.repeats):
            again = [
                point
                for point in before.runs.keys() & after.runs.keys()
                if doubtful(before.runs[point][0], after.runs[point][0])
            ]
            if again:
                _run(both, request.units, request.jobs, progress, again)
        built = {name: testbed.kernel for name, testbed in session.testbeds.built()}
    finally:
        session.close()
    return Summary(
        tuple(
            one
            for unit in request.units
            for one in compare_points(unit, before.of(unit), after.of(unit))
        ),
        describe(session.testbeds.get(request.before.name).kernel),
        describe(session.testbeds.get(request.after.name).kernel),
        config_hashes(
            {name: sha256(one.config.read_bytes()).hexdigest() for name, one in built.items()}
        ),
        time.monotonic() - began,
    )


def compare_points(unit: SweepUnit, before: Runs, after: Runs) -> list[Comparison]:
    """What a unit's runs say. A point of one kernel alone is reported; it has no state
    of its own, unless something is wrong that only the kernel after has."""
    event = f"{unit.event}/{unit.kind}"
    points = [
        Planned(name, unit.filesystem, event, None) for name in dict.fromkeys((*before, *after))
    ]
    return [_compare_point(point, before, after) for point in points]


def _compare_point(planned: Planned, before: Runs, after: Runs) -> Comparison:
    old, new = before.get(planned.id, ()), after.get(planned.id, ())
    if old and new:
        return compare_case(planned, old, new)
    bad = next((run for run in new if run.bad), None)
    if bad is not None:
        note = f"a point that the kernel before has not: {bad.reasons[0]}"
        return Comparison(planned, State.REGRESSED, 0, 0, 1, len(new), note, bad.report)
    side = "after" if new else "before"
    note = f"only the kernel {side} has this point"
    return Comparison(replace(planned, reason=note), State.NOT_RUN, note=note)


@dataclass
class _Kernel:
    """One of the two kernels, and what its points came to."""

    name: str
    session: RunSession
    units: tuple[SweepUnit, ...]
    runs: dict[str, list[Observed]] = field(default_factory=dict)
    _sweepers: dict[str, Sweeper] = field(default_factory=dict)

    def build(self) -> None:
        """Build everything before the threads start: two of them would only wait for each other."""
        for filesystem in dict.fromkeys(unit.filesystem for unit in self.units):
            testbed = self.session.testbeds.get(self.name, filesystem)
            testbed.check()
            testbed.build((filesystem,), points=True)
            self._sweepers[filesystem] = Sweeper(
                Recordings(testbed, guests=self.session.batches.guests, expected=self.units)
            )

    def of(self, unit: SweepUnit) -> Runs:
        """What the points of a unit came to."""
        return {point: runs for point, runs in self.runs.items() if unit.holds(point)}

    def sweep(self, unit: SweepUnit, again: Sequence[str]) -> None:
        """Run a unit, or again some of its points."""
        only = [point for point in again if unit.holds(point)]
        if again and not only:
            return
        sweeper = self._sweepers[unit.filesystem]
        try:
            plan = sweeper.plan(unit, only)
            results = (sweeper.again() if only else sweeper).run(plan).results
        except ErrpathError:
            if only:
                return
            raise
        group = self.session.add(self.name, plan.cases, results)
        for case in plan.cases:
            failed = results[case.id].verdict.status is not Status.PASS
            report = self.session.report(group, case) if failed else ""
            self.runs.setdefault(case.id, []).append(observe(results[case.id], report))


def _run(
    kernels: Sequence[_Kernel],
    units: Sequence[SweepUnit],
    jobs: int | None,
    progress: Progress,
    again: Sequence[str] = (),
) -> None:
    """Every unit on every kernel, some of them at a time."""
    tasks = [(kernel.name, unit) for unit in units for kernel in kernels]
    by_name = {kernel.name: kernel for kernel in kernels}

    def work(task: tuple[str, SweepUnit]) -> None:
        name, unit = task
        by_name[name].sweep(unit, again)

    ahead = Background(tasks, work, jobs=jobs or processors(), progress=progress)
    try:
        for task in tasks:
            ahead.wait(task)
    finally:
        ahead.stop()
