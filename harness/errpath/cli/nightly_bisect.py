"""`errpath nightly bisect CASE…`: which kernel of a job, or which commit, made cases fail."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from errpath.cli.parser import add_groups
from errpath.errors import UsageError
from errpath.nightly.ask import Wanted, asker, commit_options, from_anywhere, kernel_options
from errpath.nightly.bisect import Found, bisect_list, bisect_revisions
from errpath.nightly.job import load_job
from errpath.runner.options import RUN_GROUPS, RunOptions

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `bisect` action."""
    parser = commands.add_parser(
        "bisect",
        help="find the first bad kernel",
        description="Over git: --tree, --good, --bad (and --patch … for every step). Over a job's "
        "kernels, in their order: --job (options given beside it go before the job's). A kernel is "
        "bad if any of the cases fails on it; with --title, if one fails in that way.",
    )
    parser.add_argument(
        "case",
        nargs="+",
        metavar="CASE-ID",
        help="cases that fail on a bad kernel and pass on a good one",
    )
    parser.add_argument(
        "--title", default="", metavar="TEXT", help="only this failure is bad, as decode titles it"
    )
    parser.add_argument(
        "--attempts",
        type=int,
        default=1,
        metavar="N",
        help="runs without a failure that make a kernel good (default 1)",
    )
    parser.add_argument("--tree", type=Path, metavar="DIR", help="a git tree of the kernel")
    parser.add_argument("--good", metavar="REVISION", help="where the cases pass")
    parser.add_argument("--bad", metavar="REVISION", help="where they fail")
    parser.add_argument("--job", type=Path, metavar="JOB.yaml", help="take its kernels instead")
    # Which kernels, --tree or --job says.
    add_groups(parser, *RUN_GROUPS, without=("kernel",))
    parser.set_defaults(handler=_bisect)


def _bisect(arguments: argparse.Namespace) -> int:
    over_git = (arguments.tree, arguments.good, arguments.bad)
    if (arguments.job is None) == (None in over_git) or (arguments.job and any(over_git)):
        raise UsageError("bisect: expected --tree, --good and --bad, or --job alone")
    if arguments.attempts < 1:
        raise UsageError(f"--attempts: got {arguments.attempts}; expected at least 1")
    wanted = Wanted(tuple(arguments.case), arguments.title, arguments.attempts)
    given = from_anywhere(RunOptions.from_namespace(arguments))
    if arguments.job is not None:
        job = load_job(arguments.job)
        ask = asker(wanted, kernel_options(given, job), say=_say)
        found = bisect_list([kernel.name for kernel in job.kernels], ask)
    else:
        tree = arguments.tree.resolve()
        ask = asker(wanted, commit_options(given, tree), say=_say)
        found = bisect_revisions(tree, arguments.good, arguments.bad, ask)
    _report(found, arguments.tree)
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _report(found: Found, tree: Path | None) -> None:
    if len(found.first_bad) > 1:
        print(f"first bad: one of these {len(found.first_bad)} (no answer between them)")
    else:
        print("first bad:")
    for kernel in found.first_bad:
        subject = ""
        if tree is not None:
            argv = ["git", "-C", str(tree), "log", "-1", "--format=%s (%an, %ad)", kernel]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            subject = f"  {done.stdout.strip()}"
        print(f"  {kernel}{subject}")
    print(f"{len(found.asked)} kernels tested")
