"""`errpath run CASE-ID` and `errpath test SUITE`: pytest over the shipped suites."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from errpath.cli.parser import add_groups
from errpath.errors import UsageError
from errpath.filesystems import known_filesystems
from errpath.plugin.ktap import KtapReporter, kselftest_status
from errpath.runner.options import (
    RUN_GROUPS,
    LogOptions,
    ResultOptions,
    RunOptions,
    SelectionOptions,
)
from errpath.util.logs import LOG_DATE_FORMAT, LOG_FORMAT
from errpath.util.resources import PYTEST_WORDS, SUITES, shipped_suites, suite_path

__all__ = ["add_parser", "add_test_parser", "run_cases", "run_pytest", "suites_of"]


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
    """pytest's own status: 0 passed, 1 failed."""
    words = [*RunOptions.from_namespace(arguments).to_argv()]
    words += ResultOptions.from_namespace(arguments).to_argv()
    if arguments.verbose:
        # pytest shows what is logged between its own lines.
        words += ["--show-capture=stdout", "--log-cli-level=DEBUG"]
        words += [f"--log-cli-format={LOG_FORMAT}"]
        words += [f"--log-cli-date-format={LOG_DATE_FORMAT}"]
    return run_cases(arguments.case, words, suites=arguments.suite)


def run_cases(
    cases: Sequence[str],
    words: Sequence[str],
    *,
    suites: Sequence[Path] = (),
    plugins: Sequence[object] = (),
) -> int:
    """Cases by their ids, with pytest's words and plugins of ours; its own status. `suites` are
    searched in place of those that come with errpath.

    Raises:
        UsageError: errpath is installed without its suites, or one of `suites` is not there.
    """
    selection = SelectionOptions(case=tuple(cases)).to_argv()
    for path in suites:
        if not path.exists():
            raise UsageError(f"--suite {path}: no such file; expected a file or directory of tests")
    if suites:
        sys.stdout.flush()
        own = [*map(str, suites), *selection, *words, "-q"]
        return int(pytest.main(own, plugins=list(plugins)))
    if not SUITES.is_dir():
        raise UsageError(f"{SUITES}: no suites; expected them where errpath is installed")
    chosen = [suite_path(name) for name in suites_of(cases)]
    return run_pytest([*chosen, *selection, *words, "-q"], *plugins)


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


def run_pytest(words: Sequence[str], *plugins: object) -> int:
    """pytest over shipped suites, with its own status."""
    sys.stdout.flush()
    # Where errpath is installed nothing can be written, perhaps.
    cache = f"cache_dir={Path.cwd() / '.pytest_cache'}"
    return int(pytest.main([*PYTEST_WORDS, "-o", cache, *words], plugins=plugins))


def suites_of(cases: Sequence[str]) -> list[str]:
    """The suites that may hold the cases. An id that begins with a suite's name is of that suite: a
    suite may have images to make before it knows its cases."""
    suites = shipped_suites()
    named = set(suites) - set(known_filesystems())
    chosen = {case.split("-")[0] for case in cases} & named
    if any(case.split("-")[0] not in named for case in cases):
        chosen |= set(suites) - named
    return sorted(chosen)
