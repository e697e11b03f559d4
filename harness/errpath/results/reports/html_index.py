"""The page over all runs: one line each, the latest first, and what changed over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from errpath.results.regression import Kind
from errpath.results.reports.charts import BarChart, LineChart, bar_chart, line_chart
from errpath.results.reports.page import render_page
from errpath.results.triage import RunSummary

__all__ = ["render_index"]

# So many nights are drawn; the table holds them all.
_DRAWN = 60


@dataclass(frozen=True)
class _Job:
    """The runs of one job, the latest first; charts where there is something to compare."""

    name: str
    runs: tuple[RunSummary, ...]
    cases: BarChart | None
    seconds: LineChart | None

    @property
    def words(self) -> str:
        new = self._new
        return f"{new} new failure{'s' * (new != 1)}" if new else "no new failures"

    @property
    def style(self) -> str:
        return "bad" if self._new else "" if self.runs[0].status == "complete" else "partial"

    @property
    def _new(self) -> int:
        return self.runs[0].counts.get(Kind.NEW_FAILURE.value, 0)


def render_index(runs: Sequence[RunSummary], *, there: frozenset[str]) -> str:
    """`runs` with the latest first; those in `there` still have their page."""
    names = dict.fromkeys(run.job for run in runs)
    jobs = [_job(name, [run for run in runs if run.job == name]) for name in names]
    return render_page("index.html.j2", jobs=jobs, there=there)


def _job(name: str, runs: Sequence[RunSummary]) -> _Job:
    drawn = [run for run in reversed(runs[:_DRAWN]) if run.status != "running"]
    several = len(drawn) > 1
    return _Job(
        name,
        tuple(runs),
        bar_chart(drawn) if several else None,
        line_chart(drawn) if several else None,
    )
