"""Timers that cases leave armed, in the simulated guest."""

from __future__ import annotations

from pathlib import Path

from errpath.cases.case import MountCase
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.result import Result
from errpath.runner.verdict import Status
from errpath.util.progress import silent
from suites.selftest.runner.simguest import World, make_case


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
