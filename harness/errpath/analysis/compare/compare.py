"""`errpath compare`: the same cases on two kernels, and one table of what the change did."""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from errpath.analysis.compare.judge import (
    NO_ANSWER,
    Comparison,
    State,
    compare_case,
    exit_status,
    group_runs,
    summarize,
    table,
)
from errpath.analysis.compare.mail import Subject, mail_text
from errpath.analysis.compare.observe import Observed, batches, observe_all
from errpath.cases.lifecycle import Planned, parse_events, parse_filesystems, plan, plan_crafted
from errpath.errors import ErrpathError, UsageError
from errpath.filesystems import known_filesystems, load_filesystem
from errpath.kernel import BuiltKernel, KernelStore
from errpath.results.session import RunSession, run_directory
from errpath.runner.options import Choice, add_options, choices
from errpath.util.progress import Progress

__all__ = [
    "Request",
    "Summary",
    "add_parser",
    "compare",
    "config_hashes",
    "describe",
    "same_code",
]


@dataclass(frozen=True)
class Request:
    """What to compare, over which part of the matrix."""

    before: Choice
    after: Choice
    planned: tuple[Planned, ...]
    # How often a verdict that is not plainly clean on both is looked at.
    repeats: int
    directory: Path
    jobs: int | None = None
    # Also run what is the same code before and after.
    every: bool = False


@dataclass(frozen=True)
class Summary:
    """The result of a comparison."""

    comparisons: tuple[Comparison, ...]
    # Kernels as they describe themselves.
    before: str
    after: str
    # Hashes of the configurations, see `config_hashes`.
    config: str
    # Seconds of wall time, kernels included.
    seconds: float


def compare(request: Request, progress: Progress) -> Summary:
    """Build both kernels, run what may differ on both, and compare.

    Raises:
        ErrpathError: no answer is possible, such as a kernel that does not compile.
    """
    began = time.monotonic()
    both = {"before": request.before, "after": request.after}
    session = RunSession(both, request.directory, progress)
    try:
        kernels = {name: session.testbed(name).kernel for name in both}
        store = KernelStore(progress=progress)
        changed = store.changed(kernels["before"], kernels["after"])
        planned = tuple(
            _unless_same(one, changed) if not request.every else one for one in request.planned
        )
        for name in both:
            _build_modules(session, name, planned)
        built = {name: testbed.kernel for name, testbed in session.built_testbeds()}
    finally:
        session.close()
    found = _run(request, both, planned)
    comparisons = tuple(
        compare_case(one, group_runs(found, "before", one.id), group_runs(found, "after", one.id))
        for one in planned
    )
    return Summary(
        comparisons,
        describe(kernels["before"]),
        describe(kernels["after"]),
        config_hashes(
            {name: sha256(one.config.read_bytes()).hexdigest() for name, one in built.items()}
        ),
        time.monotonic() - began,
    )


def describe(kernel: BuiltKernel) -> str:
    """Release, and what it was built from, with the commit of a git tree."""
    return f"Linux {kernel.release}, {kernel.description}"


def config_hashes(hashes: Mapping[str, str]) -> str:
    """The configurations of both kernels, and of what else was built for them, in one line.

    `hashes` are of the final `.config`, by the names of `RunSession.built_testbeds`: "before",
    "after", and the same with "-apart" behind it.
    """
    parts = []
    for name, before in hashes.items():
        _, kernel, variant = name.partition("before")
        if not kernel:
            continue
        after = hashes.get(f"after{variant}", before)
        text = before[:16] if before == after else f"{before[:16]} before, {after[:16]} after"
        parts.append(f"{variant.removeprefix('-')}: {text}" if variant else text)
    return "; ".join(parts)


def same_code(filesystem: str, changed: frozenset[str] | None) -> bool:
    """Whether nothing that a filesystem runs differs.

    `changed` is as `KernelStore.changed` gives it. A directory that is no filesystem's own, such
    as fs/jbd2, may be below any of them.
    """
    if changed is None:
        return False
    own = {_home(name) for name in known_filesystems()}
    return not (changed - own) and _home(filesystem) not in changed


def _home(filesystem: str) -> str:
    return f"{Path(load_filesystem(filesystem).source).parent}/"


def _unless_same(one: Planned, changed: frozenset[str] | None) -> Planned:
    if one.case is None or not same_code(one.filesystem, changed):
        return one
    return replace(one, case=None, reason="the same code before and after")


def _build_modules(session: RunSession, kernel: str, planned: Iterable[Planned]) -> None:
    """Build everything before the workers start: two of them would only wait for each other.

    A filesystem that this kernel does not have is left for its cases to say so.
    """
    for name in dict.fromkeys(one.filesystem for one in planned if one.case is not None):
        testbed = session.testbed(kernel, name)
        try:
            testbed.modules(name)
        except UsageError as error:
            session.progress.say(f"{kernel}: {error}")


def _run(
    request: Request, both: dict[str, Choice], planned: Sequence[Planned]
) -> dict[tuple[str, str], Observed]:
    """Every case once on each kernel, and again what is not plainly clean on both."""
    cases = [one.case for one in planned if one.case is not None]
    groups = [group for name in both for group in batches(name, cases)]
    found = observe_all(both, groups, request.directory / "1", jobs=request.jobs, repeats=1)
    doubtful = [
        case
        for case in cases
        if _doubtful(found.get(("before", case.id)), found.get(("after", case.id)))
    ]
    again = [
        replace(case, id=f"{case.id}#{number}")
        for case in doubtful
        for number in range(2, request.repeats + 1)
    ]
    if again:
        groups = [group for name in both for group in batches(name, again)]
        found |= observe_all(both, groups, request.directory / "2", jobs=request.jobs, repeats=1)
    return found


def _doubtful(before: Observed | None, after: Observed | None) -> bool:
    if before is None or after is None:
        return True
    return (
        before.bad
        or after.bad
        or "error" in (before.kind, after.kind)
        or before.errnos != after.errnos
    )


# -- the command ---------------------------------------------------------------------------------


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `compare` command."""
    parser = commands.add_parser(
        "compare",
        help="what a patch fixes and what it breaks, on every filesystem",
        description="Exit status: 0 something is fixed and nothing regressed, 1 otherwise, "
        "125 no answer is possible.",
    )
    add_options(parser.add_argument)
    parser.add_argument("--before", metavar="SPEC", help="kernel before (default: --kernel)")
    parser.add_argument(
        "--after", metavar="SPEC", help="kernel after (default: before), --patch applied to it"
    )
    parser.add_argument(
        "--before-patch",
        action="append",
        default=[],
        metavar="FILE",
        help="applied to the kernel before only, such as to put an old bug back",
    )
    add_matrix_options(parser)
    parser.add_argument(
        "-n",
        dest="repeats",
        type=int,
        default=3,
        metavar="N",
        help="runs of what is not plainly clean on both (default 3)",
    )
    parser.add_argument(
        "--all", action="store_true", help="also run filesystems whose code is the same"
    )
    parser.add_argument(
        "--crafted", action="store_true", help="also run the crafted images of hfs and hfsplus"
    )
    parser.add_argument(
        "--closes", action="append", default=[], metavar="URL", help="report that this closes"
    )
    parser.add_argument("--tested-by", default="", metavar="NAME", help="Name <mail>")
    parser.set_defaults(handler=_compare)


def add_matrix_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose a part of the matrix, and how it is run."""
    parser.add_argument("--fs", default="", metavar="NAME,NAME", help="only these filesystems")
    parser.add_argument("--event", default="", metavar="LETTERS", help="only these events")
    parser.add_argument("--jobs", type=int, metavar="N", help="guests at once (default: CPUs)")
    parser.add_argument("--artefacts", type=Path, default=Path("errpath-results"), metavar="DIR")


def _compare(arguments: argparse.Namespace) -> int:
    try:
        request = _request(arguments)
        summary = compare(request, Progress())
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
    )
    print(mail_text(subject, summary.comparisons))
    return exit_status(summary.comparisons)


def _request(arguments: argparse.Namespace) -> Request:
    if len(arguments.kernel) > 1:
        raise UsageError("compare: expected one --kernel; the other is --after, or it and --patch")
    if arguments.kernel and arguments.before:
        raise UsageError("compare: got --kernel and --before; expected one of them")
    if arguments.repeats < 1:
        raise UsageError(f"-n: got {arguments.repeats}; expected at least 1")
    if not (arguments.after or arguments.patch or arguments.before_patch):
        raise UsageError("compare: the same kernel twice; expected --patch or --after")
    before = arguments.before or next(iter(arguments.kernel), "debian:7.2")
    after = arguments.after or before
    filesystems, events = parse_filesystems(arguments.fs), parse_events(arguments.event)
    planned = tuple(plan(filesystems, events))
    if arguments.crafted and "c" in events:
        planned += tuple(plan_crafted(filesystems))
    return Request(
        _choice(arguments, "before", before, arguments.before_patch),
        _choice(arguments, "after", after, arguments.patch),
        planned,
        arguments.repeats,
        run_directory(arguments.artefacts.absolute()),
        arguments.jobs,
        arguments.all or bool(arguments.fs),
    )


def _choice(arguments: argparse.Namespace, name: str, spec: str, patches: list[str]) -> Choice:
    """The options of one of the two kernels."""
    options = copy.copy(arguments)
    options.kernel = [f"{name}={spec}"]
    options.patch = patches
    (chosen,) = choices(options)
    return chosen
