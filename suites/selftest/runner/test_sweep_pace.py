"""Time left of a sweep, on a clock that the test moves."""

from __future__ import annotations

import itertools
import random

import pytest

from errpath.runner.sweep_pace import Pace, in_order, usual_seconds
from errpath.runner.sweep_units import SweepUnit


def _units(filesystem: str, kind: str, *events: str) -> list[SweepUnit]:
    return [SweepUnit(filesystem, event, kind) for event in events]


def test_what_a_volume_usually_takes_grows_with_its_events() -> None:
    few = usual_seconds(_units("ext4", "alloc", "mount-ro"))
    assert usual_seconds(_units("ext4", "alloc", "mount-ro", "umount")) == pytest.approx(2 * few)
    assert usual_seconds(_units("ext4", "call", "mount-ro")) < few
    assert few > usual_seconds(_units("hfs", "alloc", "mount-ro"))


def test_long_groups_begin_early_and_short_ones_beside_them() -> None:
    groups = {"a": 5.0, "b": 40.0, "c": 5.0, "d": 90.0}
    assert in_order(groups) == ["a", "d", "c", "b"]


@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_time_left_is_true_within_a_factor_of_two(speed: float, jobs: int) -> None:
    """Once a fifth of it is done; what each group takes is off by up to half."""
    chance = random.Random(7)
    usual = {f"group-{number}": chance.choice([3.0, 6.0, 9.0, 40.0]) for number in range(40)}
    takes = {name: speed * one * chance.uniform(0.7, 1.5) for name, one in usual.items()}
    now = 0.0
    pace: Pace[str] = Pace(usual, jobs=jobs, clock=lambda: now)
    waiting = iter(in_order(usual))
    running: list[tuple[float, str]] = []
    ends: list[tuple[float, float]] = []
    for name in itertools.islice(waiting, jobs):
        pace.begin(name)
        running.append((takes[name], name))
    while running:
        now, name = min(running)
        running.remove((now, name))
        pace.end(name, 10)
        for fresh in itertools.islice(waiting, 1):
            pace.begin(fresh)
            running.append((now + takes[fresh], fresh))
        ends.append((now, pace.left))
    assert pace.line == "40 of 40 parts, 400 points"
    assert pace.left == 0.0
    whole = ends[-1][0]
    for then, left in ends:
        if 0.2 * whole < then < 0.9 * whole:
            assert 0.5 < left / (whole - then) < 2.0
