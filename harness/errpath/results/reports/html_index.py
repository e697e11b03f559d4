"""The page over all runs: one line each, the latest first, and what changed over time."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from errpath.results.regression import Kind
from errpath.results.reports.page import bars, document, line, link, mark
from errpath.results.triage import RunSummary
from errpath.util.times import duration, local_minute

__all__ = ["render_index"]

# So many nights are drawn; the table holds them all.
_DRAWN = 60


def render_index(runs: Sequence[RunSummary], *, there: frozenset[str]) -> str:
    """`runs` with the latest first; those in `there` still have their page."""
    body = ["<h1>Nightly runs</h1>"]
    for job in dict.fromkeys(run.job for run in runs):
        mine = [run for run in runs if run.job == job]
        body.append(f"<h2>{escape(job)}</h2>{_latest(mine[0], there)}")
        drawn = [run for run in reversed(mine[:_DRAWN]) if run.status != "running"]
        if len(drawn) > 1:
            cases = [(run.id, run.failing, max(run.cases - run.failing, 0)) for run in drawn]
            body.append(f"<h3>Cases: failing (hatched) and others, {len(drawn)} nights</h3>")
            body.append(bars(cases, what="cases per night"))
            seconds = [(run.id, run.seconds) for run in drawn]
            body.append(f"<h3>Duration</h3>{line(seconds, what='duration per night')}")
        rows = "".join(_row(run, there) for run in mine)
        body.append(
            "<div class='scroll'><table class='stack'><thead><tr><th>run</th><th>when</th>"
            "<th>time</th><th>ran</th><th>what</th></tr></thead>"
            f"<tbody>{rows}</tbody></table></div>"
        )
    if not runs:
        body.append("<p>None yet.</p>")
    return document("errpath: nightly runs", "\n".join(body))


def _latest(run: RunSummary, there: frozenset[str]) -> str:
    new = run.counts.get(Kind.NEW_FAILURE.value, 0)
    words = f"{new} new failure{'s' * (new != 1)}" if new else "no new failures"
    style = "bad" if new else "partial" if run.status != "complete" else ""
    state = "" if run.status == "complete" else f" ({escape(run.status)})"
    return f'<p class="banner {style}">Latest: {_link(run, there)}: {words}{state}.</p>'


def _link(run: RunSummary, there: frozenset[str]) -> str:
    return link(f"runs/{run.id}/index.html" if run.id in there else "", run.id)


def _row(run: RunSummary, there: frozenset[str]) -> str:
    shown = [kind for kind in Kind if run.counts.get(kind.value)]
    marks = " ".join(mark(kind.value, run.counts[kind.value]) for kind in shown)
    state = "" if run.status == "complete" else f" <b>{escape(run.status)}</b>"
    return (
        f"<tr><td class='break'>{_link(run, there)}{state}</td><td>{local_minute(run.started)}</td>"
        f"<td class='n'>{duration(run.seconds)}</td><td class='n'>{run.cases} cases</td>"
        f"<td>{marks}</td></tr>"
    )
