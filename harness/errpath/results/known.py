"""Known issues: failures that somebody has seen, with a link to where it is being dealt with.

    issues:
      - title: hfs leaks s_fs_info when setup_bdev_super fails
        link: https://lore.kernel.org/r/…
        cases: ["hfs-setup_bdev_super-*"]
        failure: "leak \\\\d+ < hfs_init_fs_context"
        kernels: ["stable*"]
        until: 2027-01-31

An entry covers a failure only when all of its cases, failure (a regular expression over signature
and reasons) and kernels fit and its day is not past: an entry cannot hide something else for ever.
"""

from __future__ import annotations

import datetime
import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errpath.errors import DefinitionError
from errpath.results.records import CaseRecord
from errpath.util import yamlfile

__all__ = ["KnownIssue", "find_known", "load_known"]


@dataclass(frozen=True)
class KnownIssue:
    """One entry."""

    title: str
    # Where it is being dealt with; an entry without one would be an excuse.
    link: str
    # Shell patterns of case ids.
    cases: tuple[str, ...]
    # Regular expression that must be found in the signature or in a reason.
    failure: str
    # Shell patterns of the job's kernel names.
    kernels: tuple[str, ...] = ("*",)
    # Last day on which the entry counts, YYYY-MM-DD; empty for no end.
    until: Any = ""

    def __post_init__(self) -> None:
        if not re.match(r"https?://|mailto:", self.link):
            raise ValueError(f"link: got {self.link!r}; expected http://, https:// or mailto:")
        if not self.cases:
            raise ValueError("cases: got none; expected at least one pattern of case ids")
        try:
            re.compile(self.failure)
        except re.error as error:
            raise ValueError(f"failure: {error}; expected a regular expression") from None
        if not self.failure:
            raise ValueError("failure: got nothing; expected what the failure says")
        try:
            day = datetime.date.fromisoformat(str(self.until)) if self.until else None
        except ValueError:
            raise ValueError(f"until: got {self.until!r}; expected YYYY-MM-DD") from None
        object.__setattr__(self, "until", day)

    def covers(self, record: CaseRecord, kernel: str, today: datetime.date) -> bool:
        """Whether this entry is about the failure of `record`."""
        if self.until and today > self.until:
            return False
        if not any(fnmatch.fnmatchcase(record.case, pattern) for pattern in self.cases):
            return False
        if not any(fnmatch.fnmatchcase(kernel, pattern) for pattern in self.kernels):
            return False
        found = re.compile(self.failure)
        return any(found.search(text) for text in (record.signature, *record.reasons))


@dataclass(frozen=True)
class _File:
    issues: tuple[KnownIssue, ...]


def load_known(path: Path) -> tuple[KnownIssue, ...]:
    """The entries of a file.

    Raises:
        DefinitionError: the file is wrong, or two entries have one title.
    """
    issues = yamlfile.load(path, _File).issues
    titles: set[str] = set()
    for issue in issues:
        if issue.title in titles:
            raise DefinitionError(f"{path}:1: title {issue.title!r} twice; expected it once")
        titles.add(issue.title)
    return issues


def find_known(
    issues: Iterable[KnownIssue],
    records: Sequence[CaseRecord],
    kernel: str,
    today: datetime.date,
) -> KnownIssue | None:
    """The entry that covers every one of these failures (of one case), if one does."""
    if not records:
        return None
    for issue in issues:
        if all(issue.covers(record, kernel, today) for record in records):
            return issue
    return None
