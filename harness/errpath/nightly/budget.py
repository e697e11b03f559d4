"""The best use of a budget: what changed, what failed, then what was not run for longest."""

from __future__ import annotations

from errpath.nightly.plan import Unit
from errpath.results.run_records import UnitPast
from errpath.util.times import duration

__all__ = ["last_run", "worth"]


def worth(unit: Unit, past: UnitPast | None, *, harness: str, state: str) -> tuple[float, ...]:
    """The key by which units are started, the smallest first. `state` is of the unit's kernel as it
    is tonight, "" where that is not known.

    Kernels come first: only a kernel that is there can be compared with the one before, and one
    that has not changed is there at once. Repeats come last.
    """
    if unit.kind == "kernel":
        return (0,)
    if past is None:
        return (unit.repeat, 0, 0.0)
    changed = (past.harness, past.state) != (harness, state)
    rank = 0 if changed else 1 if past.failed else 2
    return (unit.repeat, rank, past.started)


def last_run(past: UnitPast | None, now: float) -> str:
    """When a unit last ran to its end, for readers."""
    return "never run" if past is None else f"last run {duration(now - past.started)} ago"
