"""`errpath merge DIR…`: the shards of one run become one run, in a file and in the history."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from errpath import __version__
from errpath.errors import NO_ANSWER, InfrastructureError, UsageError
from errpath.nightly.machine import host_name
from errpath.nightly.publish import gather, publish
from errpath.nightly.rundir import RunDirectory
from errpath.results.history.store import History
from errpath.results.history.verdicts import judge_run
from errpath.results.known import load_known
from errpath.results.merge import Merged, find_results, merge, read_all
from errpath.results.records import TrackRecord
from errpath.results.reports.jsonl import write_results
from errpath.results.reports.summary import render_summary
from errpath.results.run_records import RunRow
from errpath.util.times import local_stamp

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `merge` command."""
    parser = commands.add_parser(
        "merge",
        help="join the results of shards into one run",
        description="Status: 0 all there and nothing failed, 1 something failed, 125 something is "
        "missing.",
    )
    parser.add_argument(
        "place", nargs="+", type=Path, metavar="DIR", help="results, or where they are"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the joined results here")
    parser.add_argument(
        "--into", type=Path, metavar="DIR", help="add the run to the history and pages in DIR"
    )
    parser.add_argument("--job", default="sharded", metavar="NAME", help="the job's name there")
    parser.add_argument("--guest", default="microvm", metavar="NAME", help="the guest's name there")
    parser.add_argument("--suite", default="", metavar="SUITE", help="the suite's name there")
    parser.add_argument(
        "--attempt",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a further attempt at some cases (pytest --cases-from), also in shards; repeat it",
    )
    parser.add_argument(
        "--confirm", type=int, default=2, metavar="N", help="attempts that a new failure needs"
    )
    parser.add_argument(
        "--unsure",
        type=Path,
        metavar="FILE",
        help="with --into: write the ids of cases that need a further attempt, for --cases-from",
    )
    parser.add_argument("--known", type=Path, metavar="FILE", help="known issues")
    parser.set_defaults(handler=_merge)


def _merge(arguments: argparse.Namespace) -> int:
    merged = merge(read_all(find_results(arguments.place)))
    results = merged.results
    failed = sum(record.status.value == "fail" for _, record in results.cases)
    expected = sum(record.status.value == "xfail" for _, record in results.cases)
    words = f"{len(results.cases)} of {len(results.collected or ())} tests, {failed} failed"
    if expected:
        words += f", {expected} failed as known"
    if merged.replaced:
        words += f"; {merged.replaced} files of shards that ran again were left out"
    print(words)
    for problem in merged.problems:
        print(f"errpath: {problem}", file=sys.stderr)
    if arguments.output is not None:
        write_results(arguments.output, results, version=__version__)
    attempts = [merge(read_all(find_results([place]))) for place in arguments.attempt]
    for attempt in attempts:
        for problem in attempt.problems:
            print(f"errpath: further attempt: {problem}", file=sys.stderr)
    if arguments.into is not None:
        _into_history(arguments, merged, attempts)
    elif arguments.attempt or arguments.unsure:
        raise UsageError("merge: --attempt and --unsure need --into; expected a directory there")
    if merged.problems:
        return NO_ANSWER
    return int(failed > 0)


def _into_history(
    arguments: argparse.Namespace, merged: Merged, attempts: Sequence[Merged]
) -> None:
    results = merged.results
    if not results.cases:
        raise InfrastructureError("merge --into: no shard has a result of a test; no run is made")
    known = load_known(arguments.known) if arguments.known else ()
    root = arguments.into.absolute()
    # The same shards make the same run, which can be joined once; with more of them it is another.
    everything = [results, *(attempt.results for attempt in attempts)]
    ids = "".join(f"{key}{record.nodeid}" for part in everything for key, record in part.cases)
    mark = hashlib.sha256(f"{results.started}{ids}".encode()).hexdigest()[:6]
    stamp = local_stamp(results.started)
    id = f"{stamp}-{arguments.job}-{mark}"
    suites = {record.nodeid.split("::")[0] for _, record in results.cases}
    suite = arguments.suite or ", ".join(sorted({str(Path(name).parent) for name in suites}))
    with History(root / "history.sqlite") as history:
        directory = RunDirectory(root / "runs" / id)
        if not directory.take():
            raise UsageError(f"run {id}: is being written by another process")
        with directory:
            row = history.begin_run(
                id=id,
                job=arguments.job,
                digest="",
                harness=f"errpath-{__version__}",
                host=host_name(),
                directory=directory.path,
                started=results.started,
            )
            for kernel in results.kernels:
                history.add_kernel(row, kernel)
            for number, part in enumerate((merged, *attempts)):
                _add(history, row, part, number, arguments, suite)
            history.end_run(
                row,
                status="partial" if merged.problems else "complete",
                note="; ".join(merged.problems)[:500],
                ended=max(results.ended, results.started),
            )
            cases = judge_run(history, row, known=known, confirm=arguments.confirm)
            history.add_judgements(row, {(c.track, c.case): c.judgement for c in cases})
            judged = gather(history, history.run(id), cases)
            publish(history, judged, root)
    if arguments.unsure is not None:
        unsure = sorted({case.case for case in cases if case.judgement.unsure})
        arguments.unsure.write_text("".join(f"{case}\n" for case in unsure))
    print(render_summary(judged), end="")


def _add(
    history: History,
    row: RunRow,
    part: Merged,
    number: int,
    arguments: argparse.Namespace,
    suite: str,
) -> None:
    """One unit per kernel."""
    found = part.results
    for name in dict.fromkeys(key for key, _ in found.cases):
        history.add_unit(
            row,
            f"{name}.merged" + (f".attempt{number}" if number else ""),
            TrackRecord(arguments.job, name, arguments.guest, suite),
            [record for key, record in found.cases if key == name],
            status="failed" if part.problems else "done",
            detail="; ".join(part.problems)[:500],
            seconds=max(0.0, found.ended - found.started),
        )
