"""Bugs of the kernel that are known: told apart from new ones by what they leave in a report.

One YAML file; each entry names the report under docs/findings and a pattern that one line of the
kernel's own words must match: a crash, the stack of a hung task, the backtrace of a leak.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from errpath.runner.verdict import Verdict
from errpath.util import yamlfile

__all__ = ["KnownIssue", "KnownIssues", "find_issue", "load_known_issues", "words"]


@dataclass(frozen=True)
class KnownIssue:
    """One bug."""

    # Name of docs/findings/NAME.md.
    finding: str
    # "crash", "hang" or "leak": whose words are searched.
    shows: str
    # Regular expression, searched in each line.
    pattern: str

    def __post_init__(self) -> None:
        if self.shows not in ("crash", "hang", "leak"):
            raise ValueError(f"shows: got {self.shows!r}; expected crash, hang or leak")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern {self.pattern!r}: {error}") from None

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def matches(self, lines: Iterable[str]) -> bool:
        """Whether a line is of this bug."""
        return any(self._compiled.search(line) for line in lines)


@dataclass(frozen=True)
class KnownIssues:
    """What the file holds."""

    issues: tuple[KnownIssue, ...]


def load_known_issues(path: Path) -> tuple[KnownIssue, ...]:
    """The known bugs of a file.

    Raises:
        DefinitionError: it is wrong; the text has file and line.
    """
    return yamlfile.load(path, KnownIssues).issues


def words(verdict: Verdict) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(kind, lines) of everything that the kernel said about what went wrong in a case."""
    if verdict.crashes:
        yield "crash", tuple(line for crash in verdict.crashes for line in crash.text.splitlines())
    if verdict.outcome is not None and verdict.outcome.hung:
        yield "hang", tuple(verdict.outcome.stack.splitlines())
    if verdict.leak is not None:
        for record in verdict.leak.records:
            yield "leak", tuple(str(site) for site in record.backtrace)


def find_issue(verdict: Verdict, issues: Sequence[KnownIssue]) -> str:
    """The finding that explains all that went wrong; empty if something is left unexplained.

    A task that hangs after a crash waits for what the crashed one held, and needs no reason of its
    own.
    """
    said = list(words(verdict))
    if any(crash.fatal for crash in verdict.crashes):
        said = [(kind, lines) for kind, lines in said if kind != "hang"]
    if not said:
        return ""
    found = [
        next(
            (issue.finding for issue in issues if issue.shows == kind and issue.matches(lines)), ""
        )
        for kind, lines in said
    ]
    return "" if "" in found else found[0]
