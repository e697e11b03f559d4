"""pytest: options and fixtures of suites/sweep.

A test takes a `unit` (parametrized with `SweepUnit`) and `swept`, which plans and runs it. Units
run ahead in threads, as batches of cases do.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product

import pytest

from errpath.cases.lifecycle import parse_filesystems
from errpath.cases.sweeping import parse_sweep_events, parse_volumes, sequence
from errpath.errors import AbsentError, ErrpathError, UsageError
from errpath.faults.points import WAIT, parse_point_kinds
from errpath.filesystems import PAIRS, load_filesystem
from errpath.plugin.cases import issues_of, kernel_of, session_of, unit_of
from errpath.plugin.known_issues import expected_failure, issue_record
from errpath.results.records import CaseRecord, CaseStatus, IssueRecord, to_json
from errpath.results.reports.sweeps import ONLY_BY_FORCE, SweptUnit
from errpath.results.session import RunSession
from errpath.runner.known_issues import KnownIssue
from errpath.runner.result import Result
from errpath.runner.scheduler import Batch
from errpath.runner.sweep import Sweeper, SweepResult
from errpath.runner.sweep_pace import Pace, in_order, usual_seconds
from errpath.runner.sweep_rotation import Rotation, parse_rotation
from errpath.runner.sweep_units import Recordings, SweepUnit
from errpath.runner.verdict import Status, Verdict
from errpath.util.background import Background
from errpath.util.progress import Step
from errpath.util.times import duration

__all__ = [
    "BY_FORCE",
    "CHOSEN_POINTS",
    "POINT_PROPERTY",
    "UNIT_PROPERTY",
    "Swept",
    "sweep_parameters",
]

# Property of a test's report that holds the record of one point, as JSON.
POINT_PROPERTY = "errpath-point"
# The same of a `SweptUnit`.
UNIT_PROPERTY = "errpath-unit"

# Of a forced failure that has no natural twin: the suite does not fail for it.
BY_FORCE = IssueRecord(
    ONLY_BY_FORCE, "docs/sweep.md#only-by-force", "forced, and nothing natural leads there"
)

# Of a test: ids of its points that --cases-from names; none for all of them.
CHOSEN_POINTS = pytest.StashKey[tuple[str, ...]]()

_NO_FAILURE = (CaseStatus.PASS, CaseStatus.SKIP)

_runs_key = pytest.StashKey["_Runs"]()


def sweep_parameters(config: pytest.Config) -> list[object]:
    """The chosen units as pytest parameters; an event that cannot be had is a skip.

    Raises:
        pytest.UsageError: an option names what does not exist, or an image cannot be made.
    """
    try:
        filesystems = parse_filesystems(config.getoption("fs"))
        # A point that is asked for by its id may be of any event and volume.
        every = "all" if config.option.case else ""
        kinds = parse_point_kinds(config.getoption("kinds") or every)
        usual = ",".join(PAIRS) if kinds == (WAIT,) else ""
        events = parse_sweep_events(config.getoption("sweep_event") or every or usual)
        volumes = parse_volumes(config.getoption("volume") or every, filesystems)
        out: list[object] = []
        for name in filesystems:
            for volume, event in product(volumes[name], events):
                reason = sequence(load_filesystem(name), event, volume).reason
                marks = [pytest.mark.qemu, getattr(pytest.mark, name)]
                if reason:
                    marks.append(pytest.mark.skip(reason=f"{name} ({event}): {reason}"))
                for kind in kinds:
                    unit = SweepUnit(name, event, kind, volume)
                    out.append(pytest.param(unit, id=unit.id, marks=marks))
        return out
    except ErrpathError as error:
        raise pytest.UsageError(str(error)) from None


@dataclass(frozen=True)
class Swept:
    """A unit that has run, with what a test needs to report of it."""

    result: SweepResult
    session: RunSession
    group: Batch
    item: pytest.Item

    @property
    def asked(self) -> bool:
        """Whether single points were asked for: then each reports everything."""
        return bool(self.item.config.option.case)

    @property
    def points(self) -> tuple[Result, ...]:
        """The points that have a verdict on the kernel, in order."""
        return tuple(
            found
            for case in self.result.plan.cases
            if (found := self.result.results[case.id]).verdict.status is not Status.ERROR
        )

    def report(self, point: Result) -> str:
        """The whole text of a point that is not a pass."""
        return self.session.report(self.group, point.verdict.case)

    def expect_pass(self, point: Result) -> None:
        """Fail the subtest with the whole story unless the point passes; a failure that known
        issues explain is an expected one. Notes what became of the point."""
        verdict = point.verdict
        if verdict.status is Status.PASS:
            self.record(point, CaseStatus.PASS)
            return
        if verdict.status is Status.SKIP:
            self.record(point, CaseStatus.SKIP)
            pytest.skip(verdict.reasons[0])
        found, note = self._explain(verdict)
        twin = self.result.twins.get(verdict.case.id)
        if not found and twin is not None:
            found, twin = twin.beside(lambda natural: self._explain(natural)[0])
        if found:
            self.record(point, CaseStatus.XFAIL, issue_record(found[0]))
            expected_failure(self.item.config, "; ".join(map(str, found)))
        if twin is not None and not twin.case_id and not self.asked:
            self.record(point, CaseStatus.XFAIL, BY_FORCE)
            expected_failure(self.item.config, f"{verdict.reasons[0]}: {twin.line}")
        text = self.report(point) + (f"\n  {twin.line}" if twin is not None else "") + note
        self.record(point, CaseStatus.FAIL)
        pytest.fail(text, pytrace=False)

    def _explain(self, verdict: Verdict) -> tuple[tuple[KnownIssue, ...], str]:
        """The known issues that explain a failure, and what there is to say of others."""
        return issues_of(self.item.config).explain(self.item, self.group.kernel, verdict)

    def record(self, point: Result, status: CaseStatus, issue: IssueRecord | None = None) -> None:
        """Note what became of a point."""
        verdict = point.verdict
        passed = status is CaseStatus.PASS
        case = verdict.case
        if issue is not BY_FORCE:
            issues_of(self.item.config).note(self.item, case, self.group.kernel, status)
        seconds = verdict.outcome.seconds if verdict.outcome else 0.0
        folder = self.session.reporter.folder(self.group.kernel, case.id)
        record = CaseRecord(
            case.id,
            status,
            reasons=() if passed else verdict.reasons,
            failures=() if status in _NO_FAILURE else verdict.failures,
            seconds=float(seconds),
            filesystem=case.filesystem,
            event=case.point,
            confirmed=verdict.leak.confirmed if verdict.leak else 0,
            repeats=verdict.leak.repeats if verdict.leak else 0,
            rerun="" if passed else self.session.rerun(self.group.kernel, case.id),
            artefacts=str(folder) if folder is not None else "",
            nodeid=self.item.nodeid,
            issue=issue,
        )
        text = json.dumps({"kernel": self.group.kernel, **to_json(record)})
        self.item.user_properties.append((POINT_PROPERTY, text))


# A kernel's name, and the units that share guests.
_Group = tuple[str, tuple[SweepUnit, ...]]


class _Runs:
    """The units of a session, by kernel."""

    def __init__(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self._session = session_of(config)
        chosen = (item.stash.get(CHOSEN_POINTS, ()) for item in items)
        self._wanted = (*config.option.case, *(point for points in chosen for point in points))
        self._sweepers: dict[tuple[str, str], Sweeper] = {}
        self._results: dict[tuple[str, SweepUnit], SweepResult | ErrpathError] = {}
        self._expected = [
            (kernel_of(item), unit)
            for item in items
            if (unit := unit_of(item)) is not None and item.get_closest_marker("skip") is None
        ]
        self.rotation = _rotation(config) if self._expected else None
        groups: dict[tuple[str, str], list[SweepUnit]] = {}
        for kernel, unit in self._expected:
            groups.setdefault((kernel, unit.group), []).append(unit)
        usual = {(kernel, tuple(own)): usual_seconds(own) for (kernel, _), own in groups.items()}
        self._groups: tuple[_Group, ...] = tuple(in_order(usual))
        self._jobs = self._session.at_once
        self._pace: Pace[_Group] = Pace(usual, jobs=self._jobs)
        self._ahead: Background[_Group] | None = None
        self._whole = contextlib.ExitStack()
        self._step: Step | None = None

    def result(self, kernel: str, unit: SweepUnit) -> SweepResult:
        """What became of a unit.

        Raises:
            ErrpathError: it could not be run.
        """
        key = (kernel, unit)
        group = next(one for one in self._groups if _holds(one, *key))
        if self._ahead is None and self._session.jobs > 1 and len(self._groups) > 1:
            for name, other in self._expected:
                self._sweeper(name, other.filesystem)
            self._step = self._whole.enter_context(self._session.progress.step("sweep"))
            self._ahead = Background(
                self._groups,
                self._run_group,
                jobs=self._jobs,
                progress=self._session.progress,
            )
        if self._ahead is not None:
            self._ahead.wait(group)
        elif key not in self._results:
            self._run(*key)
        result = self._results[key]
        if isinstance(result, ErrpathError):
            raise result
        return result

    def _mine(self, kernel: str) -> tuple[SweepUnit, ...]:
        """What runs together; of single points, the others of their events are not wanted. With
        several processes, all units of a volume go to one."""
        if self._wanted:
            return ()
        return tuple(unit for name, unit in self._expected if name == kernel)

    def _sweeper(self, kernel: str, filesystem: str) -> Sweeper:
        """The sweeper of a test bed, with all built that its guests need: builds have their own
        parallelism."""
        testbed = self._session.testbeds.get(kernel, filesystem)
        key = (kernel, load_filesystem(filesystem).own_kernel)
        if key not in self._sweepers:
            testbed.check()
            recordings = Recordings(
                testbed,
                guests=self._session.batches.guests,
                expected=self._mine(kernel),
                rotation=self.rotation,
            )
            self._sweepers[key] = Sweeper(recordings, repeats=self._session.batches.repeats)
        testbed.build((filesystem,), points=True)
        return self._sweepers[key]

    def _run_group(self, group: _Group) -> None:
        """Run the units of a group, and tell how far the whole run is."""
        kernel, units = group
        self._pace.begin(group)
        for unit in units:
            self._run(kernel, unit)
        found = (self._results[kernel, unit] for unit in units)
        points = sum(len(one.results) for one in found if isinstance(one, SweepResult))
        self._pace.end(group, points)
        if self._step is not None:
            left = duration(self._pace.left)
            self._step.update(0, note=f"{self._pace.line}, about {left} left")

    def _run(self, kernel: str, unit: SweepUnit) -> None:
        only = tuple(case_id for case_id in self._wanted if unit.holds(case_id))
        try:
            sweeper = self._sweeper(kernel, unit.filesystem)
            self._results[kernel, unit] = sweeper.run(sweeper.plan(unit, only))
        except ErrpathError as error:
            self._results[kernel, unit] = error

    def close(self) -> None:
        """End the guests of units that are still under way."""
        if self._ahead is not None:
            self._session.close()
            for sweeper in self._sweepers.values():
                for runner in tuple(sweeper.runners):
                    runner.close()
            self._ahead.stop()
            self._whole.close()


def _rotation(config: pytest.Config) -> Rotation | None:
    """Which part of the points that several events share this run has.

    Raises:
        pytest.UsageError: the option is no rotation.
    """
    option = config.option
    whole = not (option.fs or option.sweep_event or option.volume or option.kinds or option.case)
    try:
        return parse_rotation(option.rotation, today=datetime.now(UTC).date(), whole=whole)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _holds(group: _Group, kernel: str, unit: SweepUnit) -> bool:
    return group[0] == kernel and unit in group[1]


def pytest_report_collectionfinish(
    config: pytest.Config, items: Sequence[pytest.Item]
) -> str | None:
    """Nothing is left out in silence."""
    rotation = _rotation(config) if any(map(unit_of, items)) else None
    if rotation is None:
        return None
    return (
        f"errpath: rotation {rotation}: of points that an earlier event has as well, one in "
        f"{rotation.parts}, the others on other days (--rotation none: all of them)"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[_runs_key] = _Runs(session.config, session.items)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if _runs_key in config.stash:
        config.stash[_runs_key].close()


@pytest.fixture
def swept(request: pytest.FixtureRequest, unit: SweepUnit, kernel_name: str) -> Iterator[Swept]:
    """The unit, run. A point for which the infrastructure failed is an error of the tear-down: the
    others are judged first."""
    config = request.config
    session = session_of(config)
    try:
        result = config.stash[_runs_key].result(kernel_name, unit)
    except AbsentError as error:
        pytest.skip(str(error))
    except ErrpathError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    cases = result.plan.cases
    group = session.add(kernel_name, cases, result.results)
    found = Swept(result, session, group, request.node)
    plan = result.plan
    for case in plan.rotated:
        # What did not run has not been mended.
        issues_of(config).note_deselected(request.node, case, kernel_name)
    done = SweptUnit(unit.filesystem, result.seconds, len(plan.left_out), len(plan.rotated))
    request.node.user_properties.append((UNIT_PROPERTY, json.dumps(asdict(done))))
    yield found
    broken = [
        result.results[case.id]
        for case in cases
        if result.results[case.id].verdict.status is Status.ERROR
    ]
    for point in broken:
        found.record(point, CaseStatus.ERROR)
    if broken:
        lines = "\n".join(f"{p.verdict.case.id}: {p.verdict.reasons[0]}" for p in broken)
        pytest.fail(f"{len(broken)} of {len(cases)} points have no verdict\n{lines}", pytrace=False)
