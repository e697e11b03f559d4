"""Attribution of resource counts: what each case changed of what the kernel counts. Pure.

After every case the agent reports what has changed (guests/agent/counts.c): allocations by their
place as differences, other sources as they are now. A count that rises with a case and never comes
back, not even when the kernel has settled after the last of them, was kept by that case: what is on
its way back, such as memory that waits for RCU, comes back with a later one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from errpath.oracles.resources import MODULES, Resource, read_source

__all__ = ["kept"]

# The source that reports differences.
_DIFFERENCES = "allocations"
# What a source said, by its key.
_Report = Mapping[str, str]
# (case, change), in the order of the cases.
_Changes = list[tuple[int, int]]


def kept(
    before: _Report, cases: Iterable[_Report], settled: _Report
) -> tuple[Mapping[Resource, int], ...]:
    """What each of the cases has kept, by what was reported before the first of them, after each,
    and once the kernel had settled. Less than 0 for references to modules that were given back too
    often."""
    reports = [*cases, settled]
    kept: tuple[dict[Resource, int], ...] = tuple({} for _ in reports)
    for resource, changes in _changes(before, reports).items():
        if resource.oracle != MODULES:
            for at, count in _lasting(changes):
                kept[at][resource] = count
            continue
        for sign in (1, -1):
            for at, count in _lasting(_beyond(changes, sign)):
                kept[at][resource] = sign * count
    # What rises with the settling itself is none of theirs.
    return kept[:-1]


def _changes(before: _Report, reports: Sequence[_Report]) -> dict[Resource, _Changes]:
    """Where each count changed, and by how much."""
    last = {key: read_source(key, text) for key, text in before.items() if key != _DIFFERENCES}
    found: dict[Resource, _Changes] = {}
    for at, sources in enumerate(reports):
        for key, text in sources.items():
            now = read_source(key, text)
            differences = now if key == _DIFFERENCES else _differences(last.get(key, {}), now)
            for resource, change in differences.items():
                if change:
                    found.setdefault(resource, []).append((at, change))
            if key != _DIFFERENCES:
                last[key] = now
    return found


def _differences(
    last: Mapping[Resource, int], now: Mapping[Resource, int]
) -> Mapping[Resource, int]:
    return {one: now.get(one, 0) - last.get(one, 0) for one in {*last, *now}}


def _beyond(changes: _Changes, sign: int) -> _Changes:
    """Changes of how far a count is above where it began, or below: what rises from below to there
    is no rise."""
    found = []
    level = 0
    for at, change in changes:
        now = level + sign * change
        found.append((at, max(0, now) - max(0, level)))
        level = now
    return found


def _lasting(changes: Sequence[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """The rises that no later fall takes back: each with the part of it that stays."""
    # From the end: the least that the count comes down to from there on.
    level = sum(change for _, change in changes)
    least = level
    lasting = []
    for at, change in reversed(changes):
        level -= change
        if level < least:
            lasting.append((at, least - level))
            least = level
    return reversed(lasting)
