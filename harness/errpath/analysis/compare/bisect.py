"""`errpath bisect`: one kernel, one status, for `git bisect run`."""

from __future__ import annotations

import argparse
import sys

from errpath.analysis.compare.compare import add_matrix_options
from errpath.analysis.compare.judge import NO_ANSWER
from errpath.analysis.compare.observe import batches, observe_all
from errpath.cases.lifecycle import parse_events, parse_filesystems, plan
from errpath.errors import ErrpathError, UsageError
from errpath.results.session import RunSession, run_directory
from errpath.runner.options import add_options, choices
from errpath.util.progress import Progress

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `bisect` command."""
    parser = commands.add_parser(
        "bisect",
        help="is this revision good? for `git bisect run`",
        description="Exit status: 0 every case that ran is clean, 1 one leaks, crashes or hangs, "
        "125 no answer is possible (it does not build or boot). The kernel is the current "
        "directory unless --kernel says otherwise.",
    )
    add_options(parser.add_argument)
    add_matrix_options(parser)
    parser.set_defaults(handler=_bisect)


def _bisect(arguments: argparse.Namespace) -> int:
    try:
        return _check(arguments)
    except ErrpathError as error:
        print(f"errpath: {error}", file=sys.stderr)
        return NO_ANSWER


def _check(arguments: argparse.Namespace) -> int:
    arguments.kernel = arguments.kernel or ["."]
    chosen = {choice.name: choice for choice in choices(arguments)}
    if len(chosen) != 1:
        raise UsageError("bisect: expected one --kernel")
    (name,) = chosen
    planned = [
        one
        for one in plan(parse_filesystems(arguments.fs), parse_events(arguments.event))
        if one.case is not None
    ]
    if not planned:
        raise UsageError("bisect: nothing to run; expected --fs and --event to leave some cases")
    directory = run_directory(arguments.artefacts.absolute())
    session = RunSession(chosen, directory, Progress())
    try:
        for filesystem in dict.fromkeys(one.filesystem for one in planned):
            session.testbed(name, filesystem).modules(filesystem)
    finally:
        session.close()
    cases = [one.case for one in planned if one.case is not None]
    found = observe_all(chosen, batches(name, cases), directory, jobs=arguments.jobs)
    bad = [one for one in found.values() if one.bad]
    errors = [one for one in found.values() if one.kind == "error"]
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
