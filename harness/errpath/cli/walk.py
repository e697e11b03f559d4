"""The parsers of a command and of all that is below it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

__all__ = ["arguments", "help_of", "parsers"]


def parsers(root: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each parser with the line of help that its command has, in the order of their names."""
    yield root.description or "", root
    yield from _below(root)


def _below(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, below in sorted(action.choices.items()):
                yield texts.get(name, ""), below
                yield from _below(below)


def arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of one parser that its help shows, but for --help and its commands."""
    for action in parser._actions:
        hidden = action.help == argparse.SUPPRESS or action.dest == "help"
        if not hidden and not isinstance(action, argparse._SubParsersAction):
            yield action


def help_of(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """The help of an argument as `--help` prints it."""
    formatter = parser._get_formatter()
    return formatter._expand_help(action) if action.help else ""
