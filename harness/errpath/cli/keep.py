"""`errpath keep`: a case or a reproducer becomes a regression test in a directory of the user's."""

from __future__ import annotations

import argparse
from pathlib import Path

from errpath.cli.chosen_case import find_case
from errpath.cli.parser import add_groups
from errpath.errors import UsageError
from errpath.filesystems.mkfs import use_own_image
from errpath.intake.kept import KEPT_TEST, keep_case, keep_reproducer
from errpath.runner.options import ImageOptions

__all__ = ["add_parser"]


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
