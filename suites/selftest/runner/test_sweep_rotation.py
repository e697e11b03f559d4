"""Rotation: which points run on which day."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from errpath.errors import UsageError
from errpath.faults.model import Alloc
from errpath.faults.points import Point
from errpath.runner.sweep_rotation import Rotation, parse_rotation

_POINTS = [Point(f"fill>get#{number}", Alloc(nth=number)) for number in range(1, 201)]
_DAY = date(2026, 11, 26)


def test_every_point_that_no_earlier_event_has_runs_on_every_day() -> None:
    for part in range(1, 8):
        assert Rotation(part, 7).chosen("unit", _POINTS, frozenset()) == tuple(_POINTS)


def test_each_shared_point_has_its_turn_once_in_as_many_days_as_there_are_parts() -> None:
    shared = {point.name for point in _POINTS[20:]}
    days = [Rotation(part, 7).chosen("unit", _POINTS, shared) for part in range(1, 8)]
    for day in days:
        assert set(_POINTS[:20]) <= set(day)
        assert 20 < len(day) < 100
    assert sorted(p.name for day in days for p in day if p.name in shared) == sorted(shared)
    # Another event has another order.
    assert days[0] != Rotation(1, 7).chosen("other", _POINTS, shared)


def test_seven_days_have_all_seven_parts() -> None:
    days = [_DAY + timedelta(number) for number in range(7)]
    parts = {parse_rotation("auto", today=day, whole=True) for day in days}
    assert parts == {Rotation(part, 7) for part in range(1, 8)}


def test_only_a_run_over_everything_takes_turns_by_itself() -> None:
    assert parse_rotation("", today=_DAY, whole=False) is None
    assert parse_rotation("none", today=_DAY, whole=True) is None
    assert parse_rotation("2/3", today=_DAY, whole=False) == Rotation(2, 3)


@pytest.mark.parametrize("text", ["0/7", "8/7", "x", "1", "1/0"])
def test_what_is_no_rotation_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=rf"--rotation {text}: expected I/N with 1 <= I <= N"):
        parse_rotation(text, today=_DAY, whole=True)
