"""Known issues: failures of a kernel that are reported already, each with a link.

    issues:
      - id: adfs-setup-bdev
        title: s_fs_info is lost when setup_bdev_super() fails
        link: docs/findings/adfs.md
        cases: ["killsb-adfs-[ab]-*"]
        failure: {kind: leak, function: adfs_init_fs_context}
        until: 2027-05-31

An entry is matched against the `Failure`s of a case, never against the identity of a kernel. It
explains one kind of failure in one place: whatever else goes wrong in its cases is a failure as in
any other case. `errpath.runner.known_issues_old` reads the files of earlier versions.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from errpath.kernel.features.change import Change
from errpath.oracles.failure import INFRASTRUCTURE, RESOURCE_LEAK, Failure, kind_named
from errpath.runner.verdict import Verdict

__all__ = [
    "Answers",
    "FailurePattern",
    "KnownIssue",
    "KnownIssues",
    "Subject",
    "fixed_issues",
    "until_date",
]


@dataclass(frozen=True)
class FailurePattern:
    """What a failure must be. Every key that is given must fit."""

    # Name of a kind (`errpath.oracles.failure`).
    kind: str
    # Shell patterns; one of them fits a function on the failure's stack.
    function: str | tuple[str, ...] = ()
    # Shell patterns; one of them fits the resource, such as "module references: nls_*".
    resource: str | tuple[str, ...] = ()
    # Regular expression, found in title or detail.
    text: str = ""

    def __post_init__(self) -> None:
        if self.kind:
            kind_named(self.kind)
        if self.kind == INFRASTRUCTURE.name:
            raise ValueError("kind infrastructure: expected a failure of the kernel")
        for name in ("function", "resource"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        if not (self.function or self.resource or self.text):
            raise ValueError(
                "failure: expected function, resource or text, so that nothing else is excused"
            )
        try:
            re.compile(self.text)
        except re.error as error:
            raise ValueError(
                f"text {self.text!r}: {error}; expected a regular expression"
            ) from None

    def matches(self, failure: Failure) -> bool:
        """Whether a failure is this one."""
        return (
            (not self.kind or self.kind == failure.kind.name)
            and _any_fits(self.function, failure.functions)
            and _any_fits(self.resource, (failure.resource,))
            and (not self.text or re.search(self.text, failure.line) is not None)
        )


def _any_fits(patterns: Collection[str], names: Iterable[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


@dataclass(frozen=True)
class Subject:
    """A case where it ran."""

    case: str
    filesystem: str = ""
    # Name of the guest definition; empty where it is not known, which fits every pattern.
    guest: str = ""
    # The job's name of the kernel, for files of earlier versions.
    kernel: str = ""


def until_date(text: Any) -> datetime.date | None:
    """The day of an entry's `until`; None for no end.

    Raises:
        ValueError: it is no YYYY-MM-DD.
    """
    try:
        return datetime.date.fromisoformat(str(text)) if text else None
    except ValueError:
        raise ValueError(f"until: got {text!r}; expected YYYY-MM-DD") from None


@dataclass(frozen=True)
class KnownIssue:
    """One bug that is known."""

    id: str
    # Where it is being dealt with: an address, or a file of this repository.
    link: str
    # Shell patterns of case ids.
    cases: tuple[str, ...]
    # What it looks like: each failure of a case must fit one of these, or one of another entry's.
    failure: FailurePattern | tuple[FailurePattern, ...]
    # One line for reports; the id unless given.
    title: str = ""
    # Shell patterns of the case's filesystem and of the guest definition's name.
    filesystem: str = "*"
    guest: str = "*"
    # Last day on which the entry explains anything, YYYY-MM-DD; empty for no end.
    until: Any = ""
    # Title of the commit that mended it; kernels without the commit still show it.
    mended: str = ""
    # Configuration options, such as CONFIG_KASAN, without which a kernel does not show it.
    features: tuple[str, ...] = ()
    # What brought it: kernels without that change do not show it. The filesystem is named then.
    brought_by: Change | None = None

    def __post_init__(self) -> None:
        if not self.id or not self.link:
            raise ValueError("expected an id, and a link to where the issue is being dealt with")
        if not self.cases:
            raise ValueError("cases: got none; expected at least one pattern of case ids")
        patterns = self.failure if isinstance(self.failure, tuple) else (self.failure,)
        if not patterns:
            raise ValueError("failure: got none; expected what the failure is")
        if self.brought_by is not None and not self.filesystem.isalnum():
            raise ValueError(f"filesystem {self.filesystem!r}: expected a name beside brought_by")
        object.__setattr__(self, "failure", patterns)
        object.__setattr__(self, "title", self.title or self.id)
        object.__setattr__(self, "until", until_date(self.until))

    @property
    def patterns(self) -> tuple[FailurePattern, ...]:
        """What a failure must match one of."""
        return self.failure if isinstance(self.failure, tuple) else (self.failure,)

    @property
    def counted(self) -> bool:
        """Whether it shows only where resources are counted."""
        return all(pattern.kind == RESOURCE_LEAK.name for pattern in self.patterns)

    def covers(self, subject: Subject) -> bool:
        """Whether a case is one of this entry's."""
        return (
            any(fnmatchcase(subject.case, pattern) for pattern in self.cases)
            and (not subject.filesystem or fnmatchcase(subject.filesystem, self.filesystem))
            and (not subject.guest or fnmatchcase(subject.guest, self.guest))
        )

    def expired(self, today: datetime.date) -> bool:
        """Whether `until` lies before a day; never without `until`."""
        return self.until is not None and today > self.until

    def explains(self, failure: Failure) -> bool:
        """Whether a failure is this issue's."""
        return any(pattern.matches(failure) for pattern in self.patterns)

    def __str__(self) -> str:
        mended = f"; mended by {self.mended!r}" if self.mended else ""
        return f"{self.title} ({self.link}{mended})"


@dataclass(frozen=True)
class KnownIssues:
    """The entries of one file."""

    issues: tuple[KnownIssue, ...] = ()

    def __post_init__(self) -> None:
        ids = [issue.id for issue in self.issues]
        again = [name for name in ids if ids.count(name) > 1]
        if again:
            raise ValueError(f"id {again[0]!r} twice; expected it once")

    def explain(
        self, subject: Subject, failures: Sequence[Failure], today: datetime.date
    ) -> tuple[KnownIssue, ...]:
        """The entries that together explain every failure of a case, in the failures' order; none
        if one is left over, or if the infrastructure failed.

        What only follows from another failure needs no entry.
        """
        if any(failure.kind is INFRASTRUCTURE for failure in failures):
            return ()
        here = [
            issue for issue in self.issues if issue.covers(subject) and not issue.expired(today)
        ]
        found: dict[str, KnownIssue] = {}
        for failure in failures:
            if failure.follows:
                continue
            issue = next((issue for issue in here if issue.explains(failure)), None)
            if issue is None:
                return ()
            found[issue.id] = issue
        return tuple(found.values())

    def explain_today(self, verdict: Verdict, guest: str) -> tuple[KnownIssue, ...]:
        """`explain` for a verdict in a guest of this definition, on this day."""
        subject = Subject(verdict.case.id, verdict.case.filesystem, guest)
        return self.explain(subject, verdict.failures, datetime.date.today())

    def expired(
        self, subject: Subject, failures: Sequence[Failure], today: datetime.date
    ) -> tuple[KnownIssue, ...]:
        """The entries that would explain a failure of a case if their time were not over."""
        return tuple(
            issue
            for issue in self.issues
            if issue.covers(subject) and issue.expired(today) and any(map(issue.explains, failures))
        )


@dataclass(frozen=True)
class Answers:
    """What a run answered, as far as it says whether a known issue still shows."""

    # By case: True for a pass, False for anything else, not run included.
    passed: Mapping[Subject, bool] = field(default_factory=dict)
    # Whether resources were counted.
    counted: bool = False
    # Configuration options that are on in the kernel.
    features: frozenset[str] = frozenset()
    # Ids of the entries with a `brought_by` that the kernel has.
    brought: frozenset[str] = frozenset()


def fixed_issues(issues: Iterable[KnownIssue], answers: Answers) -> tuple[KnownIssue, ...]:
    """The entries that would have shown in a run, and of which every case passed: at least one for
    each of their patterns."""
    return tuple(issue for issue in issues if _fixed(issue, answers))


def _fixed(issue: KnownIssue, answers: Answers) -> bool:
    if issue.counted and not answers.counted:
        return False
    if not set(issue.features) <= answers.features:
        return False
    if issue.brought_by is not None and issue.id not in answers.brought:
        return False
    mine = {subject: passed for subject, passed in answers.passed.items() if issue.covers(subject)}
    every = all(
        any(fnmatchcase(subject.case, pattern) for subject in mine) for pattern in issue.cases
    )
    return every and all(mine.values())
