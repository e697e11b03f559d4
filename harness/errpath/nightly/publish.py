"""What a run leaves for people and programs: pages, text, KTAP, KCIDB, JSON lines."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from errpath import __version__
from errpath.errors import InfrastructureError
from errpath.results.history import query
from errpath.results.history.store import History
from errpath.results.reports import kcidb, ktap
from errpath.results.reports.html import render_run
from errpath.results.reports.html_index import render_index
from errpath.results.reports.jsonl import ResultFile, write_results
from errpath.results.reports.summary import render_summary
from errpath.results.run_records import RunRow
from errpath.results.triage import JudgedCase, JudgedRun
from errpath.util.files import replacing

__all__ = ["FORMATS", "gather", "publish", "render", "write_index", "write_text"]

# Nights that a run's page draws.
_TREND = 30
FORMATS = ("text", "html", "ktap", "kcidb", "jsonl")


def gather(history: History, run: RunRow, cases: Sequence[JudgedCase]) -> JudgedRun:
    """A judged run with what its reports show beside it; its judgements are in the store."""
    summaries = query.summaries(history, job=run.job)
    upto = [summary for summary in summaries if summary.started <= run.started]
    before = [summary for summary in upto if summary.id != run.id]
    return JudgedRun(
        run=run,
        kernels=history.kernels(run),
        units=query.units(history, run),
        cases=tuple(cases),
        trend=tuple(reversed(upto[:_TREND])),
        previous=before[0].id if before else "",
        kernels_before=history.kernels(history.run(before[0].id)) if before else (),
    )


def render(run: JudgedRun, form: str, *, origin: str = "errpath") -> str:
    """One report as text; `form` is one of FORMATS."""
    if form == "html":
        return render_run(run)
    if form == "ktap":
        return ktap.render(run)
    if form == "kcidb":
        return json.dumps(kcidb.to_kcidb(run, origin=origin), indent=1) + "\n"
    if form == "jsonl":
        with tempfile.TemporaryDirectory(prefix="errpath-") as scratch:
            path = Path(scratch) / "results.jsonl"
            write_results(path, results_of(run), version=__version__)
            return path.read_text()
    return render_summary(run)


def results_of(run: JudgedRun) -> ResultFile:
    """All attempts of a run as one file of results."""
    found = tuple((case.track.kernel, record) for case in run.cases for record in case.attempts)
    nodes = tuple(dict.fromkeys(record.nodeid for _, record in found))
    return ResultFile(
        started=run.run.started,
        ended=run.run.ended or run.run.started,
        collected=nodes,
        planned=nodes,
        kernels=run.kernels,
        cases=found,
        status=int(run.failing) if run.run.status == "complete" else None,
    )


def publish(history: History, run: JudgedRun, root: Path) -> Path:
    """Write every form into the run's directory, and the index beside it; the page's path.

    Raises:
        InfrastructureError: the disk is full.
    """
    directory = Path(run.run.directory)
    names = {
        "html": "index.html",
        "text": "summary.txt",
        "ktap": "report.ktap",
        "kcidb": "kcidb.json",
        "jsonl": "results.jsonl",
    }
    for form, name in names.items():
        write_text(directory / name, render(run, form))
    # pytest's own files, in one place.
    junit = directory / "junit"
    junit.mkdir(exist_ok=True)
    for path in sorted((directory / "units").glob("*/junit.xml")):
        target = junit / f"{path.parent.name}.xml"
        target.unlink(missing_ok=True)
        os.link(path, target)
    write_index(history, root)
    return directory / "index.html"


def write_index(history: History, root: Path) -> Path:
    """The page over all runs that the store knows."""
    runs = query.summaries(history)
    there = frozenset(run.id for run in runs if (root / "runs" / run.id / "index.html").is_file())
    return write_text(root / "index.html", render_index(runs, there=there))


def write_text(path: Path, text: str) -> Path:
    """Write a file in one step: a page is never seen half written.

    Raises:
        InfrastructureError: the disk is full.
    """
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InfrastructureError(f"{path}: {error.strerror}; expected room for a report") from None
    return path
