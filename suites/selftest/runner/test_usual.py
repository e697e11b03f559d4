"""A kernel on which nearly everything goes wrong in one way: few guests, and every verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from errpath.cases.case import MountCase, Outcome
from errpath.oracles.failure import HANG, OOPS, Failure
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.result import Result
from errpath.runner.usual import PATIENCE, UsualFailures
from errpath.runner.verdict import Status, Verdict, judge
from errpath.util.progress import silent
from suites.selftest.runner.simguest import SimChannel, World, make_case


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    assert made.open == 0


def _statuses(world: World, cases: list[MountCase], first: int | None = None) -> dict[str, Status]:
    runner = BatchRunner(world.boot, progress=silent(), first=first)
    published: dict[str, Result] = {}

    def publish(results: Mapping[str, Result]) -> None:
        assert not published.keys() & results.keys()
        published.update(results)

    try:
        results = runner.run(cases, publish)
    finally:
        runner.close()
    assert published == results
    return {name: result.verdict.status for name, result in results.items()}


def _mixed(does: str, count: int = 100) -> list[MountCase]:
    """Every tenth case is sound."""
    return [make_case(f"c{n}", f"n={n}," + ("" if n % 10 == 9 else does)) for n in range(count)]


@pytest.mark.parametrize("does", ["hang", "oops"])
def test_what_is_usual_takes_few_guests(world: World, does: str) -> None:
    statuses = _statuses(world, _mixed(does))
    failed = [name for name, status in statuses.items() if status is Status.FAIL]
    assert len(failed) == 90
    assert {statuses[f"c{n}"] for n in range(9, 100, 10)} == {Status.PASS}
    # Three that show what is usual, two that hold 64 at most each, and one for what is sound.
    assert world.boots == 6
    # What is sound was not believed beside the others, and has run again by itself.
    assert {world.runs(f"n={n}") for n in range(9, 100, 10)} == {2}
    assert {world.runs(f"n={n},{does}") for n in range(80) if n % 10 != 9} == {1}


def test_another_failure_is_not_taken_for_the_usual_one(world: World) -> None:
    """Beside hung tasks, an oops may come of them: it has a guest of its own."""
    cases = [make_case(f"h{n}", f"n={n},hang") for n in range(8)]
    cases[6:6] = [make_case("o", "oops"), make_case("leaks", "leak=64")]
    statuses = _statuses(world, cases)
    assert set(statuses.values()) == {Status.FAIL}
    boots = dict.fromkeys(number for words, number in world.ran if words == "oops")
    assert len(boots) == 2
    last = max(boots)
    assert [words for words, number in world.ran if number == last] == ["oops"]


def test_a_few_failures_are_never_usual(world: World) -> None:
    cases = [make_case(f"c{n}", "hang" if n < 3 else "") for n in range(9)]
    statuses = _statuses(world, cases)
    assert list(statuses.values()).count(Status.FAIL) == 3
    assert {world.runs("hang")} == {3}


def test_the_first_batch_is_small(world: World) -> None:
    statuses = _statuses(world, [make_case(f"c{n}", f"n={n}") for n in range(40)], first=8)
    assert set(statuses.values()) == {Status.PASS}
    # One guest for both: what passed leaves nothing.
    assert world.boots == 1


def test_a_guest_that_waits_longer_than_is_needed_is_left(world: World) -> None:
    """Another runner of the same kernel finds out what is usual, while a case hangs here."""
    usual = UsualFailures()
    waited: list[int] = []

    def hang(channel: SimChannel, arguments: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        if not values.get("hung"):
            return {}
        patience = arguments["patience_ms"]
        outcome = Outcome("t", 1, hung=True, stack=values["stack"], stood_still=patience / 1000)
        for _ in range(3 if not waited else 0):
            usual.note(judge(make_case("other"), outcome, None))
        waited.append(patience)
        return {"stood_still_ms": patience}

    world.on_case = hang
    runner = BatchRunner(world.boot, progress=silent(), usual=usual)
    try:
        results = runner.run([make_case(f"c{n}", "hang") for n in range(6)])
    finally:
        runner.close()
    assert {one.verdict.status for one in results.values()} == {Status.FAIL}
    assert waited[0] == PATIENCE * 1000
    assert len(waited) == 6
    assert max(waited[1:]) < PATIENCE * 100
    assert world.boots == 2


def _took(seconds: float) -> Outcome:
    return Outcome("t", 1, seconds=seconds)


def _verdict(*failures: Failure) -> Verdict:
    return Verdict(make_case("c"), Status.FAIL, failures)


_HANG = Failure(HANG, "INFO: task hung in f", functions=("f", "g", "h", "mount"))


def test_patience_follows_what_sound_cases_take() -> None:
    usual = UsualFailures()
    assert usual.patience == usual.needed(_verdict(_HANG)) == PATIENCE
    for _ in range(3):
        assert not usual.knows(_verdict(_HANG))
        usual.note_healthy(_took(0.01))
        usual.note(_verdict(_HANG))
    assert usual.knows(_verdict(_HANG))
    assert usual.patience == pytest.approx(0.02)
    for _ in range(9):
        usual.note_healthy(_took(5.0))
    assert usual.patience == PATIENCE


def test_where_one_has_hung_others_are_waited_for_more_briefly() -> None:
    usual = UsualFailures()
    usual.note(_verdict(_HANG))
    assert 0 < usual.patience == usual.needed(_verdict(_HANG)) < PATIENCE / 4
    # Another system call that mounts, and another place.
    same = _verdict(replace(_HANG, functions=("f", "g", "h", "fsconfig")))
    other = _verdict(replace(_HANG, functions=("f", "g", "i", "mount")))
    assert usual.needed(same) == usual.patience
    assert usual.needed(other) == PATIENCE
    usual.note(same)
    usual.note(same)
    assert usual.needed(same) == 0
    assert usual.needed(other) == PATIENCE


def test_what_is_no_hang_takes_nobodys_time() -> None:
    usual = UsualFailures()
    for _ in range(4):
        usual.note(_verdict(Failure(OOPS, "Oops in f")))
    assert usual.knows(_verdict(Failure(OOPS, "Oops in f")))
    assert usual.patience == PATIENCE
