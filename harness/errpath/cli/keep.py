"""`errpath keep`: a case or a reproducer becomes a regression test in a directory of the user's."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from pathlib import Path

import pytest

from errpath.cases.case import MountCase
from errpath.cli.parser import add_groups
from errpath.cli.run import suites_of
from errpath.errors import UsageError
from errpath.filesystems.mkfs import use_own_image
from errpath.intake.kept import KEPT_TEST, keep_case, keep_reproducer
from errpath.runner.options import ImageOptions, SelectionOptions
from errpath.util.resources import PYTEST_WORDS, suite_path

__all__ = ["add_parser", "find_case"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `keep` command."""
    parser = commands.add_parser(
        "keep",
        help="make a regression test of a case or a reproducer",
        description="Writes DIR/NAME.yaml, the image or the source beside it, and once "
        f"DIR/{KEPT_TEST}: `pytest DIR` runs all of them.",
    )
    parser.add_argument("what", metavar="CASE-ID|FILE", help="a case's id, or a reproducer")
    parser.add_argument("--as", dest="name", required=True, metavar="NAME", help="its name")
    parser.add_argument(
        "--into", type=Path, default=Path("kept"), metavar="DIR", help="directory (default kept)"
    )
    parser.add_argument("--title", default="", metavar="TEXT", help="what the bug shows")
    parser.add_argument("--finding", default="", metavar="LINK", help="where it is dealt with")
    parser.add_argument(
        "--known",
        action="store_true",
        help="the bug is not mended yet: a failure is expected, and a pass is reported",
    )
    add_groups(parser, ImageOptions)
    parser.set_defaults(handler=_keep)


def _keep(arguments: argparse.Namespace) -> int:
    labels = {"title": arguments.title, "link": arguments.finding, "known": arguments.known}
    if Path(arguments.what).is_file():
        if arguments.image is not None:
            raise UsageError("keep: a reproducer has its own image; expected no --image")
        file = keep_reproducer(Path(arguments.what), arguments.into, arguments.name, **labels)
    else:
        use_own_image(arguments.image)
        case = find_case(arguments.what, arguments.image)
        file = keep_case(case, arguments.into, arguments.name, **labels)
    print(f"{file}: kept; pytest {arguments.into} runs it")
    return 0


class _Grabber:
    """pytest plugin: the case of the first test that has one."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self.case: MountCase | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            callspec = getattr(item, "callspec", None)
            case = callspec.params.get("case") if callspec is not None else None
            if isinstance(case, MountCase) and case.id == self._wanted:
                self.case = case


def find_case(case_id: str, image: Path | None) -> MountCase:
    """The case of an id, as the suites have it.

    Raises:
        UsageError: no suite has it.
    """
    grabber = _Grabber(case_id)
    words = [suite_path(name) for name in suites_of([case_id])]
    words += SelectionOptions(case=(case_id,)).to_argv() + ImageOptions(image).to_argv()
    quiet = ("--collect-only", "-qqq", "-p", "no:cacheprovider")
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = pytest.main([*PYTEST_WORDS, *quiet, *words], [grabber])
    if grabber.case is None and status not in (
        pytest.ExitCode.OK,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    ):
        print(said.getvalue(), file=sys.stderr)
    if grabber.case is None:
        raise UsageError(f"{case_id}: no file, and no case of a suite; expected one of them")
    return grabber.case
