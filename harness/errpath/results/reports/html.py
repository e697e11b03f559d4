"""The page of one run: what broke first, then the rest, with every report one click away."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.results.case_reporter import PICTURE
from errpath.results.records import KernelRecord
from errpath.results.regression import Kind
from errpath.results.reports.charts import bar_chart, line_chart
from errpath.results.reports.page import render_page
from errpath.results.triage import JudgedCase, JudgedRun, grouped

__all__ = ["render_run"]

# So many cases of one group are listed; the rest is a number and a file.
_LISTED_MAX = 200
# So many cases of one group stand open.
_OPEN_MAX = 25
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
# Of these a judgement's own words say more than since when.
_EXPLAINED = (Kind.FLAKY, Kind.NEW_FAILURE)
_LETTERS = {
    "pass": "·",
    "fail": "X",
    "xfail": "x",
    "both": "~",
    "error": "!",
    "skip": "-",
    "none": " ",
}
_FILES = {
    "results.jsonl": "JSON lines",
    "report.ktap": "KTAP",
    "kcidb.json": "KCIDB",
    "junit/": "JUnit",
    "summary.txt": "text",
    "units/": "logs",
}


@dataclass(frozen=True)
class _Group:
    """Cases that failed in one way."""

    where: str
    what: str
    cases: Sequence[JudgedCase]
    # Whether its list stands open, and whether its cases are of several tracks.
    shown: bool
    several: bool


@dataclass(frozen=True)
class _Section:
    """Cases of one kind."""

    title: str
    count: int
    open: bool
    groups: tuple[_Group, ...]


@dataclass(frozen=True)
class _Matrix:
    """Kinds of judgements by event and filesystem."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: dict[tuple[str, str], Counter[Kind]]

    def cell(self, row: str, column: str) -> list[tuple[Kind, int]]:
        """The kinds of a cell with their numbers, the worst first, at most three."""
        counts = self.cells.get((row, column), Counter())
        return [(kind, counts[kind]) for kind in Kind if counts[kind]][:3]


@dataclass(frozen=True)
class _Banner:
    style: str
    words: str


@dataclass(frozen=True)
class _Change:
    """What is said of a kernel beside that of the run before."""

    # What it was, where it has changed; else words.
    before: str = ""
    words: str = ""


def render_run(run: JudgedRun) -> str:
    """The page. Links to artefacts are relative to the run's directory."""
    several = len(run.trend) > 1
    return render_page(
        "run.html.j2",
        run=run,
        head=run.run,
        directory=run.run.directory,
        banner=_banner(run),
        sections=list(_sections(run)),
        tables=list(_matrices(run)),
        changes={kernel.name: _change(run, kernel) for kernel in run.kernels},
        cases=bar_chart(run.trend) if several else None,
        seconds=line_chart(run.trend) if several else None,
        files=_FILES,
        listed=_LISTED_MAX,
        letters=_LETTERS,
        explained=_EXPLAINED,
        picture=lambda artefacts: _picture(run, artefacts),
        embedded=lambda path: _embedded(run, path),
    )


def _picture(run: JudgedRun, artefacts: str) -> str:
    """Path of the picture of what a case lost; "" where its artefacts have none."""
    path = f"{artefacts}/{PICTURE}"
    return path if Path(run.run.directory, path).is_file() else ""


def _embedded(run: JudgedRun, path: str) -> str:
    """A picture as a page that stands alone has it; no script in it is run there."""
    data = Path(run.run.directory, path).read_bytes()
    return f"data:image/svg+xml;base64,{base64.b64encode(data).decode()}"


def _banner(run: JudgedRun) -> _Banner:
    new = len(run.attention)
    words = f"{new} case{'s' * (new != 1)} to look at" if new else "Nothing new broke"
    if new > 1:
        words += f", {run.ways} way{'s' * (run.ways != 1)} of failing"
    partial = run.run.status != "complete" or run.incomplete
    return _Banner("bad" if new else "partial" if partial else "", words)


def _sections(run: JudgedRun) -> Iterator[_Section]:
    by_kind = {kind: [c for c in run.cases if c.judgement.kind is kind] for kind in Kind}
    failing_new = [case for case in by_kind[Kind.NEW_CASE] if case.judgement.failing]
    changed = [case for case in by_kind[Kind.STILL_FAILING] if case.judgement.changed]
    by_kind[Kind.NEW_CASE] = [c for c in by_kind[Kind.NEW_CASE] if not c.judgement.failing]
    by_kind[Kind.STILL_FAILING] = [
        case for case in by_kind[Kind.STILL_FAILING] if not case.judgement.changed
    ]
    every = []
    for kind, title in _TITLES.items():
        if kind is Kind.UNCONFIRMED:
            every.append(("New cases that fail", failing_new, True))
            every.append(("Failing in a new way", changed, True))
        every.append((title, by_kind[kind], kind in _OPEN))
    for title, cases, is_open in every:
        if cases:
            groups = tuple(_groups(cases, is_open))
            yield _Section(title, len(cases), is_open, groups)


def _groups(cases: Sequence[JudgedCase], is_open: bool) -> Iterator[_Group]:
    for one in grouped(cases):
        shown = is_open and len(one.cases) <= _OPEN_MAX
        several = len({case.track for case in one.cases}) > 1
        yield _Group(one.where, one.what, one.cases, shown, several)


def _matrices(run: JudgedRun) -> Iterator[tuple[str, _Matrix]]:
    for track in sorted({case.track for case in run.cases}):
        table = _matrix(case for case in run.cases if case.track == track)
        if table is not None:
            yield str(track), table


def _matrix(cases: Iterable[JudgedCase]) -> _Matrix | None:
    cells: dict[tuple[str, str], Counter[Kind]] = {}
    for case in cases:
        worst = case.worst
        if worst is not None and worst.filesystem:
            place = (worst.event, worst.filesystem)
            cells.setdefault(place, Counter())[case.judgement.kind] += 1
    if not cells:
        return None
    rows = sorted({event for event, _ in cells})
    columns = sorted({filesystem for _, filesystem in cells})
    # The longer side goes down the page: a phone scrolls that way.
    if len(columns) > len(rows):
        cells = {(filesystem, event): count for (event, filesystem), count in cells.items()}
        rows, columns = columns, rows
    return _Matrix(tuple(rows), tuple(columns), cells)


def _change(run: JudgedRun, kernel: KernelRecord) -> _Change:
    before = run.kernel_before(kernel)
    if before is None:
        return _Change(words="new here" if run.previous else "")
    if before.state == kernel.state and kernel.state:
        return _Change(words="the same")
    was = before.description or before.spec
    if was == (kernel.description or kernel.spec):
        was = f"{was}, built otherwise"
    return _Change(before=was)
