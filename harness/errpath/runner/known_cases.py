"""Known issues: cases that are expected to fail in one way on one kernel, for a limited time."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from errpath.runner.verdict import Status, Verdict
from errpath.util import yamlfile

__all__ = ["Answer", "KnownIssue", "KnownIssues", "load_known_issues"]


@dataclass(frozen=True)
class KnownIssue:
    """One bug that is known."""

    # Kernel spec, as --kernel has it, without patches.
    kernel: str
    # Patterns of case ids, with * and [ab].
    cases: tuple[str, ...]
    reason: str
    # Where it is described.
    link: str
    # Day after which the entry is a failure, "YYYY-MM-DD".
    expires: str
    # A function of the leak's backtrace.
    leak: str = ""
    # Or patterns of what repeats do not give back, as "module references: nls_*"; for runs in which
    # that is counted.
    loses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            datetime.date.fromisoformat(self.expires)
        except ValueError:
            raise ValueError(f"expires: got {self.expires!r}; expected YYYY-MM-DD") from None
        if not self.cases or bool(self.leak) == bool(self.loses):
            raise ValueError(
                "expected cases, and either leak or loses, so that nothing else is excused"
            )

    def expired(self, today: datetime.date) -> bool:
        return today > datetime.date.fromisoformat(self.expires)

    def covers(self, case_id: str) -> bool:
        return any(fnmatchcase(case_id, pattern) for pattern in self.cases)

    def explains(self, verdict: Verdict) -> bool:
        """Whether a failure is this one and nothing besides."""
        if verdict.status is not Status.FAIL or verdict.crashes:
            return False
        if self.loses:
            return bool(verdict.losses) and all(
                any(fnmatchcase(str(loss.holding), pattern) for pattern in self.loses)
                for loss in verdict.losses
            )
        if verdict.leak is None:
            return False
        other_reasons = [why for why in verdict.reasons if not why.startswith("leak: ")]
        return not other_reasons and all(
            any(site.function == self.leak for site in record.backtrace)
            for record in verdict.leak.records
        )


class Answer:
    """What a known issue makes of a verdict: kinds of `KnownIssues.judge`."""

    XFAIL = "xfail"
    FAIL = "fail"


@dataclass(frozen=True)
class KnownIssues:
    """The entries of one file."""

    issues: tuple[KnownIssue, ...] = ()

    def judge(
        self, kernel: str, verdict: Verdict, *, today: datetime.date, counted: bool = False
    ) -> tuple[str, str] | None:
        """(Answer, one line) where an entry covers the case; None where none does.

        `counted` says whether this run has counted what repeats leave behind.

        Raises nothing: an entry that is out of date is an answer as well.
        """
        for issue in self.issues:
            if issue.kernel != kernel or not issue.covers(verdict.case.id):
                continue
            if issue.loses and not counted:
                continue
            if issue.expired(today):
                return Answer.FAIL, f"known issue expired on {issue.expires}: {issue.link}"
            if verdict.status is Status.PASS:
                return (
                    Answer.FAIL,
                    f"passes unexpectedly: {issue.reason} ({issue.link}); "
                    "expected the known issue, or its entry removed",
                )
            if issue.explains(verdict):
                return Answer.XFAIL, f"{issue.reason} ({issue.link})"
        return None


def load_known_issues(path: Path) -> KnownIssues:
    """The known issues in a file.

    Raises:
        DefinitionError: the file is wrong.
    """
    return yamlfile.load(path, KnownIssues)
