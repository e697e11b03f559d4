"""Timers that cases leave armed, in the simulated guest."""

from __future__ import annotations

from pathlib import Path

from errpath.cases.case import MountCase
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.result import Result
from errpath.runner.verdict import Status
from errpath.util.progress import silent
from suites.selftest.runner.simguest import SimChannel, World, make_case


def _run(world: World, cases: list[MountCase]) -> dict[str, Result]:
    runner = BatchRunner(world.boot, progress=silent())
    try:
        return runner.run(cases)
    finally:
        runner.close()
        assert world.open == 0


def _failed(results: dict[str, Result]) -> set[str]:
    assert {one.verdict.status for one in results.values()} <= {Status.PASS, Status.FAIL}
    return {name for name, one in results.items() if one.verdict.status is Status.FAIL}


def test_what_fires_without_harm_costs_its_time_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    results = _run(world, [make_case("a", "id=a"), make_case("b", "arms=5"), make_case("c", "")])
    assert not _failed(results)
    assert len(world.ran) == 3
    assert world.boots == 1


def test_a_timer_in_freed_memory_is_its_case(tmp_path: Path) -> None:
    world = World(tmp_path)
    cases = [make_case("a", "id=a"), make_case("b", "arms=5,freed"), make_case("c", "arms=3")]
    results = _run(world, cases)
    assert _failed(results) == {"b"}
    (failure,) = results["b"].verdict.failures
    assert failure.title.startswith("kernel panic")
    assert "printed after the case" in failure.detail


def test_many_of_a_kind_are_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    cases = [make_case(f"a{number}", f"arms=5,freed,id={number}") for number in range(20)]
    cases.append(make_case("b", "id=b"))
    assert _failed(_run(world, cases)) == {case.id for case in cases[:-1]}
    # All together, three by themselves, the others together again, and the one that armed nothing.
    assert world.boots == 6


def test_what_is_due_too_late_is_not_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert not _failed(_run(world, [make_case("a", "arms=60,freed")]))


def test_a_report_with_nothing_armed_any_more_is_its_case(tmp_path: Path) -> None:
    """The work has fired between the last case and the question what is armed."""
    world = World(tmp_path)
    cases = [make_case(f"a{number}", f"id={number}") for number in range(4)]
    results = _run(world, [*cases, make_case("b", "worker-warns")])
    assert _failed(results) == {"b"}
    (failure,) = results["b"].verdict.failures
    assert failure.title.startswith("WARNING in generic_shutdown_super")
    assert "printed after the case" in failure.detail


def test_a_report_that_no_case_shows_again_is_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    runner = BatchRunner(world.boot, progress=silent())
    results = runner.run([make_case("a", "id=a"), make_case("b", "worker-warns,once")])
    runner.close()
    assert not _failed(results)
    (note,) = runner.notes
    assert note == (
        "WARNING in generic_shutdown_super: reported after the last of 2 cases, a to b, and by "
        "none of them by itself"
    )


def test_a_thread_that_stands_still_behind_the_cases_blames_none(tmp_path: Path) -> None:
    world = World(tmp_path)

    def stall(channel: SimChannel, _request: object, _answer: object) -> dict[str, str]:
        channel.show("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:")
        return {}

    world.on_case = stall
    results = _run(world, [make_case("a", "id=a"), make_case("b", "id=b")])
    assert {one.verdict.status for one in results.values()} == {Status.ERROR}


def test_a_crash_in_the_leak_check_is_its_case(tmp_path: Path) -> None:
    world = World(tmp_path)
    cases = [make_case(f"a{number}", f"id={number}") for number in range(3)]
    results = _run(world, [*cases, make_case("b", "scan"), make_case("c", "id=c")])
    assert _failed(results) == {"b"}
    assert results["b"].verdict.failures[0].title.startswith("kernel panic")
