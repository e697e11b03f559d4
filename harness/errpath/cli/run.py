"""`errpath run CASE-ID` and `errpath test SUITE`: pytest over the shipped suites."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path

from errpath.cli.parser import add_groups
from errpath.cli.pytest_run import run_cases, run_pytest
from errpath.cli.replay import replay
from errpath.errors import UsageError
from errpath.plugin.ktap import KtapReporter, kselftest_status
from errpath.runner.options import (
    RUN_GROUPS,
    LogOptions,
    ResultOptions,
    RunOptions,
)
from errpath.util.logs import LOG_DATE_FORMAT, LOG_FORMAT
from errpath.util.resources import shipped_suites, suite_path

__all__ = ["add_parser", "add_test_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `run` command."""
    parser = commands.add_parser("run", help="run cases by their ids")
    parser.add_argument("case", nargs="+", metavar="CASE-ID", help="as in a test's brackets")
    parser.add_argument(
        "--suite",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="a file or directory of your own that has the cases (repeatable; default: the suites "
        "that come with errpath)",
    )
    parser.add_argument(
        "--replay",
        type=int,
        nargs="?",
        const=2,
        metavar="N",
        help="run one case in N clones (2) of one frozen guest and compare their calls, step by "
        "step, with messages and leaks",
    )
    add_groups(parser, *RUN_GROUPS, ResultOptions, LogOptions)
    parser.set_defaults(handler=_run)


def add_test_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `test` command."""
    suites = ", ".join(shipped_suites())
    parser = commands.add_parser(
        "test",
        help="run suites that come with errpath",
        usage="errpath test [--ktap] [--kselftest-status] SUITE[/FILE][::TEST] ... "
        "[PYTEST-ARGUMENT ...]",
        description=f"Suites: {suites}. What follows them goes to pytest as it is.",
    )
    parser.add_argument(
        "--ktap",
        action="store_true",
        help="write KTAP on standard output as tests end; pytest's own output is on standard error",
    )
    parser.add_argument(
        "--kselftest-status",
        action="store_true",
        help="end with 0 for passed, 1 for failed, 4 where every test was skipped",
    )
    parser.add_argument("suite", metavar="SUITE", help="a suite, a file or a test of it")
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="PYTEST-ARGUMENT",
        help="further suites, then pytest's options",
    )
    parser.set_defaults(handler=_test)


def _run(arguments: argparse.Namespace) -> int:
    """pytest's own status: 0 passed, 1 failed; with --replay, 0 for the same in each clone."""
    if arguments.replay is not None:
        if len(arguments.case) != 1 or arguments.suite:
            raise UsageError("--replay: expected one CASE-ID of the shipped suites")
        return replay(arguments.case[0], RunOptions.from_namespace(arguments), arguments.replay)
    words = [*RunOptions.from_namespace(arguments).to_argv()]
    words += ResultOptions.from_namespace(arguments).to_argv()
    if arguments.verbose:
        # pytest shows what is logged between its own lines.
        words += ["--show-capture=stdout", "--log-cli-level=DEBUG"]
        words += [f"--log-cli-format={LOG_FORMAT}"]
        words += [f"--log-cli-date-format={LOG_DATE_FORMAT}"]
    return run_cases(arguments.case, words, suites=arguments.suite)


def _test(arguments: argparse.Namespace) -> int:
    """pytest's own status, or kselftest's."""
    named = [arguments.suite]
    rest = list(arguments.words)
    while rest and not rest[0].startswith("-"):
        named.append(rest.pop(0))
    words = [*map(suite_path, named), *rest]
    out = sys.stdout
    reporter = KtapReporter(out if arguments.ktap else None, f"errpath test {' '.join(named)}")
    with redirect_stdout(sys.stderr if arguments.ktap else out):
        status = run_pytest(words, reporter)
    return kselftest_status(reporter.counts, status) if arguments.kselftest_status else status
