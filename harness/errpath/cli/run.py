"""`errpath run CASE-ID`: one case, or a few, again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from errpath.cli.parser import add_groups
from errpath.errors import UsageError
from errpath.filesystems import known_filesystems
from errpath.runner.options import RUN_GROUPS, ResultOptions, RunOptions, SelectionOptions
from errpath.util.resources import SUITES

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `run` command."""
    parser = commands.add_parser("run", help="run cases by their ids")
    parser.add_argument("case", nargs="+", metavar="CASE-ID", help="as in a test's brackets")
    add_groups(parser, *RUN_GROUPS, ResultOptions)
    parser.set_defaults(handler=_run)


def _run(arguments: argparse.Namespace) -> int:
    """pytest's own status: 0 passed, 1 failed."""
    if not SUITES.is_dir():
        raise UsageError(f"{SUITES}: no suites; expected errpath to run from its checkout")
    words = [str(path) for path in _suites_of(arguments.case)]
    words += SelectionOptions(case=tuple(arguments.case)).to_argv()
    words += RunOptions.from_namespace(arguments).to_argv()
    words += ResultOptions.from_namespace(arguments).to_argv()
    words += ["--rootdir", str(SUITES.parent), "-q"]
    sys.stdout.flush()
    return int(pytest.main(words))


def _suites_of(cases: Sequence[str]) -> list[Path]:
    """The suites that may hold the cases. An id that begins with a suite's name is of that suite: a
    suite may have images to make before it knows its cases."""
    suites = [path for path in sorted(SUITES.iterdir()) if (path / "__init__.py").is_file()]
    named = {
        path.name: path for path in suites if path.name not in (*known_filesystems(), "selftest")
    }
    chosen = {named[case.split("-")[0]] for case in cases if case.split("-")[0] in named}
    if any(case.split("-")[0] not in named for case in cases):
        chosen |= {path for path in suites if path.name in known_filesystems()}
    return sorted(chosen)
