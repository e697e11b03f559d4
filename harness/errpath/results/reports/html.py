"""The page of one run: what broke first, then the rest, with every report one click away."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from errpath.results.records import KernelRecord
from errpath.results.regression import Kind
from errpath.results.reports.page import bars, document, line, link, mark
from errpath.results.triage import JudgedCase, JudgedRun, grouped
from errpath.util.times import duration, local_minute

__all__ = ["render_run"]

# So many cases of one group are listed; the rest is a number and a file.
_LISTED_MAX = 200
_TITLES = {
    Kind.NEW_FAILURE: "New failures",
    Kind.UNCONFIRMED: "Failures that were not confirmed",
    Kind.STILL_FAILING: "Still failing",
    Kind.FLAKY: "Flaky",
    Kind.KNOWN: "Known issues",
    Kind.FIXED: "Fixed",
    Kind.NEW_CASE: "New cases",
    Kind.GONE: "Gone cases",
    Kind.INFRASTRUCTURE: "Infrastructure: no verdict on the kernel",
    Kind.NOT_RUN: "Not run",
    Kind.SKIPPED: "Skipped",
}
# These are what one comes for: they stand open.
_OPEN = (Kind.NEW_FAILURE, Kind.UNCONFIRMED)
_LETTERS = {
    "pass": "·",
    "fail": "X",
    "xfail": "x",
    "both": "~",
    "error": "!",
    "skip": "-",
    "none": " ",
}


def render_run(run: JudgedRun) -> str:
    """The page. Links to artefacts are relative to the run's directory."""
    head = run.run
    body = [
        f'<p class="soft">{link("../../index.html", "all runs")}'
        + (f" · {link(f'../{run.previous}/index.html', 'the run before')}" if run.previous else "")
        + "</p>",
        f"<h1>{escape(head.job)}: run {escape(head.id)}</h1>",
        f'<p class="soft">{local_minute(head.started)}, {duration(head.seconds)} '
        f"on {escape(head.host)}</p>",
        _banner(run),
        _tiles(run),
    ]
    by_kind = {kind: [c for c in run.cases if c.judgement.kind is kind] for kind in Kind}
    failing_new = [case for case in by_kind[Kind.NEW_CASE] if case.judgement.failing]
    changed = [case for case in by_kind[Kind.STILL_FAILING] if case.judgement.changed]
    by_kind[Kind.NEW_CASE] = [c for c in by_kind[Kind.NEW_CASE] if not c.judgement.failing]
    by_kind[Kind.STILL_FAILING] = [
        case for case in by_kind[Kind.STILL_FAILING] if not case.judgement.changed
    ]
    for kind, title in _TITLES.items():
        if kind is Kind.UNCONFIRMED:
            body.append(_section("New cases that fail", failing_new, run, open=True))
            body.append(_section("Failing in a new way", changed, run, open=True))
        body.append(_section(title, by_kind[kind], run, open=kind in _OPEN))
    body += [_matrices(run), _kernels(run), _units(run), _trend(run), _files()]
    return document(f"{head.job} {head.id}", "\n".join(filter(None, body)))


def _banner(run: JudgedRun) -> str:
    new = len(run.attention)
    words = f"{new} case{'s' * (new != 1)} to look at" if new else "Nothing new broke"
    if new > 1:
        words += f", {run.ways} way{'s' * (run.ways != 1)} of failing"
    style = "bad" if new else ""
    if run.run.status != "complete":
        style = style or "partial"
        note = run.run.note or "it has not ended"
        words += f". <b>Partial</b>: {escape(note)}; what did not run is told below"
    elif run.incomplete:
        style = style or "partial"
        words += ". Some cases gave no answer; see below"
    return f'<p class="banner {style}">{words}.</p>'


def _tiles(run: JudgedRun) -> str:
    counts = run.counts
    tiles = [f"<li><b>{counts[kind]}</b>{mark(kind.value)}</li>" for kind in Kind if counts[kind]]
    return f'<ul class="tiles">{"".join(tiles)}</ul>' if tiles else ""


# -- lists of cases ------------------------------------------------------------------------------


def _section(title: str, cases: Sequence[JudgedCase], run: JudgedRun, *, open: bool) -> str:
    """Cases of one kind, those that failed in the same way together."""
    if not cases:
        return ""
    parts = [f"<h2>{escape(title)} <span class='soft'>({len(cases)})</span></h2>"]
    for one in grouped(cases):
        group, what = one.cases, one.what
        shown = "open" if open and len(group) <= 25 else ""
        count = f"{len(group)} case{'s' * (len(group) != 1)}"
        why = f"<br><code>{escape(what)}</code>" if what else ""
        several = len({case.track for case in group}) > 1
        items = "".join(_item(case, run, several=several) for case in group[:_LISTED_MAX])
        if len(group) > _LISTED_MAX:
            more = len(group) - _LISTED_MAX
            items += f"<li>and {more} more, in {link('results.jsonl', 'results.jsonl')}</li>"
        first = _item(group[0], run, tag="p", several=several) if open and not shown else ""
        parts.append(
            f'<h3 class="break">{escape(one.where)}{why}</h3>{first}'
            f'<details {shown}><summary>{count}</summary><ul class="cases">{items}</ul></details>'
        )
    return "\n".join(parts)


def _item(case: JudgedCase, run: JudgedRun, *, tag: str = "li", several: bool = False) -> str:
    worst = case.worst
    words = [mark(case.judgement.kind.value), f" <code>{escape(case.case)}</code>"]
    if several:
        words.append(f" on {escape(case.track.kernel)}")
    if worst is not None and worst.artefacts:
        words.append(f" {link(_relative(worst.artefacts + '/report.txt', run), 'report')}")
        words.append(f" {link(_relative(worst.artefacts + '/', run), 'artefacts')}")
    if case.known is not None:
        title = case.known.title or case.known.id
        address = case.judgement.link
        # A file of the repository is not beside the page.
        web = address.startswith(("http://", "https://", "mailto:"))
        said = link(address, title) if web else escape(f"{title} ({address})" if address else title)
        words.append(f" {said}")
    if case.judgement.since:
        words.append(f" <span class='soft'>since {escape(case.judgement.since)}</span>")
    elif case.judgement.kind in (Kind.FLAKY, Kind.NEW_FAILURE):
        words.append(f" <span class='soft'>{escape(str(case.judgement))}</span>")
    if len(case.trend) > 1:
        strip = "".join(_LETTERS[answer] for answer in case.trend)
        told = (
            "last nights, oldest first: · passed, X failed, x failed as known, ~ both, "
            "! infrastructure, - skipped"
        )
        words.append(f' <span class="strip" title="{told}">[{strip}]</span>')
    if worst is not None and worst.reasons:
        words.append(f"<br>{escape(worst.reasons[0])}")
        if worst.rerun:
            words.append(f"<br><code class='soft'>{escape(worst.rerun)}</code>")
    return f"<{tag}>{''.join(words)}</{tag}>"


def _relative(path: str, run: JudgedRun) -> str:
    if not Path(path).is_absolute():
        return path
    return os.path.relpath(path, run.run.directory) + ("/" if path.endswith("/") else "")


# -- matrix --------------------------------------------------------------------------------------


def _matrices(run: JudgedRun) -> str:
    parts = []
    for track in sorted({case.track for case in run.cases}):
        table = _matrix([case for case in run.cases if case.track == track])
        if table:
            parts.append(f'<h3 class="break">{escape(str(track))}</h3>{table}')
    return "<h2>Filesystem by event</h2>" + "\n".join(parts) if parts else ""


def _matrix(cases: Iterable[JudgedCase]) -> str:
    cells: dict[tuple[str, str], Counter[Kind]] = {}
    for case in cases:
        worst = case.worst
        if worst is not None and worst.filesystem:
            place = (worst.event, worst.filesystem)
            cells.setdefault(place, Counter())[case.judgement.kind] += 1
    if not cells:
        return ""
    rows = sorted({event for event, _ in cells})
    columns = sorted({filesystem for _, filesystem in cells})
    # The longer side goes down the page: a phone scrolls that way.
    if len(columns) > len(rows):
        cells = {(filesystem, event): count for (event, filesystem), count in cells.items()}
        rows, columns = columns, rows
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in columns)
    lines = []
    for row in rows:
        marks = "".join(f"<td>{_cell(cells.get((row, column)))}</td>" for column in columns)
        lines.append(f"<tr><th scope='row'>{escape(row)}</th>{marks}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(counts: Counter[Kind] | None) -> str:
    """The kinds of a cell, the worst first, at most three."""
    if not counts:
        return '<span class="soft">none</span>'
    found = [kind for kind in Kind if counts[kind]]
    return " ".join(mark(kind.value, counts[kind]) for kind in found[:3])


# -- the rest ------------------------------------------------------------------------------------


def _kernels(run: JudgedRun) -> str:
    if not run.kernels:
        return ""
    rows = "".join(
        f"<tr><td>{escape(k.name)}</td><td>{escape(k.release or 'not built')}</td>"
        f"<td class='break'>{escape(k.description or k.spec)}</td>"
        f"<td><code>{escape(k.commit[:12] or '-')}</code></td>"
        f"<td><code>{escape(k.config_hash[:12] or '-')}</code></td>"
        f"<td>{_patches(k)}</td><td class='break'>{_changed(run, k)}</td></tr>"
        for k in run.kernels
    )
    return (
        "<h2>Kernels</h2><div class='scroll'><table><thead><tr><th>name</th><th>release</th>"
        "<th>source</th><th>commit</th><th>config</th><th>patches</th>"
        "<th>since the run before</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _patches(kernel: KernelRecord) -> str:
    lines = (f"{escape(p.name)} <code>{escape(p.id[:12])}</code>" for p in kernel.patches)
    return "<br>".join(lines) or "none"


def _changed(run: JudgedRun, kernel: KernelRecord) -> str:
    before = run.kernel_before(kernel)
    if before is None:
        return "new here" if run.previous else ""
    if before.state == kernel.state and kernel.state:
        return "the same"
    was = before.description or before.spec
    if was == (kernel.description or kernel.spec):
        was = f"{was}, built otherwise"
    return f"<b>changed</b>; was {escape(was)}"


def _units(run: JudgedRun) -> str:
    rows = "".join(
        f"<tr><td class='break'>{escape(unit.id)}</td><td>{escape(unit.status)}</td>"
        f"<td class='n'>{duration(unit.seconds)}</td>"
        f"<td class='break'>{escape(unit.detail)}</td></tr>"
        for unit in run.units
    )
    return (
        "<h2>What ran</h2><div class='scroll'><table><thead><tr><th>part</th><th>state</th>"
        f"<th>time</th><th>note</th></tr></thead><tbody>{rows}</tbody></table></div>"
        if rows
        else ""
    )


def _trend(run: JudgedRun) -> str:
    if len(run.trend) < 2:
        return ""
    cases = [(s.id, s.failing, max(s.cases - s.failing, 0)) for s in run.trend]
    seconds = [(s.id, s.seconds) for s in run.trend]
    return (
        f"<h2>Last {len(run.trend)} nights</h2>"
        f"<h3>Cases: failing (hatched) and others</h3>{bars(cases, what='cases per night')}"
        f"<h3>Duration</h3>{line(seconds, what='duration per night')}"
    )


def _files() -> str:
    files = {
        "results.jsonl": "JSON lines",
        "report.ktap": "KTAP",
        "kcidb.json": "KCIDB",
        "junit/": "JUnit",
        "summary.txt": "text",
        "units/": "logs",
    }
    return (
        "<h2>The same in other forms</h2><p>"
        + " · ".join(link(target, text) for target, text in files.items())
        + "</p>"
    )
