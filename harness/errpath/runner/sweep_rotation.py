"""Rotation: of points that several events share, a part each day.

A sweep of every filesystem takes longer than one run may. Each distinct point, by the functions
that lead to it, runs in the first event that has it, whatever the day; in the other events it takes
turns, so that as many days as there are parts have all of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from errpath.errors import UsageError
from errpath.faults.points import Point

__all__ = ["AUTO", "Rotation", "parse_rotation"]

AUTO = "auto"
_NONE = "none"
# A week of nights has all points.
_PARTS = 7


@dataclass(frozen=True)
class Rotation:
    """The part of this run."""

    # From 1.
    part: int
    parts: int

    def __str__(self) -> str:
        return f"{self.part}/{self.parts}"

    def chosen(
        self, unit_id: str, points: Sequence[Point], earlier: Collection[str]
    ) -> tuple[Point, ...]:
        """The points of a unit that run; `earlier` are the names of those of the same kind in
        events before it."""
        return tuple(
            point
            for point in points
            if point.name not in earlier or self._has(f"{unit_id}-{point.name}")
        )

    def _has(self, case_id: str) -> bool:
        digest = hashlib.sha256(case_id.encode()).digest()
        return int.from_bytes(digest[:4], "big") % self.parts == self.part - 1


def parse_rotation(text: str, *, today: date, whole: bool) -> Rotation | None:
    """`3/7` → the third of seven parts; `none` → everything. `auto` is the part of the day where
    the `whole` is asked for, every filesystem and no event by name, else everything.

    Raises:
        UsageError: it is none of these.
    """
    if text in ("", AUTO):
        return Rotation(today.toordinal() % _PARTS + 1, _PARTS) if whole else None
    if text == _NONE:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(
            f"--rotation {text}: expected I/N with 1 <= I <= N, such as 3/7, {AUTO} or {_NONE}"
        )
    return Rotation(int(match[1]), int(match[2]))
