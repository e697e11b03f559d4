"""`errpath suite`: other projects' tests under errpath's oracles."""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from errpath import __version__
from errpath.analysis.compare.judge import State
from errpath.beside.live_ktap import LiveKtap
from errpath.beside.suite_compare import compare, table
from errpath.beside.suite_faults import parse_fail
from errpath.beside.suite_guests import SUITES, SuiteGuests
from errpath.beside.suite_known import explained
from errpath.beside.suite_report import merged_page, page
from errpath.beside.suite_run import SuiteResult, SuiteRun
from errpath.beside.suites import Selection
from errpath.cli.parser import add_groups
from errpath.errors import NO_ANSWER, UsageError
from errpath.kernel import KernelStore
from errpath.kernel.source.patches import given_patches
from errpath.results.artefacts import write_files
from errpath.results.kernel_record import kernel_record
from errpath.results.records import CaseRecord, CaseStatus, KernelRecord, ShardRecord
from errpath.results.reports.jsonl import ResultWriter, read_results
from errpath.results.session import run_directory
from errpath.results.shard import assign, parse_shard
from errpath.runner.known_issue_files import KNOWN_ISSUES, load_known_issues
from errpath.runner.known_issues import KnownIssues
from errpath.runner.options import (
    Choice,
    GuestOptions,
    KernelOptions,
    LogOptions,
    ResultOptions,
    RunOptions,
    choices,
)
from errpath.util.cache import scratch_directory
from errpath.util.progress import Progress
from errpath.util.resources import SUITES as OWN_SUITES
from errpath.util.yamlfile import load

__all__ = ["add_parser", "earlier_verdicts"]

_NONE = "none"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `suite` command."""
    parser = commands.add_parser(
        "suite",
        help="run xfstests, LTP, blktests, kselftest or KUnit, each test followed by the oracles",
        description="Results are KTAP on standard output, one line as each test ends.",
    )
    parser.add_argument("suite", choices=SUITES, help="which suite")
    parser.add_argument("tests", nargs="*", metavar="TEST", help="such as generic/001")
    add_groups(parser, KernelOptions, GuestOptions, LogOptions, ResultOptions)
    parser.set_defaults(guest="debian")
    parser.add_argument("--fs", default="", metavar="NAME,NAME", help="the filesystem under test")
    parser.add_argument(
        "--tree", type=Path, metavar="DIR", help="the suite's sources: a directory, or a git tree"
    )
    parser.add_argument(
        *("-g", "--group"), action="append", default=[], metavar="GROUP", help="tests of a group"
    )
    parser.add_argument(
        "-x", dest="not_group", action="append", default=[], metavar="GROUP", help="but for these"
    )
    parser.add_argument(
        *("-E", "--exclude"),
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a file of tests to leave out, in the suite's own format",
    )
    parser.add_argument(
        "--seconds", type=float, default=600.0, metavar="N", help="for one test (default 600)"
    )
    parser.add_argument(
        "--disk", type=int, default=1024, metavar="MIB", help="size of each disk (default 1024)"
    )
    parser.add_argument(
        "--fail",
        default="",
        metavar="alloc:every=N",
        help="fail every N-th allocation of the filesystem; only the oracles are asked then",
    )
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="the oracles after every N tests; where they find something, after each (default 1)",
    )
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="the I-th of N parts")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="with --results: tests that have a verdict in FILE are not run again",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="run every test without and with --patch, and say what was fixed and what regressed",
    )
    parser.add_argument(
        "--before-patch",
        action="append",
        default=[],
        metavar="FILE",
        help="with --compare: applied to the kernel before only, such as to put an old bug back",
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=2,
        metavar="N",
        help="with --compare: how often what differs is run again on both (default 2)",
    )
    parser.add_argument(
        "--known",
        default=str(OWN_SUITES / KNOWN_ISSUES),
        metavar="FILE",
        help="known issues, whose tests are expected failures (default: those of errpath's "
        f"suites); {_NONE} for no such file",
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="the results as Markdown")
    parser.add_argument(
        "--from",
        dest="records",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="with --page: run nothing, the page is of the results in FILE; several are one page",
    )
    parser.add_argument(
        "--notes",
        type=Path,
        metavar="FILE",
        help="with --from: why tests fail, YAML: `notes:` with a line `TEST: MARKDOWN` for each",
    )
    parser.add_argument("--list", action="store_true", help="list the selected tests")
    parser.set_defaults(handler=_suite)


def _suite(arguments: argparse.Namespace) -> int:
    """0 if every test passed or did not run, 1 if one failed, `NO_ANSWER` for no verdict on one."""
    if arguments.records:
        return _page_of_records(arguments)
    if arguments.notes is not None:
        raise UsageError("suite: --notes is for --from")
    chosen = choices(RunOptions.from_namespace(arguments))
    if len(chosen) != 1:
        raise UsageError("suite: expected one --kernel")
    if arguments.seconds <= 0 or arguments.disk < 1:
        raise UsageError("suite: --seconds and --disk: expected a positive number")
    if arguments.before_patch and not arguments.compare:
        raise UsageError("suite: --before-patch is for --compare")
    if arguments.resume and (arguments.results is None or arguments.compare):
        raise UsageError("suite: --resume: expected --results, and no --compare")
    if arguments.every < 1 or (arguments.every > 1 and (arguments.compare or arguments.fail)):
        raise UsageError("suite: --every: expected 1 or more, and 1 with --compare and --fail")
    if arguments.repeats < 0:
        raise UsageError("suite: --repeats: expected 0 or more")
    shard = parse_shard(arguments.shard)
    known = KnownIssues()
    if arguments.known != _NONE:
        known = load_known_issues(Path(arguments.known))
    selection = Selection(
        tuple(arguments.tests),
        tuple(arguments.group),
        tuple(arguments.not_group),
        tuple(line for path in arguments.exclude for line in _lines(path)),
    )
    progress = Progress()
    with scratch_directory() as scratch, ExitStack() as stack:

        def start(choice: Choice, name: str) -> _Side:
            side = _Side(arguments, choice, scratch / name, progress)
            stack.callback(side.close)
            return side

        side = start(chosen[0], "after")
        selected = side.run.tests(selection)
        tests = _part(selected, shard)
        if arguments.list:
            print("\n".join(tests))
            return 0
        if arguments.compare:
            before = start(_before(chosen[0], arguments.before_patch), "before")
            return _compare(before, side, tests, arguments.repeats, progress)
        return _run(side, selected, tests, shard, known)


class _Side:
    """One kernel with what runs on it."""

    def __init__(
        self, arguments: argparse.Namespace, choice: Choice, scratch: Path, progress: Progress
    ) -> None:
        self.arguments = arguments
        self.choice = choice
        self.directory = run_directory(arguments.artefacts.absolute()) / scratch.name
        self.progress = progress
        self.guests = SuiteGuests(
            arguments.suite,
            choice,
            [name for name in arguments.fs.split(",") if name],
            tree=arguments.tree,
            disk_mib=arguments.disk,
            artefacts=scratch,
            progress=progress,
        )
        suite = self.guests.suite()
        self.run = SuiteRun(
            suite,
            self.guests.guest,
            self.guests.enter,
            seconds=arguments.seconds,
            fail=parse_fail(arguments.fail) if arguments.fail else None,
        )

    def close(self) -> None:
        """End its guests."""
        self.run.close()
        self.guests.close()

    def record(self, test: str, ahead: Sequence[str] = ()) -> CaseRecord:
        """Run one test; those `ahead` follow."""
        return self._record(self.run.run(test, ahead))

    def records(self, tests: Sequence[str], ahead: Sequence[str]) -> Iterator[CaseRecord]:
        """Run tests whose oracles are asked together; those `ahead` follow."""
        for result in self.run.run_group(tests, ahead):
            yield self._record(result)

    def _record(self, result: SuiteResult) -> CaseRecord:
        record = result.record(self.run.suite, self.arguments.fs)
        folder = ""
        if result.status in (CaseStatus.FAIL, CaseStatus.ERROR) and result.files:
            folder = str(write_files(result.files, self.directory, record.case))
        rerun = _rerun(self.arguments, result.test, self.choice)
        return replace(record, rerun=rerun, artefacts=folder)


def _before(choice: Choice, patches: Sequence[str]) -> Choice:
    """The kernel without the patches, and with others."""
    kernel = replace(choice.testbed.kernel, patches=given_patches(patches))
    return replace(choice, testbed=replace(choice.testbed, kernel=kernel))


def _compare(
    before: _Side, after: _Side, tests: Sequence[str], repeats: int, progress: Progress
) -> int:
    """1 if something regressed."""
    with progress.step(f"{after.run.suite.name}, before and after", total=len(tests)) as step:

        def counted(test: str, ahead: Sequence[str]) -> CaseRecord:
            step.update(tests.index(test), note=test)
            return before.record(test, ahead)

        pairs = compare(tests, counted, after.record, repeats=repeats)
    print(f"before  {before.guests.kernel.description}")
    print(f"after   {after.guests.kernel.description}\n")
    print(table(pairs))
    return int(any(pair.state is State.REGRESSED for pair in pairs))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except OSError as error:
        raise UsageError(f"--exclude {path}: {error.strerror}; expected a file of tests") from None
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _part(tests: Sequence[str], shard: ShardRecord) -> tuple[str, ...]:
    parts = assign(tests, shard.total)
    return tuple(test for test in tests if parts[test] == shard.index)


def _run(
    side: _Side,
    selected: Sequence[str],
    tests: Sequence[str],
    shard: ShardRecord,
    known: KnownIssues,
) -> int:
    suite, kernel, choice = side.run.suite, side.guests.kernel, side.choice
    store = KernelStore(progress=side.progress)
    record = kernel_record(choice.testbed.kernel, store, kernel, name=choice.name)
    path = side.arguments.results
    guest, today = choice.testbed.guest, datetime.date.today()
    earlier = earlier_verdicts(path, record) if side.arguments.resume else {}
    ktap = LiveKtap(sys.stdout, f"errpath suite {suite.name} on {kernel.description}")
    ktap.plan(len(tests))
    with ExitStack() as stack:
        writer = stack.enter_context(closing(ResultWriter(path))) if path is not None else None
        names = [f"{suite.name}:{test}" for test in tests]
        if writer is not None:
            writer.run(version=__version__, shard=shard, started=time.time())
            writer.plan([f"{suite.name}:{test}" for test in selected], names)
            writer.kernel(record)
        records: list[CaseRecord] = []
        # What has a verdict comes first: it must not be lost where this run is ended too.
        step = stack.enter_context(side.progress.step(suite.name, total=len(tests)))

        def ended(record: CaseRecord) -> None:
            records.append(record)
            ktap.result(record)
            if writer is not None:
                writer.case(choice.name, record)

        for name in names:
            if name in earlier:
                ended(earlier[name])
        left = [test for name, test in zip(names, tests, strict=True) if name not in earlier]
        every = side.arguments.every
        for number in range(0, len(left), every):
            group = left[number : number + every]
            step.update(len(records), note=group[0])
            for one in side.records(group, left[number + every :]):
                ended(explained(one, known, guest=guest, today=today))
        status = _status(records)
        if side.arguments.page is not None:
            _write_page(side, records)
        if writer is not None:
            writer.end(status=min(status, 1), reason="", ended=time.time())
    return status


def earlier_verdicts(path: Path, kernel: KernelRecord) -> dict[str, CaseRecord]:
    """The verdicts that a file has already, by test.

    Raises:
        UsageError: it is of another kernel.
    """
    if not path.exists():
        return {}
    results = read_results(path)
    for one in results.kernels:
        if one.state != kernel.state:
            raise UsageError(
                f"--resume {path}: it is of {one.description}, not of {kernel.description}"
            )
    # What its suite refuses to run, it refuses again.
    return {one.case: one for _, one in results.cases if one.status is not CaseStatus.ERROR}


def _write_page(side: _Side, records: Sequence[CaseRecord]) -> None:
    words = " ".join(["-g", *side.arguments.group] if side.arguments.group else [])
    command = f"errpath suite {side.arguments.suite} {words} --fs {side.arguments.fs}".strip()
    title = f"{side.run.suite.name} under the oracles"
    text = page(title, side.guests.kernel.description, " ".join(command.split()), records)
    _write(side.arguments.page, text)


@dataclass(frozen=True)
class _Notes:
    """The file of `--notes`."""

    # Markdown by test.
    notes: dict[str, str]
    # Markdown for the page itself.
    text: str = ""


def _page_of_records(arguments: argparse.Namespace) -> int:
    if arguments.page is None:
        raise UsageError("suite: --from: expected --page")
    results = [read_results(path) for path in arguments.records]
    told = load(arguments.notes, _Notes) if arguments.notes is not None else _Notes({})
    files = " ".join(f"--from {path.name}" for path in arguments.records)
    command = f"errpath suite {arguments.suite} {files}"
    title = f"{arguments.suite} under the oracles"
    made = merged_page(title, command, results, notes=told.notes, text=told.text)
    _write(arguments.page, made)
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise UsageError(f"--page {path}: {error.strerror}") from None


def _status(records: Sequence[CaseRecord]) -> int:
    found = {record.status for record in records}
    if CaseStatus.FAIL in found:
        return 1
    return NO_ANSWER if CaseStatus.ERROR in found else 0


def _rerun(arguments: argparse.Namespace, test: str, choice: Choice) -> str:
    words = ["errpath", "suite", arguments.suite, test, *choice.argv]
    words += ["--fs", arguments.fs] if arguments.fs else []
    words += ["--tree", str(arguments.tree)] if arguments.tree else []
    return shlex.join(words)
