"""The runner over fake guests: every case gets exactly one verdict, whatever the others do."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.runner.batch_runner import BatchRunner
from errpath.runner.result import Result
from errpath.runner.verdict import Status
from errpath.util.progress import silent
from suites.selftest.runner.simguest import World, make_case


def _run(
    world: World, names: list[str], *, batch: int = 1024, **does: Iterable[str]
) -> dict[str, Result]:
    """Run cases; `does` has the names of those that do a thing, in the words of simguest."""
    words = {name: [f"id={name}"] for name in names}
    for word, some in does.items():
        for name in some:
            words[name].append(_WORDS[word])
    cases = [make_case(name, ",".join(words[name]), expect="", fault="") for name in names]
    runner = BatchRunner(world.boot, progress=silent(), batch=batch)
    try:
        return runner.run(cases)
    finally:
        runner.close()


def _names(world: World) -> list[str]:
    """What ran, in order."""
    return [words.split(",")[0].removeprefix("id=") for words, _ in world.ran]


def _statuses(results: dict[str, Result]) -> dict[str, Status]:
    return {name: result.verdict.status for name, result in results.items()}


NAMES = [f"case-{number}" for number in range(12)]
_WORDS = {"vanish": "vanish", "hang": "hang", "leak": "leak=512", "stray": "worker=64"}


@given(
    crash=st.sets(st.sampled_from(NAMES)),
    hang=st.sets(st.sampled_from(NAMES)),
    leak=st.sets(st.sampled_from(NAMES)),
    batch=st.integers(1, 13),
)
def test_every_case_gets_the_verdict_that_it_deserves(
    crash: set[str], hang: set[str], leak: set[str], batch: int
) -> None:
    world = World()
    found = _statuses(_run(world, NAMES, batch=batch, vanish=crash, hang=hang, leak=leak))
    # A guest that is gone without a word of its kernel is an infrastructure error.
    expected = {
        name: Status.ERROR if name in crash else Status.FAIL if name in hang | leak else Status.PASS
        for name in NAMES
    }
    assert found == expected
    assert world.open == 0, "a guest was left running"


@given(crash=st.sets(st.sampled_from(NAMES), max_size=6))
def test_a_lost_guest_costs_the_others_one_more_run_at_most(crash: set[str]) -> None:
    world = World()
    _run(world, NAMES, vanish=crash)
    runs = _names(world)
    assert all(runs.count(name) == 4 for name in crash)
    assert all(runs.count(name) <= 2 for name in NAMES if name not in crash)


def test_a_guest_of_its_own_for_every_case() -> None:
    world = World()
    _run(world, NAMES, batch=1)
    assert [number for _, number in world.ran] == list(range(1, len(NAMES) + 1))


def test_no_canary_no_verdict() -> None:
    world = World(sheaves=True)
    assert set(_statuses(_run(world, NAMES)).values()) == {Status.ERROR}


def test_a_leak_without_a_name_is_found_by_halving() -> None:
    found = _statuses(_run(World(), NAMES, stray={"case-7"}))
    assert [name for name, status in found.items() if status is Status.FAIL] == ["case-7"]


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        BatchRunner(World().boot, progress=silent(), batch=0)
