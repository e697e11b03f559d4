"""Known issues of the kernel in the results of other projects' suites."""

from __future__ import annotations

import datetime
from dataclasses import replace

from errpath.results.records import CaseRecord, CaseStatus, IssueRecord
from errpath.runner.known_issues import KnownIssues, Subject

__all__ = ["explained"]


def explained(
    record: CaseRecord, known: KnownIssues, *, guest: str, today: datetime.date
) -> CaseRecord:
    """A failed test as an expected failure if entries explain each of its failures; else itself."""
    if record.status is not CaseStatus.FAIL:
        return record
    subject = Subject(record.case, record.filesystem, guest)
    found = known.explain(subject, record.failures, today)
    if not found:
        return record
    issue = IssueRecord(found[0].id, found[0].link, found[0].title)
    return replace(record, status=CaseStatus.XFAIL, issue=issue)
