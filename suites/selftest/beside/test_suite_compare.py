"""Two kernels under a suite: what is said of a test, and how often it is run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from errpath.analysis.compare.judge import State
from errpath.beside.suite_compare import compare, judge, table
from errpath.oracles.failure import TEST, Failure
from errpath.results.records import CaseRecord, CaseStatus

_PASS = CaseRecord("t", CaseStatus.PASS)
_SKIP = CaseRecord("t", CaseStatus.SKIP, ("no such feature",))
_ERROR = CaseRecord("t", CaseStatus.ERROR, ("canary",))


def _fail(why: str = "output mismatch") -> CaseRecord:
    return CaseRecord("t", CaseStatus.FAIL, (why,), failures=(Failure(TEST, why),))


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        ([_PASS], [_PASS], State.CLEAN),
        ([_fail()] * 3, [_PASS] * 3, State.FIXED),
        ([_PASS] * 3, [_fail()] * 3, State.REGRESSED),
        ([_fail()], [_fail()], State.STILL),
        ([_SKIP], [_SKIP], State.NOT_RUN),
        ([_fail()], [_ERROR], State.NOT_RUN),
        # Not in every run: neither fixed nor broken.
        ([_fail(), _PASS, _fail()], [_PASS] * 3, State.STILL),
        ([_PASS] * 3, [_fail(), _PASS, _PASS], State.STILL),
        # What had no verdict in one run counts in the others.
        ([_fail(), _ERROR, _fail()], [_PASS, _PASS, _ERROR], State.FIXED),
    ],
)
def test_states(before: Sequence[CaseRecord], after: Sequence[CaseRecord], state: State) -> None:
    assert judge("generic/001", before, after).state is state


def test_another_failure_is_named() -> None:
    pair = judge("generic/001", [_fail("a")] * 3, [_fail("b")] * 3)
    assert (pair.state, pair.note) == (State.STILL, "a before, now b")


def test_what_differs_is_run_again_on_both() -> None:
    calls = {"before": 0, "after": 0}

    def before(test: str, _: Sequence[str]) -> CaseRecord:
        calls["before"] += 1
        return _fail() if test == "b" else _PASS

    answers = itertools.cycle([_PASS])

    def after(_: str, __: Sequence[str]) -> CaseRecord:
        calls["after"] += 1
        return next(answers)

    pairs = compare(["a", "b"], before, after, repeats=2)
    assert calls == {"before": 4, "after": 4}
    assert [pair.state for pair in pairs] == [State.CLEAN, State.FIXED]
    assert [pair.counts for pair in pairs] == ["0/1 0/1", "3/3 0/3"]
    lines = table(pairs).splitlines()
    assert lines == ["FIXED        b  3/3 0/3  output mismatch", "FIXED 1, CLEAN 1"]
