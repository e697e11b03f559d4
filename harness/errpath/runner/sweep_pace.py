"""How long a sweep still takes: by what its volumes usually take, and how fast this machine is."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from errpath.runner.sweep_units import SweepUnit

__all__ = ["Pace", "in_order", "usual_seconds"]

Group = TypeVar("Group", bound=Hashable)

# Seconds of one core without KVM that the six usual events of a filesystem's smallest volume take
# (docs/sweep.md), where they are far from what most take.
_SECONDS = {
    "btrfs": 200,
    "ext4": 38,
    "f2fs": 130,
    "gfs2": 360,
    "jfs": 42,
    "nilfs2": 23,
    "ntfs": 95,
    "ntfs3": 26,
    "ocfs2": 230,
    "ufs": 24,
    "xfs": 92,
}
_MOST = 7
_USUAL_EVENTS = 6
# Forced calls' part of it.
_FORCED = 0.4
# Groups that take longer than this begin before others.
_LONG = 15.0
# Seconds of usual speed that stand for a machine of which nothing is known yet.
_PRIOR = 10.0
# Of what should have been over by now, so much is still to come.
_LATE = 0.1


def usual_seconds(units: Sequence[SweepUnit]) -> float:
    """What units of one group usually take, seconds of one core."""
    whole = _SECONDS.get(units[0].filesystem, _MOST)
    forced = units[0].kind == "call"
    events = len({unit.event for unit in units})
    return whole * (_FORCED if forced else 1 - _FORCED) * events / _USUAL_EVENTS


def in_order(groups: Mapping[Group, float]) -> list[Group]:
    """The groups in the order in which they should begin: a long one that begins last has one
    processor work alone; one of the others is always under way, so that results come soon."""
    long = sorted((g for g in groups if groups[g] > _LONG), key=lambda g: -groups[g])
    rest = [group for group in groups if groups[group] <= _LONG]
    pairs = itertools.zip_longest(rest, long)
    return [group for pair in pairs for group in pair if group is not None]


class Pace(Generic[Group]):
    """The groups of one run. Threads may share it."""

    def __init__(
        self,
        groups: Mapping[Group, float],
        *,
        jobs: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`groups` has the usual seconds of each; `jobs` of them run at once."""
        self._groups = dict(groups)
        self._jobs = jobs
        self._clock = clock
        self._began: dict[Group, float] = {}
        # Seconds that those took that are over, and how many points they had.
        self._took: dict[Group, float] = {}
        self._points = 0
        self._lock = threading.Lock()

    def begin(self, group: Group) -> None:
        """Note that a group begins now."""
        with self._lock:
            self._began[group] = self._clock()

    def end(self, group: Group, points: int) -> None:
        """Note that a group is over now, and how many points it had."""
        with self._lock:
            self._took[group] = self._clock() - self._began[group]
            self._points += points

    @property
    def line(self) -> str:
        """How far the run is, such as `14 of 70 parts, 2312 points`."""
        return f"{len(self._took)} of {len(self._groups)} parts, {self._points} points"

    @property
    def left(self) -> float:
        """Seconds until all are over."""
        with self._lock:
            usual = sum(self._groups[group] for group in self._took)
            slower = (sum(self._took.values()) + _PRIOR) / (usual + _PRIOR)
            left = [
                self._remaining(group, seconds * slower)
                for group, seconds in self._groups.items()
                if group not in self._took
            ]
        return max(sum(left) / self._jobs, *left) if left else 0.0

    def _remaining(self, group: Group, seconds: float) -> float:
        if group not in self._began:
            return seconds
        return max(seconds - (self._clock() - self._began[group]), _LATE * seconds)
