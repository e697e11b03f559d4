"""The scheduler: limits, failures, deadlines, and nothing left running, with fakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.nightly.job import JobKernel
from errpath.nightly.plan import Limits, Unit
from errpath.nightly.schedule import Ended, Schedule, estimate_left
from errpath.results.records import TrackRecord
from errpath.util.deadline import Deadline
from suites.selftest.nightly.fakes import Deed, FakeClock, FakeLauncher

_TRACK = TrackRecord("j", "k", "g", "s")
_LIMITS = Limits(2, 1000)


def _unit(
    id: str,
    *needs: str,
    cores: int = 1,
    memory: int = 100,
    seconds: float = 100.0,
) -> Unit:
    return Unit(id, "suite", _TRACK, JobKernel("k", "x"), needs, cores, memory, seconds)


def _run(
    tmp_path: Path,
    units: list[Unit],
    deeds: dict[str, Deed] | None = None,
    *,
    limits: Limits = _LIMITS,
    deadline: Callable[[FakeClock], Deadline] | None = None,
) -> tuple[FakeLauncher, dict[str, Ended]]:
    launcher = FakeLauncher(tmp_path, {"suite": Deed(), **(deeds or {})})
    ended: dict[str, Ended] = {}

    def report(end: Ended) -> bool:
        ended[end.unit.id] = end
        return end.how == "done" and end.status == 0

    clock = launcher.clock
    schedule = Schedule(
        launcher, limits, deadline(clock) if deadline else None, report, clock=clock
    )
    schedule.run(units)
    assert not launcher.alive
    return launcher, ended


def test_everything_runs_after_what_it_needs(tmp_path: Path) -> None:
    launcher, ended = _run(tmp_path, [_unit("b", "a"), _unit("c", "b"), _unit("a")])
    assert launcher.started == ["a", "b", "c"]
    assert {end.how for end in ended.values()} == {"done"}


@pytest.mark.parametrize(
    ("limits", "cores", "memory", "most"),
    [
        (Limits(4, 1000), 1, 100, 4),
        (Limits(4, 1000), 2, 100, 2),
        (Limits(4, 1000), 1, 400, 2),
        # Larger than the machine: alone, rather than never.
        (Limits(1, 50), 3, 100, 1),
    ],
)
def test_limits(tmp_path: Path, limits: Limits, cores: int, memory: int, most: int) -> None:
    units = [_unit(str(n), cores=cores, memory=memory) for n in range(6)]
    launcher, ended = _run(tmp_path, units, limits=limits)
    assert len(ended) == 6
    assert launcher.most == most


def test_repeats_come_last_and_long_ones_first(tmp_path: Path) -> None:
    units = [replace(_unit(f"{n}.{r}"), repeat=r) for n in "abc" for r in (2, 1)]
    launcher = FakeLauncher(tmp_path, {"suite": Deed()})
    past = {"a.1": (1.0,), "b.1": (9.0,), "c.1": (5.0,)}
    schedule = Schedule(
        launcher, Limits(1, 1000), None, lambda _: True, clock=launcher.clock, past=past
    )
    schedule.run(units)
    assert launcher.started == ["b.1", "c.1", "a.1", "a.2", "b.2", "c.2"]


def test_a_failure_costs_only_what_needs_it(tmp_path: Path) -> None:
    units = [_unit("bad"), _unit("x", "bad"), _unit("y", "x"), _unit("good"), _unit("z", "good")]
    _, ended = _run(tmp_path, units, {"bad": Deed(status=3)})
    assert {id: end.how for id, end in ended.items()} == {
        "bad": "failed",
        "x": "blocked",
        "y": "blocked",
        "good": "done",
        "z": "done",
    }
    assert ended["x"].detail == "bad did not end well"


def test_what_hangs_is_given_up(tmp_path: Path) -> None:
    """The clock stands still but for what the other unit takes."""
    deeds = {"hung": Deed(status=None), "long": Deed(seconds=200.0)}
    units = [_unit("hung"), _unit("long", seconds=1000.0), _unit("next", "long")]
    _, ended = _run(tmp_path, units, deeds)
    assert ended["hung"].how == "late"
    assert ended["hung"].detail == "did not end within 1.66667 min"
    assert ended["next"].how == "done"


def test_the_deadline_cuts(tmp_path: Path) -> None:
    deeds = {"hung": Deed(status=None), "long": Deed(seconds=50.0)}
    units = [_unit("hung"), _unit("long"), _unit("never", "hung")]
    _, ended = _run(
        tmp_path, units, deeds, deadline=lambda clock: Deadline.after(40.0, "x", clock=clock)
    )
    assert {id: end.how for id, end in ended.items()} == {
        "hung": "cut",
        "long": "done",
        "never": "cut",
    } or ended["long"].how == "cut"
    assert ended["never"].detail == "time was up before it began"


def test_whatever_happens_nothing_is_left(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    launcher = FakeLauncher(tmp_path, {"a": Deed(status=None), "b": Deed(first=interrupt)})
    schedule = Schedule(launcher, Limits(2, 1000), None, lambda _: True, clock=launcher.clock)
    with pytest.raises(KeyboardInterrupt):
        schedule.run([_unit("a"), _unit("b")])
    assert launcher.started == ["a"]
    assert not launcher.alive


def test_estimates() -> None:
    past = {"a": (10.0, 12.0, 11.0), "b": (40.0,), "c": (30.0,)}
    one, two = Limits(1, 1000), Limits(2, 1000)
    units = [_unit("a"), _unit("b"), _unit("c")]
    assert estimate_left(units, {}, past, one) == (81.0, 0)
    assert estimate_left(units, {}, past, two) == (41.0, 0)
    # What is needed first counts, and so does what runs.
    assert estimate_left([_unit("c", "a")], {_unit("b"): 15.0}, past, two) == (30.0, 0)
    chained = [_unit("a", cores=2), _unit("b", "a"), _unit("c", "a")]
    assert estimate_left(chained, {}, past, two) == (51.0, 0)
    # Longer than ever before: a tenth more, not nothing.
    assert estimate_left([], {_unit("b"): 100.0}, past, two) == (10.0, 0)
    # Nothing is made up for what never ran.
    assert estimate_left([_unit("new")], {}, past, two) == (0.0, 1)


def _budget(
    tmp_path: Path, units: list[Unit], past: Mapping[str, tuple[float, ...]], left: float
) -> tuple[FakeLauncher, dict[str, Ended]]:
    launcher = FakeLauncher(tmp_path, {"suite": Deed(seconds=30.0), "kernel": Deed(seconds=5.0)})
    ended: dict[str, Ended] = {}

    def report(end: Ended) -> bool:
        ended[end.unit.id] = end
        return end.how == "done"

    schedule = Schedule(
        launcher,
        Limits(1, 1000),
        Deadline.after(left, "x", clock=launcher.clock),
        report,
        clock=launcher.clock,
        past=past,
        worth=lambda unit: (float(units.index(unit)),),
    )
    schedule.run(units)
    assert not launcher.alive
    return launcher, ended


def test_with_a_budget_the_worth_is_the_order_and_nothing_is_begun_in_vain(tmp_path: Path) -> None:
    units = [_unit("a"), _unit("b"), _unit("c")]
    past = {"a": (30.0,), "b": (300.0,), "c": (30.0,)}
    launcher, ended = _budget(tmp_path, units, past, 100.0)
    assert launcher.started == ["a", "c"]
    assert (ended["b"].how, ended["b"].began) == ("cut", False)
    assert ended["b"].detail == "it takes about 5 min, more than there was left"


def test_what_takes_more_than_all_of_a_budget_gets_all_of_it_in_its_turn(tmp_path: Path) -> None:
    units = [replace(_unit("k"), kind="kernel"), _unit("b", "k"), _unit("a", "k")]
    launcher, _ = _budget(tmp_path, units, {"k": (5.0,), "a": (30.0,), "b": (300.0,)}, 100.0)
    assert launcher.started[:2] == ["k", "b"]


def test_what_never_ran_is_begun(tmp_path: Path) -> None:
    launcher, _ = _budget(tmp_path, [_unit("a"), _unit("b")], {"a": (30.0,)}, 100.0)
    assert launcher.started == ["a", "b"]
