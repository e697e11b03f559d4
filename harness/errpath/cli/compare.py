"""`errpath compare`: the same cases on two kernels, and one table of what the change did."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from errpath.analysis.compare import backports
from errpath.analysis.compare.as_json import as_json, series_as_json
from errpath.analysis.compare.compare import Request, Summary, compare
from errpath.analysis.compare.judge import (
    Require,
    State,
    exit_status,
    summarize,
    table,
)
from errpath.analysis.compare.mail import Subject, mail_text
from errpath.analysis.compare.reply import reply_text
from errpath.analysis.compare.series import split_series, walk_series
from errpath.analysis.compare.sweeps import SweepRequest, compare_sweeps
from errpath.analysis.mail.message import read_patches
from errpath.cases.lifecycle import Planned, parse_events, parse_filesystems, plan, plan_crafted
from errpath.cases.sweeping import parse_sweep_events, parse_volumes, sequence
from errpath.cli.parser import USAGE_STATUS, add_groups
from errpath.errors import NO_ANSWER, ErrpathError, UsageError
from errpath.faults.points import parse_point_kinds
from errpath.filesystems import load_filesystem
from errpath.filesystems.mkfs import use_own_image
from errpath.kernel.layout import Layout
from errpath.kernel.source.patches import given_patches
from errpath.results.session import RunSession, run_directory
from errpath.runner.options import (
    DEFAULT_KERNEL,
    RUN_GROUPS,
    Choice,
    ImageOptions,
    LogOptions,
    MatrixOptions,
    ParallelOptions,
    ResultOptions,
    RunOptions,
    choices,
    settled,
)
from errpath.runner.sweep_units import SweepUnit
from errpath.util.cache import cache_root
from errpath.util.progress import Progress

__all__ = ["add_parser"]

Compare = Callable[[Request, Progress], Summary]


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    *,
    compare: Compare = compare,
) -> None:
    """Add the `compare` command; `compare` runs the matrix on both kernels."""
    parser = commands.add_parser(
        "compare",
        help="compare two kernels: what a patch fixes and what it breaks",
        description="Exit status: 0 what --require asks for, 1 not that, or something regressed, "
        "125 no answer is possible.",
    )
    _add_kernels(parser)
    _add_answer(parser)
    _add_selection(parser)
    add_groups(parser, *RUN_GROUPS, LogOptions, without=("repeats",))
    add_groups(parser, MatrixOptions, ParallelOptions, ResultOptions, without=("results",))
    # Not 2: `git bisect run` would take that for a bad revision.
    handler = functools.partial(_compare, compare)
    parser.set_defaults(handler=handler, **{USAGE_STATUS: NO_ANSWER})


def _add_kernels(parser: argparse.ArgumentParser) -> None:
    """Add what is compared."""
    parser.add_argument("--before", metavar="SPEC", help="kernel before (default: --kernel)")
    parser.add_argument(
        "--after", metavar="SPEC", help="kernel after (default: before), --patch applied to it"
    )
    parser.add_argument(
        "--kernels",
        default="",
        metavar="SPEC,SPEC",
        help="several series instead, each with itself and --patch: which of them have the bug, "
        "whether the patch applies, what it fixes and what regresses",
    )
    parser.add_argument(
        "--before-patch",
        action="append",
        default=[],
        metavar="FILE",
        help="applied to the kernel before only, such as to put an old bug back",
    )


def _add_answer(parser: argparse.ArgumentParser) -> None:
    """Add what is said of it, and how surely."""
    parser.add_argument(
        "--repeats",
        dest="runs",
        type=int,
        default=3,
        metavar="N",
        help="runs of what is not plainly clean on both (default 3)",
    )
    parser.add_argument("-n", nargs="?", action=_NotWorkers, help=argparse.SUPPRESS)
    parser.add_argument(
        "--require",
        choices=[one.value for one in Require],
        default=Require.FIXED.value,
        help="what status 0 means: something is fixed and nothing regressed (fixed, the default), "
        "or nothing regressed (no-regression)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every case and its state to this file"
    )
    parser.add_argument(
        "--each",
        action="store_true",
        help="also look at the kernel after each patch of a series: it must build, and nothing "
        "regress",
    )
    parser.add_argument(
        "--reply",
        type=Path,
        metavar="FILE",
        help="write an answer to the mail of --patch to this file (of a series, to the first)",
    )
    parser.add_argument(
        "--closes", action="append", default=[], metavar="URL", help="report that this closes"
    )
    parser.add_argument("--tested-by", default="", metavar="NAME", help="Name <mail>")


def _add_selection(parser: argparse.ArgumentParser) -> None:
    """Add which cases run."""
    parser.add_argument(
        "--all", action="store_true", help="also run filesystems whose code is the same"
    )
    parser.add_argument(
        "--touched",
        action="store_true",
        help="run only cases that run a function which --patch changes, traced on the kernel "
        "before; a patch that reaches further than a filesystem means all",
    )
    parser.add_argument(
        "--crafted", action="store_true", help="also run the crafted images of hfs and hfsplus"
    )
    parser.add_argument(
        "--sweep",
        nargs="?",
        const="",
        metavar="EVENTS",
        help="instead of the matrix, sweeps of the filesystems: of these events, or the usual ones",
    )
    parser.add_argument(
        "--kinds", default="", metavar="KINDS", help="only these kinds of points of a sweep"
    )
    parser.add_argument(
        "--volume", default="", metavar="NAMES", help="these further volumes of a sweep"
    )


class _NotWorkers(argparse.Action):
    """`-n` is the number of workers elsewhere, and was that of repeats here."""

    def __call__(self, parser: argparse.ArgumentParser, *others: object, **more: object) -> None:
        parser.error(
            "-n: two meanings; expected --repeats N (runs of a case that is not plainly clean) or "
            "--jobs N (guests at once)"
        )


def _compare(compare: Compare, arguments: argparse.Namespace) -> int:
    try:
        use_own_image(ImageOptions.from_namespace(arguments).image)
        _check_sweep(arguments)
        if arguments.kernels:
            return _compare_series(arguments)
        request = _request(arguments)
        patches = request.after.testbed.kernel.patches
        # Before anything is run: what cannot be answered is no reason to throw a run away.
        answered = read_patches(patches[:1]) if arguments.reply is not None else ()
        if arguments.reply is not None and not answered:
            raise UsageError("--reply: expected --patch with the mail to answer")
        each = _walk(request) if arguments.each else 0
        if arguments.sweep is None:
            summary = compare(request, Progress())
        else:
            summary = _compare_sweeps(request, arguments)
    except ErrpathError as error:
        # Not 1, nor 2: a script must not take it for a verdict on the kernel.
        print(f"errpath: {error}", file=sys.stderr)
        return NO_ANSWER
    cells = summarize(summary.comparisons)
    print(table(cells))
    for one in summary.comparisons:
        if one.state in (State.REGRESSED, State.STILL) and one.report:
            print(f"\n{one.state.value}\n{one.report}")
            break
    print(f"\nartefacts  {request.directory}\n")
    subject = Subject(
        before=summary.before,
        after=summary.after,
        config=summary.config,
        patches_before=request.before.testbed.kernel.patches,
        patches=request.after.testbed.kernel.patches,
        tested_by=arguments.tested_by,
        closes=tuple(arguments.closes),
        seconds=summary.seconds,
        repeats=request.repeats,
        what="life-cycle matrix" if arguments.sweep is None else "sweeps, every point once",
    )
    text = mail_text(subject, summary.comparisons)
    print(text)
    try:
        if arguments.json is not None:
            _write("--json", arguments.json, as_json(subject, summary.comparisons))
        if arguments.reply is not None:
            _write("--reply", arguments.reply, reply_text(answered[0], text))
    except UsageError as error:
        print(f"errpath: {error}", file=sys.stderr)
        return NO_ANSWER
    return each or exit_status(summary.comparisons, Require(arguments.require))


def _write(option: str, path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from None


def _walk(request: Request) -> int:
    """Report every kernel on the way; 0, or the status of the first that is not good."""
    patches = split_series(request.after.testbed.kernel.patches)
    status = 0
    for step in walk_series(request, patches, Progress()):
        print(step.line, flush=True)
        status = status or step.status
    return status


def _request(arguments: argparse.Namespace) -> Request:
    options = RunOptions.from_namespace(arguments)
    kernels, patches = options.kernel.kernel, options.kernel.patch
    if len(kernels) > 1:
        raise UsageError("compare: expected one --kernel; the other is --after, or it and --patch")
    if kernels and arguments.before:
        raise UsageError("compare: got --kernel and --before; expected one of them")
    if arguments.runs < 1:
        raise UsageError(f"--repeats: got {arguments.runs}; expected at least 1")
    if not (arguments.after or patches or arguments.before_patch):
        raise UsageError("compare: the same kernel twice; expected --patch or --after")
    before = arguments.before or next(iter(kernels), DEFAULT_KERNEL)
    after = arguments.after or before
    if arguments.touched and (not patches or after != before or arguments.before_patch):
        raise UsageError("--touched: expected one kernel and --patch: what else differs is unknown")
    matrix = MatrixOptions.from_namespace(arguments)
    return Request(
        _choice(options, "before", before, arguments.before_patch),
        _choice(options, "after", after, patches),
        _planned(arguments, parse_filesystems(matrix.fs)),
        arguments.runs,
        run_directory(arguments.artefacts.absolute()),
        arguments.jobs,
        arguments.all or bool(matrix.fs),
        arguments.touched,
    )


def _planned(arguments: argparse.Namespace, filesystems: Sequence[str]) -> tuple[Planned, ...]:
    events = parse_events(MatrixOptions.from_namespace(arguments).event)
    planned = tuple(plan(filesystems, events))
    if arguments.crafted and "c" in events:
        planned += tuple(plan_crafted(filesystems))
    return planned


def _compare_series(arguments: argparse.Namespace) -> int:
    progress = Progress()
    options = settled(RunOptions.from_namespace(arguments))
    given = options.kernel.kernel or arguments.before or arguments.after or arguments.before_patch
    if given:
        raise UsageError("--kernels: expected no --kernel, --before, --after or --before-patch")
    if arguments.each or arguments.reply is not None:
        raise UsageError("--kernels: expected no --each or --reply, which are for one kernel")
    if not options.kernel.patch:
        raise UsageError("--kernels: expected --patch FILE: what is to be tried on each")
    names = tuple(dict.fromkeys(word for word in arguments.kernels.split(",") if word))
    filesystems = parse_filesystems(MatrixOptions.from_namespace(arguments).fs)
    patches = given_patches(options.kernel.patch)
    planned = _planned(arguments, backports.filesystems_of(patches, filesystems))
    directory = run_directory(arguments.artefacts.absolute())
    requests = [
        Request(
            replace(_choice(options, "before", name, ()), name=name),
            _choice(options, "after", name, options.kernel.patch),
            planned,
            arguments.runs,
            directory / str(number),
            arguments.jobs,
            touched=arguments.touched,
        )
        for number, name in enumerate(names)
    ]
    found = backports.rows(backports.try_series(requests, Layout(cache_root()), progress))
    print(backports.series_table(found))
    print(f"\nartefacts  {directory}")
    if arguments.json is not None:
        try:
            arguments.json.write_text(series_as_json(patches, found))
        except OSError as error:
            print(f"errpath: --json {arguments.json}: {error.strerror}", file=sys.stderr)
            return NO_ANSWER
    return backports.exit_status(found)


def _check_sweep(arguments: argparse.Namespace) -> None:
    """See that a comparison of sweeps and one of the matrix are not mixed."""
    if arguments.sweep is None and (arguments.kinds or arguments.volume):
        raise UsageError("--kinds, --volume: parts of a sweep; expected --sweep")
    if arguments.sweep is not None and (
        arguments.event
        or arguments.crafted
        or arguments.each
        or arguments.kernels
        or arguments.touched
    ):
        raise UsageError("--sweep: expected no --event, --crafted, --each, --kernels or --touched")


def _compare_sweeps(request: Request, arguments: argparse.Namespace) -> Summary:
    filesystems = parse_filesystems(arguments.fs)
    volumes = parse_volumes(arguments.volume, filesystems)
    units = tuple(
        SweepUnit(name, event, kind, volume)
        for name in filesystems
        for volume in volumes[name]
        for event in parse_sweep_events(arguments.sweep)
        for kind in parse_point_kinds(arguments.kinds)
        if not sequence(load_filesystem(name), event, volume).reason
    )
    if not units:
        raise UsageError("--sweep: none of these filesystems has any of these events")
    progress = Progress()
    both = {"before": request.before, "after": request.after}
    session = RunSession(both, request.directory, progress)
    return compare_sweeps(
        SweepRequest(request.before, request.after, units, request.repeats, session, request.jobs),
        progress,
    )


def _choice(options: RunOptions, name: str, spec: str, patches: Sequence[str]) -> Choice:
    """The options of one of the two kernels."""
    kernel = replace(options.kernel, kernel=(f"{name}={spec}",), patch=tuple(patches))
    (chosen,) = choices(replace(options, kernel=kernel))
    return chosen
