"""A change of behaviour, and how its code shows whether a kernel has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Change", "Code", "has_change"]


class Code(Protocol):
    """The code of a kernel, as far as it can be looked at."""

    def source(self, path: str, /) -> str | None:
        """The text of a source file; None where there is none."""

    def has_function(self, name: str, /) -> bool | None:
        """Whether the code has a function, inlined ones included; None where nothing says so."""


@dataclass(frozen=True)
class Change:
    """Exactly one of `function`, and `file` with `pattern`, is given."""

    # Title of the commit; where that is not known, what changed and in which release.
    commit: str
    # A function that came with it.
    function: str = ""
    # A source file, and a regular expression that is found in it from then on.
    file: str = ""
    pattern: str = ""

    def __post_init__(self) -> None:
        if not self.commit:
            raise ValueError("commit: got nothing; expected the title of the commit")
        if bool(self.file) != bool(self.pattern) or bool(self.file) == bool(self.function):
            raise ValueError(
                f"{self.commit}: expected either function, or file and pattern, to recognise it by"
            )
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(
                f"pattern {self.pattern!r}: {error}; expected a regular expression"
            ) from None

    @property
    def mark(self) -> str:
        """What it is recognised by, for readers."""
        return self.function or f"{self.pattern!r} in {self.file}"


def has_change(code: Code, change: Change) -> bool | None:
    """Whether a kernel has a change; None where there is nothing to decide by."""
    if change.function:
        return code.has_function(change.function)
    text = code.source(change.file)
    return None if text is None else re.search(change.pattern, text, re.MULTILINE) is not None
