"""Known issues of a job against the records of a run (`errpath.runner.known_issues`)."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from errpath.results.records import CaseRecord
from errpath.runner.known_issue_files import OldText, load_known_issues
from errpath.runner.known_issues import KnownIssue, KnownIssues, Subject

__all__ = ["find_known", "load_known"]


def load_known(path: Path) -> tuple[KnownIssue, ...]:
    """The entries of a file of this or an earlier version.

    Raises:
        DefinitionError: the file is wrong, or two entries have one id.
    """
    return load_known_issues(path).issues


def find_known(
    issues: Sequence[KnownIssue],
    records: Sequence[CaseRecord],
    kernel: str,
    guest: str,
    today: datetime.date,
) -> KnownIssue | None:
    """The entry that explains the first of these failures (of one case), if each is explained."""
    every = KnownIssues(tuple(issues))
    found: list[KnownIssue] = []
    for record in records:
        subject = Subject(record.case, record.filesystem, guest, kernel)
        if record.failures:
            found += every.explain(subject, record.failures, today)[:1]
        else:
            found += _by_text(issues, subject, record, today)[:1]
    return found[0] if records and len(found) == len(records) else None


def _by_text(
    issues: Sequence[KnownIssue], subject: Subject, record: CaseRecord, today: datetime.date
) -> list[KnownIssue]:
    """The entries that explain a record from before failures were kept: those of that time."""
    texts = (record.signature, *record.reasons)
    return [
        issue
        for issue in issues
        if issue.covers(subject)
        and not issue.expired(today)
        and any(isinstance(p, OldText) and p.matches_texts(texts) for p in issue.patterns)
    ]
