"""`errpath history …` and `errpath diff RUN RUN`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from errpath.errors import UsageError
from errpath.results.history import query
from errpath.results.history.prune import parse_age, prune
from errpath.results.history.store import History
from errpath.results.history.verdicts import compare
from errpath.results.regression import Kind
from errpath.results.triage import Change, RunSummary, summary_status
from errpath.util.times import local_minute

__all__ = ["add_diff_parser", "add_parser"]

_DEFAULT = Path("errpath-nightly") / "history.sqlite"
# So many cases of one kind of change are listed, unless all are asked for.
_LISTED_MAX = 20
_LETTERS = {
    "pass": ".",
    "fail": "X",
    "xfail": "x",
    "both": "~",
    "error": "!",
    "skip": "-",
    "none": " ",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `history` command."""
    parser = commands.add_parser("history", help="results of past runs")
    _store_option(parser)
    parser.set_defaults(handler=_runs, job="", limit=30)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    runs = actions.add_parser("runs", help="list runs, the latest first (the default)")
    runs.add_argument("--job", default="", metavar="NAME", help="of this job only")
    runs.add_argument(
        "--limit", type=int, default=30, metavar="N", help="so many at most (default 30)"
    )
    runs.set_defaults(handler=_runs)
    show = actions.add_parser("show", help="the past of one case")
    show.add_argument("case", metavar="CASE", help="a case's id, or a part that one case has")
    show.add_argument("--limit", type=int, default=60, metavar="N", help="runs to look at")
    show.set_defaults(handler=_show)
    durations = actions.add_parser("durations", help="seconds per case, as JSON, for --shard")
    durations.add_argument("--suite", default="", metavar="SUITE", help="of this suite only")
    durations.set_defaults(handler=_durations)
    forget = actions.add_parser("prune", help="remove old runs, their pages and artefacts")
    forget.add_argument("--keep", required=True, metavar="AGE", help="such as 90d")
    forget.set_defaults(handler=_prune)


def add_diff_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `diff` command."""
    parser = commands.add_parser(
        "diff",
        help="list the cases that differ between two runs",
        description="Status 1 if a case that passed fails now, else 0.",
    )
    parser.add_argument("before", metavar="RUN", help="an id, its beginning, or latest~N")
    parser.add_argument("after", metavar="RUN", help="the run to compare with it")
    parser.add_argument("--all", action="store_true", help="list every case")
    _store_option(parser)
    parser.set_defaults(handler=_diff)


def _store_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--history",
        type=Path,
        default=_DEFAULT,
        metavar="FILE",
        help=f"the store (default {_DEFAULT})",
    )


def _runs(arguments: argparse.Namespace) -> int:
    with History(arguments.history, readonly=True) as history:
        for summary in query.summaries(history, job=arguments.job, limit=arguments.limit):
            print(_summary_line(summary))
    return 0


def _summary_line(run: RunSummary) -> str:
    counts = ", ".join(
        f"{run.counts[kind.value]} {kind}" for kind in Kind if run.counts.get(kind.value)
    )
    when = local_minute(run.started)
    return f"{run.id:<32} {when}  {run.status:<8} {run.seconds:>7.0f} s  {counts}"


def _show(arguments: argparse.Namespace) -> int:
    with History(arguments.history, readonly=True) as history:
        case = _one_case(history, arguments.case)
        print(case)
        judged = {(one.run, one.track): one for one in query.judgements(history, case=case)}
        runs = history.runs(limit=arguments.limit)
        for run in runs:
            found = [a for a in query.attempts(history, run) if a.record.case == case]
            for track, group in groupby(found, key=lambda attempt: attempt.track):
                records = [attempt.record for attempt in group]
                judgement = judged.get((run.id, track))
                answers = " ".join(record.status.value for record in records)
                print(
                    f"  {run.id}  {track}: {answers}"
                    + (f"  [{judgement.text}]" if judgement else "")
                )
                worst = next((record for record in records if record.reasons), None)
                if worst is not None:
                    print(f"    {worst.reasons[0]}")
                    print(f"    {worst.signature}")
                    if worst.artefacts:
                        print(f"    {Path(run.directory) / worst.artefacts}")
        tracks = sorted({track for _, track in judged})
        for track in tracks:
            nights = query.nights(
                history, track, before=float("inf"), case=case, limit=arguments.limit
            ).get(case, [])
            strip = "".join(
                _LETTERS["both" if n.fails and n.passes else summary_status(n.attempts)]
                for n in reversed(nights)
            )
            fails = sum(night.fails for night in nights)
            total = fails + sum(night.passes for night in nights)
            print(f"  {track}: [{strip}] failed {fails} of {total} over {len(nights)} nights")
    return 0


def _one_case(history: History, part: str) -> str:
    found = query.cases_like(history, part)
    if part in found:
        return part
    if len(found) != 1:
        shown = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
        what = f"{len(found)} cases have that in their id ({shown})" if found else "no such case"
        raise UsageError(f"{part}: {what}; expected a case's id")
    return found[0]


def _durations(arguments: argparse.Namespace) -> int:
    with History(arguments.history, readonly=True) as history:
        print(json.dumps(query.durations(history, arguments.suite), indent=0, sort_keys=True))
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    age = parse_age(arguments.keep)
    if not arguments.history.is_file():
        raise UsageError(f"{arguments.history}: no history there; expected one to prune")
    with History(arguments.history) as history:
        gone = prune(history, before=time.time() - age)
    print(
        f"removed {len(gone.runs)} runs and {len(gone.directories)} directories; "
        f"the store is {gone.freed / 2**20:.1f} MiB smaller"
    )
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    with History(arguments.history, readonly=True) as history:
        before, after = history.run(arguments.before), history.run(arguments.after)
        for label, run in (("-", before), ("+", after)):
            for kernel in history.kernels(run):
                patches = "".join(f" + {patch.name}" for patch in kernel.patches)
                built = f"{kernel.release or 'not built'}  {kernel.description or kernel.spec}"
                print(f"{label} {run.id}  {kernel.name}: {built}{patches}")
        changes, same = compare(query.attempts(history, before), query.attempts(history, after))
    limit = len(changes) if arguments.all else _LISTED_MAX
    for line in _change_lines(changes, limit):
        print(line)
    unchanged = ", ".join(f"{count} {answer}" for answer, count in sorted(same.items()))
    print(f"unchanged: {unchanged or 'none'}")
    return int(any(change.kind is Kind.NEW_FAILURE for change in changes))


def _change_lines(changes: Iterable[Change], limit: int) -> Iterable[str]:
    """The kinds in the order of `Kind`, then changes that are not about a kernel."""
    kinds = list(Kind)

    def rank(change: Change) -> int:
        return kinds.index(change.kind) if change.kind is not None else len(kinds)

    for _, group in groupby(sorted(changes, key=rank), key=rank):
        found = list(group)
        yield f"{found[0].kind or 'other'}: {len(found)}"
        for change in found[:limit]:
            words = f"  {change.case} ({change.track.kernel}): {change.before} -> {change.after}"
            was = "" if change.after in ("fail", "xfail") else "was: "
            yield f"{words}  {was}{change.reason}" if change.reason else words
        if len(found) > limit:
            yield f"  and {len(found) - limit} more (--all)"
