"""Deadlines: one clock reading, made once."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.util.deadline import Deadline


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_counts_down_and_stops_at_nothing() -> None:
    clock = _Clock()
    deadline = Deadline.after(2.5, "the agent", clock=clock)
    assert deadline.remaining == 2.5
    clock.now += 2.0
    assert (deadline.expired, deadline.remaining) == (False, 0.5)
    clock.now += 0.5
    assert (deadline.expired, deadline.remaining) == (True, 0.0)
    clock.now += 1000
    assert deadline.remaining == 0.0


def test_says_what_is_waited_for_and_how_long() -> None:
    assert str(Deadline.after(2.5, "the agent's first word")) == "the agent's first word (2.5 s)"
    assert str(Deadline.after(60, "x")) == "x (60 s)"


@pytest.mark.parametrize("seconds", [-1.0, -1e-9, math.nan])
def test_refuses_what_is_no_duration(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"deadline for boot: expected seconds >= 0"):
        Deadline.after(seconds, "boot")


@given(seconds=st.floats(0, 1e6), passed=st.lists(st.floats(0, 1e5), max_size=5))
def test_remaining_never_grows_and_never_lies(seconds: float, passed: list[float]) -> None:
    clock = _Clock()
    deadline = Deadline.after(seconds, "x", clock=clock)
    before = deadline.remaining
    for step in passed:
        clock.now += step
        assert 0 <= deadline.remaining <= before
        assert deadline.expired == (deadline.remaining == 0)
        before = deadline.remaining
