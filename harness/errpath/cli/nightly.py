"""`errpath nightly run|report|plan|bisect`."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from pathlib import Path

from errpath.cli import nightly_bisect
from errpath.errors import NO_ANSWER, UsageError
from errpath.guest.definition import load_guest
from errpath.nightly.job import Job, load_job
from errpath.nightly.launch import ProcessLauncher
from errpath.nightly.machine import host_name, limits_of
from errpath.nightly.notify import notify
from errpath.nightly.plan import Limits, Unit, plan
from errpath.nightly.publish import gather, publish
from errpath.nightly.run import Nightly, open_run
from errpath.nightly.schedule import estimate_left
from errpath.nightly.until import seconds_until
from errpath.results.history import query
from errpath.results.history.store import History
from errpath.results.history.verdicts import judge_run
from errpath.results.known import load_known
from errpath.results.reports.summary import render_summary
from errpath.results.triage import JudgedRun
from errpath.util.deadline import Deadline

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `nightly` command."""
    parser = commands.add_parser("nightly", help="run a job of kernels, guests and suites")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    run = actions.add_parser(
        "run",
        help="run a job",
        description="Status: 0 nothing new, 1 something to look at, 125 nothing new but not all "
        "gave an answer, 2 wrong use.",
    )
    run.add_argument("job", type=Path, metavar="JOB.yaml", help="the job's file")
    run.add_argument(
        "--until", metavar="HH:MM", help="end by then with what there is; also +90m, +6h"
    )
    run.add_argument(
        "--fresh", action="store_true", help="begin anew even if a run was interrupted"
    )
    run.add_argument(
        "--mail-to",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="send the summary there; may be repeated",
    )
    run.add_argument("--webhook", default="", metavar="URL", help="POST a JSON summary there")
    run.set_defaults(handler=_run)
    show = actions.add_parser("plan", help="list the units of a job, with an estimate of the time")
    show.add_argument("job", type=Path, metavar="JOB.yaml", help="the job's file")
    show.set_defaults(handler=_plan)
    report = actions.add_parser("report", help="evaluate a run again and rewrite its pages")
    report.add_argument("job", type=Path, metavar="JOB.yaml", help="the job's file")
    report.add_argument(
        "run", nargs="?", default="latest", metavar="RUN", help="its id (default: the latest)"
    )
    report.set_defaults(handler=_report)
    nightly_bisect.add_parser(actions)


def _run(arguments: argparse.Namespace) -> int:
    job = load_job(arguments.job)
    known = load_known(job.known_path) if job.known_path else ()
    deadline = None
    if arguments.until:
        seconds = seconds_until(arguments.until, datetime.datetime.now())
        deadline = Deadline.after(seconds, f"until {arguments.until}")
    if job.minutes:
        budget = Deadline.after(job.minutes * 60.0, f"{job.minutes} min")
        deadline = min(budget, deadline or budget, key=lambda one: one.at)
    with History(job.history_path) as history:
        row, directory, _ = open_run(
            history, job, host=host_name(), now=time.time(), fresh=arguments.fresh
        )
        with directory:
            nightly: Nightly
            launcher = ProcessLauncher(
                job,
                directory.path,
                directory.path / "durations.json",
                lambda unit: nightly.recorder.spec_of(unit),
            )
            nightly = Nightly(
                job,
                history,
                row,
                limits_of(job),
                _memory(job),
                launcher,
                known=known,
                deadline=deadline,
                say=_ProgressLines(),
            )
            judged = nightly.run()
    return _report_result(
        judged, [*job.mail_to, *arguments.mail_to], arguments.webhook or job.webhook
    )


class _ProgressLines:
    """Progress on standard error, each line once, with the time."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, text: str) -> None:
        if text != self._last:
            self._last = text
            print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _report_result(judged: JudgedRun, mail_to: list[str], webhook: str) -> int:
    print(render_summary(judged), end="", flush=True)
    for problem in notify(judged, mail_to=mail_to, webhook=webhook):
        print(f"errpath: {problem}", file=sys.stderr)
    if judged.attention:
        return 1
    return NO_ANSWER if judged.incomplete else 0


def _memory(job: Job) -> dict[str, int]:
    return {guest: load_guest(guest).memory_mib for guest in job.guests}


def _plan(arguments: argparse.Namespace) -> int:
    job = load_job(arguments.job)
    limits = limits_of(job)
    units = plan(job, limits, _memory(job))
    past: dict[str, tuple[float, ...]] = {}
    if job.history_path.is_file():
        with History(job.history_path, readonly=True) as history:
            past = {u.id: query.unit_seconds(history, u.id, job.name) for u in units}
    for unit in units:
        print(_planned(unit, past.get(unit.id, ())))
    left, unknown = estimate_left(units, {}, past, limits)
    print(_estimate(left, unknown, limits))
    return 0


def _planned(unit: Unit, past: tuple[float, ...]) -> str:
    took = (
        f"{sorted(past)[len(past) // 2]:.0f} s on {len(past)} nights" if past else "no earlier run"
    )
    return f"{unit.id:<60} {unit.cores} cores {unit.memory_mib:>6} MiB  {took}"


def _estimate(left: float, unknown: int, limits: Limits) -> str:
    have = f"{limits.cores} cores, {limits.memory_mib} MiB"
    if unknown:
        return f"no estimate: {unknown} parts have no earlier run ({have})"
    return f"about {max(1, round(left / 60))} min, as on past nights ({have})"


def _report(arguments: argparse.Namespace) -> int:
    job = load_job(arguments.job)
    known = load_known(job.known_path) if job.known_path else ()
    with History(job.history_path) as history:
        row = history.run(arguments.run)
        if row.status == "running":
            raise UsageError(f"run {row.id}: has not ended; expected one that has")
        tracks = sorted({unit.track for unit in plan(job, limits_of(job), _memory(job))})
        cases = judge_run(history, row, known=known, confirm=job.confirm, tracks=tracks)
        history.add_judgements(row, {(c.track, c.case): c.judgement for c in cases})
        judged = gather(history, row, cases)
        page = publish(history, judged, job.root)
    print(render_summary(judged), end="")
    print(os.fspath(page))
    return 0
