"""One subcommand with what it runs replaced."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from errpath.cli.main import main
from errpath.cli.parser import Parser

__all__ = ["run_command"]


def run_command(add_parser: Callable[..., None], *words: str, **seams: Any) -> int:
    """The status of `errpath WORDS`; `seams` are keyword arguments of `add_parser`."""
    parser = Parser(prog="errpath")
    commands: argparse._SubParsersAction[argparse.ArgumentParser] = parser.add_subparsers(  # type: ignore[assignment]
        dest="command", required=True
    )
    add_parser(commands, **seams)
    return main(words, parser=parser)
