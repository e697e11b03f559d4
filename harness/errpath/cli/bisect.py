"""`errpath bisect`: one kernel, one status, for `git bisect run`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from errpath.analysis.compare.bisect import check_kernel
from errpath.cases.lifecycle import parse_events, parse_filesystems, plan
from errpath.cli.parser import USAGE_STATUS, add_groups
from errpath.errors import NO_ANSWER, ErrpathError, UsageError
from errpath.filesystems.mkfs import use_own_image
from errpath.intake.likeness import same
from errpath.results.session import run_directory
from errpath.runner.options import (
    RUN_GROUPS,
    LogOptions,
    MatrixOptions,
    ParallelOptions,
    ResultOptions,
    RunOptions,
    choices,
)
from errpath.util.progress import Progress

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `bisect` command."""
    parser = commands.add_parser(
        "bisect",
        help="check one kernel, for `git bisect run`",
        description="Exit status: 0 every case that ran is clean, 1 one leaks, crashes or hangs, "
        "125 no answer is possible (it does not build or boot). With --title, 1 is for that "
        "failure alone, and another one is 125. The kernel is the current directory unless "
        "--kernel says otherwise.",
    )
    parser.add_argument(
        "--title", default="", metavar="TEXT", help="only this failure is bad, as decode titles it"
    )
    add_groups(parser, *RUN_GROUPS, LogOptions)
    add_groups(parser, MatrixOptions, ParallelOptions, ResultOptions, without=("results",))
    # Not 2: `git bisect run` would take that for a bad revision.
    parser.set_defaults(handler=_bisect, **{USAGE_STATUS: NO_ANSWER})


def _bisect(arguments: argparse.Namespace) -> int:
    try:
        return _check(arguments)
    except ErrpathError as error:
        print(f"errpath: {error}", file=sys.stderr)
        return NO_ANSWER


def _check(arguments: argparse.Namespace) -> int:
    options = RunOptions.from_namespace(arguments)
    if not options.kernel.kernel:
        options = replace(options, kernel=replace(options.kernel, kernel=(".",)))
    chosen = choices(options)
    if len(chosen) != 1:
        raise UsageError("bisect: expected one --kernel")
    use_own_image(options.image.image)
    planned = [
        one
        for one in plan(parse_filesystems(arguments.fs), parse_events(arguments.event))
        if one.case is not None
    ]
    if not planned:
        raise UsageError("bisect: nothing to run; expected --fs and --event to leave some cases")
    found = check_kernel(
        chosen[0],
        planned,
        run_directory(arguments.artefacts.absolute()),
        Progress(),
        jobs=arguments.jobs,
        repeats=options.oracles.repeats,
    )
    bad = [one for one in found if one.bad]
    if arguments.title:
        others = bad
        bad = [one for one in bad if any(same(f, arguments.title, None) for f in one.failures)]
        for one in others if not bad else ():
            print(f"{one.case}: another failure: {'; '.join(one.reasons)}", file=sys.stderr)
        if others and not bad:
            return NO_ANSWER
    errors = [one for one in found if one.kind == "error"]
    for one in bad:
        print(f"{one.case}: {'; '.join(one.reasons)}")
    if bad:
        print(f"\n{bad[0].report}\n\nbad: {len(bad)} of {len(found)} cases")
        return 1
    if errors:
        print(f"{errors[0].case}: {'; '.join(errors[0].reasons)}", file=sys.stderr)
        return NO_ANSWER
    print(f"good: {len(found)} cases")
    return 0
