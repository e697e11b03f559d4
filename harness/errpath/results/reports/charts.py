"""The geometry of the small charts of the HTML pages: cases and durations of past nights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from errpath.results.triage import RunSummary

__all__ = ["BarChart", "LineChart", "bar_chart", "line_chart"]

# Units of the drawing, about pixels: from one night to the next, and from zero to the most.
_STEP, _HEIGHT = 18, 70
# So that the words below a chart of few nights have room.
_WIDTH_LEAST = 160


@dataclass(frozen=True)
class Bar:
    """A night's cases: failing on top of the others."""

    name: str
    failing: int
    others: int
    x: int
    width: int
    low_top: float
    low: float
    high_top: float
    high: float


@dataclass(frozen=True)
class BarChart:
    """Cases of some nights."""

    width: int
    height: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Point:
    """A night's duration."""

    name: str
    seconds: float
    x: int
    y: float


@dataclass(frozen=True)
class LineChart:
    """Durations of some nights, and the longest of them in seconds."""

    width: int
    height: int
    points: tuple[Point, ...]
    most: float


def bar_chart(runs: Sequence[RunSummary]) -> BarChart:
    """How many cases failed, and how many others ran; at least one run."""
    counts = [(run.id, run.failing, max(run.cases - run.failing, 0)) for run in runs]
    most = max(failing + others for _, failing, others in counts) or 1
    bars = []
    for number, (name, failing, others) in enumerate(counts):
        low = others / most * _HEIGHT
        # What failed can be seen, however few.
        high = max(failing / most * _HEIGHT, 2.0 if failing else 0.0)
        top = _HEIGHT - low
        x = number * _STEP + 2
        bars.append(Bar(name, failing, others, x, _STEP - 4, top, low, max(top - high, 0), high))
    return BarChart(_width(len(runs)), _HEIGHT, tuple(bars))


def line_chart(runs: Sequence[RunSummary]) -> LineChart:
    """How long they took, from zero; at least one run."""
    most = max(run.seconds for run in runs) or 1.0
    points = tuple(
        Point(
            run.id,
            run.seconds,
            number * _STEP + _STEP // 2,
            _HEIGHT - run.seconds / most * (_HEIGHT - 8),
        )
        for number, run in enumerate(runs)
    )
    return LineChart(_width(len(runs)), _HEIGHT, points, most)


def _width(nights: int) -> int:
    return max(nights * _STEP, _WIDTH_LEAST)
