"""Sweeps without a guest: points that were not reached, natural twins of forced failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from errpath.cases.case import MountCase, Outcome
from errpath.cases.sweeping import sequence
from errpath.errors import InfrastructureError
from errpath.faults.model import Alloc, Call, Read
from errpath.faults.points import UNTOUCHED, Point
from errpath.filesystems import load_filesystem
from errpath.kernel import KernelRequest
from errpath.oracles.failure import HANG, LEAK, Failure
from errpath.runner.known_issues import FailurePattern, KnownIssue
from errpath.runner.result import Result
from errpath.runner.sweep import Sweeper, SweepPlan
from errpath.runner.sweep_recording import Recorded
from errpath.runner.sweep_rotation import Rotation
from errpath.runner.sweep_twins import Twin, find_twin, twin_candidates
from errpath.runner.sweep_units import Recordings, SweepUnit
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.runner.verdict import NOT_REACHED, Status, Verdict, infrastructure_error
from errpath.util.progress import silent

_NEAR = Point("fill>get", Alloc(chain="1"), ("get", "fill"))
_FAR = Point("fill>get>open", Read(chain="2"), ("open", "get", "fill"))
_ELSEWHERE = Point("fill", Alloc(chain="3"), ("fill",))
_NATURAL = (("io", _FAR), ("alloc", _NEAR), ("alloc", _ELSEWHERE))
_CALL = SweepUnit("hfs", "mount-ro", "call")
_ALLOC = SweepUnit("hfs", "mount-ro", "alloc")
_LEAK = Failure(LEAK, "memory leak in get")
_HANG = Failure(HANG, "INFO: task hung in get")


def test_candidates_lead_through_the_function_the_nearest_first() -> None:
    assert twin_candidates("get", _NATURAL) == [("alloc", _NEAR), ("io", _FAR)]
    assert twin_candidates("nobody", _NATURAL) == []


def _sweeper(run: Callable[[Sequence[MountCase]], dict[str, Result]]) -> Sweeper:
    class Simulated(Sweeper):
        def _run(
            self, cases: Sequence[MountCase], most: int = 0, before: MountCase | None = None
        ) -> dict[str, Result]:
            return run(cases)

    class Bed(Testbed):
        def __init__(self) -> None:
            self.options = TestbedOptions(KernelRequest("debian:7.2"))
            self.progress = silent()

    sweeper = Simulated(Recordings(Bed()))
    points = {
        "call": ((Point("get", Call("get"), ("get",)), Point("fill", Call("fill"), ("fill",))), ()),
        "plain": ((Point(UNTOUCHED, None),), ()),
        "alloc": ((_NEAR, _ELSEWHERE), ()),
        "io": ((_FAR,), ()),
    }
    sweeper.recordings.found["sweep-hfs-mount-ro"] = Recorded(points, 8.0)
    return sweeper


def _verdict(case: MountCase, *failures: Failure) -> Result:
    status = Status.FAIL if failures else Status.PASS
    return Result(Verdict(case, status, failures))


@pytest.mark.parametrize(
    ("natural", "same", "other", "line"),
    [
        (_LEAK, 1, 0, "natural twin: sweep-hfs-mount-ro-alloc-fill>get fails in the same way"),
        (_HANG, 0, 1, "natural twin: sweep-hfs-mount-ro-alloc-fill>get fails too"),
        (None, 0, 0, "only by force: 2 allocations and requests below it show nothing else"),
    ],
)
def test_a_forced_failure_gets_its_natural_twin(
    natural: Failure | None, same: int, other: int, line: str
) -> None:
    ran: list[str] = []

    def run(cases: Sequence[MountCase]) -> dict[str, Result]:
        ran.extend(case.id for case in cases)
        bad = {"sweep-hfs-mount-ro-call-get": _LEAK, "sweep-hfs-mount-ro-alloc-fill>get": natural}
        failures = {case.id: bad.get(case.id) for case in cases}
        return {
            case.id: _verdict(case, *([one] if (one := failures[case.id]) else []))
            for case in cases
        }

    sweeper = _sweeper(run)
    result = sweeper.run(sweeper.plan(_CALL))
    (twin,) = result.twins.values()
    assert (len(twin.same), len(twin.other), twin.tried) == (same, other, 2)
    assert twin.line == line
    # What has run for the search does not run again for its own unit.
    sweeper.run(sweeper.plan(_ALLOC))
    assert ran.count("sweep-hfs-mount-ro-alloc-fill>get") == 1
    assert ran.count("sweep-hfs-mount-ro-alloc-fill") == 1


_ISSUE = KnownIssue("get", "docs/findings/x.md", ("*",), FailurePattern("leak", function="get"))


def test_a_known_issue_of_the_natural_twin_is_one_of_the_forced_failure() -> None:
    issues, left = Twin((_fails("a", _LEAK),), (_fails("b", _HANG),), 2).beside(
        lambda one: (_ISSUE,) if one.case.id == "a" else ()
    )
    assert issues == (_ISSUE,)
    # What is not known stays.
    assert left.case_id == "b"


def test_a_known_failure_in_another_way_convicts_nothing() -> None:
    issues, left = Twin((), (_fails("b", _HANG),), 2).beside(lambda _: (_ISSUE,))
    assert issues == ()
    assert left.line.startswith("only by force")


def test_an_unknown_natural_failure_stays_the_twin() -> None:
    twin = Twin((_fails("a", _LEAK),), (_fails("b", _HANG),), 2)
    assert twin.beside(lambda _: ()) == ((), twin)


def _fails(name: str, *failures: Failure) -> Verdict:
    return _verdict(MountCase(name, "hfs", _case().device, _case().steps), *failures).verdict


def test_a_forced_failure_below_which_nothing_can_fail() -> None:
    case = MountCase("c", "hfs", _case().device, _case().steps)
    assert "nothing below it" in find_twin(_verdict(case, _LEAK), [], {}).line


def _case() -> MountCase:
    steps = sequence(load_filesystem("hfs"), "mount-ro")
    return MountCase("x", "hfs", steps.device, steps.steps)


@pytest.mark.parametrize(("reached", "status", "runs"), [(2, Status.PASS, 2), (9, Status.SKIP, 3)])
def test_a_point_that_was_not_reached_runs_again_behind_an_untouched_sequence(
    reached: int, status: Status, runs: int
) -> None:
    batches: list[list[str]] = []

    def run(cases: Sequence[MountCase]) -> dict[str, Result]:
        batches.append([case.id for case in cases])
        late = len(batches) < reached
        return {
            case.id: Result(infrastructure_error(case, f"{NOT_REACHED}: the fault did not fire"))
            if late and case.id.endswith("fill>get")
            else _verdict(case)
            for case in cases
        }

    sweeper = _sweeper(run)
    plan = sweeper.plan(_ALLOC)
    result = sweeper.run(SweepPlan(_ALLOC, plan.cases))
    lost = "sweep-hfs-mount-ro-alloc-fill>get"
    assert result.results.keys() == {case.id for case in plan.cases}
    assert result.results[lost].verdict.status is status
    assert len(batches) == runs
    assert all(batch == ["sweep-hfs-mount-ro-alloc-untouched", lost] for batch in batches[1:])
    if status is Status.SKIP:
        assert "depends on timing" in result.results[lost].verdict.reasons[0]


def test_natural_points_of_a_volume_run_at_once_and_again_by_themselves() -> None:
    batches: list[set[str]] = []

    def run(cases: Sequence[MountCase]) -> dict[str, Result]:
        batches.append({case.id for case in cases})
        return {case.id: _verdict(case) for case in cases}

    sweeper = _sweeper(run)
    io = SweepUnit("hfs", "mount-ro", "io")
    sweeper.recordings.expected = (_CALL, _ALLOC, io, SweepUnit("hfs", "umount", "io"))
    sweeper.recordings.found["sweep-hfs-umount"] = sweeper.recordings.found["sweep-hfs-mount-ro"]
    sweeper.run(sweeper.plan(_ALLOC))
    sweeper.run(sweeper.plan(io))
    # Of the other event as well; forced calls have guests of their own.
    assert [len(batch) for batch in batches] == [4]
    once = f"{io.id}-fill>get>open"
    sweeper.again().run(sweeper.plan(io, [once]))
    assert batches[1:] == [{once}]


def test_an_event_that_cannot_be_recorded_keeps_no_other_of_its_group_from_running() -> None:
    sweeper = _sweeper(lambda cases: {case.id: _verdict(case) for case in cases})
    lost = SweepUnit("hfs", "umount", "io")
    sweeper.recordings.expected = (_ALLOC, lost)
    sweeper.recordings.found[lost.event_id] = InfrastructureError(
        "umount: the recording did not end"
    )
    assert len(sweeper.run(sweeper.plan(_ALLOC)).results) == 2
    with pytest.raises(InfrastructureError, match="did not end"):
        sweeper.plan(lost)


def test_points_that_an_earlier_event_has_take_turns_and_the_plan_counts_the_others() -> None:
    sweeper = _sweeper(lambda cases: {case.id: _verdict(case) for case in cases})
    later = SweepUnit("hfs", "mount-rw", "alloc")
    found = sweeper.recordings.found["sweep-hfs-mount-ro"]
    assert isinstance(found, Recorded)
    extra = Point("fill>more", Alloc(chain="9"), ("fill",))
    points = {**found.points, "alloc": ((_NEAR, _ELSEWHERE, extra), ())}
    sweeper.recordings.found["sweep-hfs-mount-rw"] = Recorded(points, 8.0)
    sweeper.recordings.expected = (_ALLOC, later)
    plans = []
    for part in (1, 2):
        sweeper.recordings.rotation = Rotation(part, 2)
        assert len(sweeper.plan(_ALLOC).cases) == 2
        plans.append(sweeper.plan(later))
    extra_id = f"{later.id}-fill>more"
    for plan in plans:
        assert extra_id in {case.id for case in plan.cases}
        assert len(plan.cases) + len(plan.rotated) == 3
        assert not {case.id for case in plan.cases} & {case.id for case in plan.rotated}
    both = [case.id for plan in plans for case in plan.cases if case.id != extra_id]
    assert sorted(both) == sorted({f"{later.id}-{one.name}" for one in (_NEAR, _ELSEWHERE)})
    # What is asked for by its id runs on any day.
    assert len(sweeper.plan(later, [f"{later.id}-{_NEAR.name}"]).cases) == 1


def test_of_points_that_pass_only_their_answers_are_kept() -> None:
    """Two hundred thousand of them must fit in memory."""
    said = Outcome("errpath-1", 7, fired=1, kmsg="x" * 4096, counts={"allocations": "y" * 4096})

    def run(cases: Sequence[MountCase]) -> dict[str, Result]:
        found = {}
        for case in cases:
            failures = (_LEAK,) if case.id.endswith("fill>get") else ()
            result = _verdict(case, *failures)
            found[case.id] = replace(result, verdict=replace(result.verdict, outcome=said))
        return found

    sweeper = _sweeper(run)
    results = sweeper.run(sweeper.plan(_ALLOC)).results
    kept = {case_id: one.verdict.outcome for case_id, one in results.items()}
    assert kept["sweep-hfs-mount-ro-alloc-fill"] == Outcome("errpath-1", 7, fired=1)
    # A failure keeps its evidence.
    assert kept["sweep-hfs-mount-ro-alloc-fill>get"] == said


def test_a_broken_field_is_written_over_the_volume_and_any_errno_will_do() -> None:
    ran: list[MountCase] = []

    def run(cases: Sequence[MountCase]) -> dict[str, Result]:
        ran.extend(cases)
        return {case.id: _verdict(case) for case in cases}

    sweeper = _sweeper(run)
    unit = SweepUnit("hfs", "mount-ro", "image")
    broken = Point("drAlBlkSiz=0", None, pieces=((1044, bytes(4)),))
    found = sweeper.recordings.found[unit.event_id]
    assert isinstance(found, Recorded)
    points = {**found.points, "image": ((broken,), ())}
    sweeper.recordings.found[unit.event_id] = Recorded(points, 8.0)
    sweeper.run(sweeper.plan(unit))
    (case,) = ran
    assert case.id == "sweep-hfs-mount-ro-image-drAlBlkSiz=0"
    assert case.device.content is not None
    assert case.device.content.read(1044, 4) == bytes(4)
    assert case.steps[0].any_errno
    assert not any(step.armed for step in case.steps)
    # Control: the volume itself must mount.
    plain = sweeper.plan(SweepUnit("hfs", "mount-ro", "plain")).cases[0]
    assert (plain.device.pieces, plain.steps[0].any_errno) == ((), False)


def test_what_may_take_a_guest_down_shares_none_with_what_does_not() -> None:
    groups = {
        kind: SweepUnit("hfs", "mount-ro", kind).group
        for kind in ("plain", "alloc", "io", "call", "value", "image")
    }
    assert groups["plain"] == groups["alloc"] == groups["io"]
    assert len(set(groups.values())) == 4
