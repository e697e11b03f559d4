"""The runner over fake guests: every case gets exactly one verdict, whatever the others do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.runner.batch_runner import BatchRunner
from errpath.runner.result import Result
from errpath.runner.verdict import Status
from errpath.util.progress import silent
from suites.selftest.runner.fakes import Lab, case


def _run(lab: Lab, names: list[str], *, batch: int = 1024) -> dict[str, Result]:
    runner = BatchRunner(lab.boot, progress=silent(), batch=batch)
    try:
        return runner.run([case(name) for name in names])
    finally:
        runner.close()


def _statuses(results: dict[str, Result]) -> dict[str, Status]:
    return {name: result.verdict.status for name, result in results.items()}


NAMES = [f"case-{number}" for number in range(12)]


@given(
    crash=st.sets(st.sampled_from(NAMES)),
    hang=st.sets(st.sampled_from(NAMES)),
    leak=st.sets(st.sampled_from(NAMES)),
    batch=st.integers(1, 13),
)
def test_every_case_gets_the_verdict_that_it_deserves(
    crash: set[str], hang: set[str], leak: set[str], batch: int
) -> None:
    lab = Lab(crash=frozenset(crash), hang=frozenset(hang), leak=frozenset(leak))
    found = _statuses(_run(lab, NAMES, batch=batch))
    # A guest that is gone without a word of its kernel is an infrastructure error.
    expected = {
        name: Status.ERROR if name in crash else Status.FAIL if name in hang | leak else Status.PASS
        for name in NAMES
    }
    assert found == expected
    assert lab.closed == lab.boots, "a guest was left running"


@given(crash=st.sets(st.sampled_from(NAMES), max_size=6))
def test_a_lost_guest_costs_the_others_one_more_run_at_most(crash: set[str]) -> None:
    lab = Lab(crash=frozenset(crash))
    _run(lab, NAMES)
    runs = [name for _, name in lab.ran]
    assert all(runs.count(name) == 4 for name in crash)
    assert all(runs.count(name) <= 2 for name in NAMES if name not in crash)


def test_a_guest_of_its_own_for_every_case() -> None:
    lab = Lab()
    _run(lab, NAMES, batch=1)
    assert [number for number, _ in lab.ran] == list(range(1, len(NAMES) + 1))


def test_no_canary_no_verdict() -> None:
    lab = Lab(sees=False)
    assert set(_statuses(_run(lab, NAMES)).values()) == {Status.ERROR}


def test_a_leak_without_a_name_is_found_by_halving() -> None:
    lab = Lab(stray=frozenset({"case-7"}))
    found = _statuses(_run(lab, NAMES))
    assert [name for name, status in found.items() if status is Status.FAIL] == ["case-7"]


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        BatchRunner(Lab().boot, progress=silent(), batch=0)
