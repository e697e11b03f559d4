"""The argument parser of the `errpath` command."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import NoReturn

from errpath.errors import UsageError
from errpath.util.option_group import OptionGroup

__all__ = ["USAGE_STATUS", "Parser", "add_groups"]


# The name of a default that gives the status of wrong words, where that is not `UsageError`'s own.
USAGE_STATUS = "usage_status"


class Parser(argparse.ArgumentParser):
    """What is wrong with the words is one line, and an exception."""

    def error(self, message: str) -> NoReturn:
        # Each command has a parser of its own, which is of this type too.
        command = self.prog.removeprefix("errpath").strip()
        place = f"{command}: " if command else ""
        error = UsageError(f"{place}{message} (see `{self.prog} --help`)")
        error.exit_status = self.get_default(USAGE_STATUS) or error.exit_status
        raise error


def add_groups(
    parser: argparse.ArgumentParser, *groups: type[OptionGroup], without: Collection[str] = ()
) -> None:
    """Add the groups of options that a command honours, but for the fields `without`."""
    for group in groups:
        heading = parser.add_argument_group(group.title)
        group.add_to(heading.add_argument, without=without)
