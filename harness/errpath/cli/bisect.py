"""`errpath bisect`: one kernel, one status, for `git bisect run`."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from errpath.analysis.compare.bisect import check_kernel
from errpath.analysis.compare.observe import Observed
from errpath.cases.lifecycle import parse_events, parse_filesystems, plan
from errpath.cli.parser import USAGE_STATUS, add_groups
from errpath.cli.pytest_run import suites_of
from errpath.errors import NO_ANSWER, ErrpathError, UsageError
from errpath.filesystems.mkfs import use_own_image
from errpath.intake.attempts import REPRO_GUEST, ROUNDS, SECONDS, reproduce
from errpath.intake.kept import find_kept
from errpath.intake.likeness import same
from errpath.intake.reproducer import load_reproducer
from errpath.intake.reproduction import Outcome, Reproduction
from errpath.nightly.ask import Wanted, asker, from_anywhere
from errpath.nightly.bisect import Answer
from errpath.results.session import run_directory
from errpath.runner.options import (
    RUN_GROUPS,
    Choice,
    GuestOptions,
    LogOptions,
    MatrixOptions,
    ParallelOptions,
    ResultOptions,
    RunOptions,
    choices,
)
from errpath.util.progress import Progress

__all__ = ["add_parser"]

_STATUS = {Answer.GOOD: 0, Answer.BAD: 1, Answer.SKIP: NO_ANSWER}


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    *,
    check: Callable[..., tuple[Observed, ...]] = check_kernel,
    reproduce: Callable[..., Reproduction] = reproduce,
    ask: Callable[..., Callable[[str], Answer]] = asker,
) -> None:
    """Add the `bisect` command. `check` runs the matrix on a kernel, `reproduce` a reproducer,
    `ask` one case."""
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
    parser.add_argument(
        "--reproducer",
        type=Path,
        metavar="FILE",
        help="run this instead of the matrix (errpath repro); what it should show is in it, or "
        "--title",
    )
    parser.add_argument(
        "--case",
        default="",
        metavar="CASE-ID|FILE.yaml",
        help="run this instead of the matrix: any case, a point of a sweep, or a kept case",
    )
    parser.add_argument(
        "--attempts",
        type=int,
        default=5,
        metavar="N",
        help="runs of a reproducer, or of --case (default 5)",
    )
    add_groups(parser, *RUN_GROUPS, LogOptions)
    add_groups(parser, MatrixOptions, ParallelOptions, ResultOptions, without=("results",))
    # Not 2: `git bisect run` would take that for a bad revision.
    handler = functools.partial(_bisect, check, reproduce, ask)
    parser.set_defaults(handler=handler, **{USAGE_STATUS: NO_ANSWER})


def _bisect(
    check: Callable[..., tuple[Observed, ...]],
    reproduce: Callable[..., Reproduction],
    ask: Callable[..., Callable[[str], Answer]],
    arguments: argparse.Namespace,
) -> int:
    try:
        options, choice = _chosen(arguments)
        if arguments.reproducer is not None:
            return _check_reproducer(reproduce, arguments, options)
        if arguments.case:
            return _check_case(ask, arguments, options)
        return _check(check, arguments, options, choice)
    except ErrpathError as error:
        print(f"errpath: {error}", file=sys.stderr)
        return NO_ANSWER


def _chosen(arguments: argparse.Namespace) -> tuple[RunOptions, Choice]:
    options = RunOptions.from_namespace(arguments)
    if not options.kernel.kernel:
        options = replace(options, kernel=replace(options.kernel, kernel=(".",)))
    chosen = choices(options)
    if len(chosen) != 1:
        raise UsageError("bisect: expected one --kernel")
    return options, chosen[0]


def _check(
    check: Callable[..., tuple[Observed, ...]],
    arguments: argparse.Namespace,
    options: RunOptions,
    choice: Choice,
) -> int:
    use_own_image(options.image.image)
    planned = [
        one
        for one in plan(parse_filesystems(arguments.fs), parse_events(arguments.event))
        if one.case is not None
    ]
    if not planned:
        raise UsageError("bisect: nothing to run; expected --fs and --event to leave some cases")
    found = check(
        choice,
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


def _check_case(
    ask: Callable[..., Callable[[str], Answer]],
    arguments: argparse.Namespace,
    options: RunOptions,
) -> int:
    """Bad is that the case fails or, with --title, that it fails in that way."""
    case, title = arguments.case, arguments.title
    suites = tuple(suites_of([case]))
    if case.endswith(".yaml"):
        file = Path(case).absolute()
        kept = find_kept(file)
        if kept is None or kept.case is None:
            raise UsageError(f"--case {case}: no kept case; expected a file of errpath keep")
        case, suites, title = kept.case.id, (str(file.parent),), title or kept.title
    wanted = Wanted((case,), title, arguments.attempts, suites)
    spec = options.kernel.kernel[0]
    given = from_anywhere(replace(options, kernel=replace(options.kernel, kernel=(_local(spec),))))
    return _STATUS[ask(wanted, lambda kernel: given, say=print)(spec)]


def _local(spec: str) -> str:
    """A kernel's tree as it is called in another directory."""
    name, mark, path = spec.rpartition("=")
    return f"{name}{mark}{Path(path).resolve()}" if Path(path).exists() else spec


def _check_reproducer(
    reproduce: Callable[..., Reproduction], arguments: argparse.Namespace, options: RunOptions
) -> int:
    """Bad is what the reproducer should show, or anything where nothing says what that is."""
    reproducer = load_reproducer(arguments.reproducer, rounds=ROUNDS, title=arguments.title)
    if options.guest == GuestOptions():
        options = replace(options, guest=GuestOptions(guest=REPRO_GUEST))
    (chosen,) = choices(options)
    found = reproduce(
        chosen,
        reproducer,
        run_directory(arguments.artefacts.absolute()),
        Progress(),
        attempts=arguments.attempts,
        seconds=SECONDS,
    )
    print(found.line())
    if found.outcome is Outcome.NOT_REPRODUCED:
        return 0
    if found.outcome is Outcome.SAME or (found.outcome is Outcome.OTHER and not reproducer.title):
        return 1
    return NO_ANSWER
