"""Files of known issues → entries; also those of earlier versions, which are converted.

Earlier there were three schemas: a job's `known:` file (title, a regular expression), the suites'
(kernel, leak or loses) and the one of mutated images (finding, shows). Their entries explain what
they explained then, but for one thing: the kernel's spec of the suites' file is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from errpath.errors import DefinitionError
from errpath.oracles.failure import HANG, LEAK, OOPS, RESOURCE_LEAK, Failure, stable_text
from errpath.oracles.kernel_log import LOG_KINDS
from errpath.runner.known_issues import (
    FailurePattern,
    KnownIssue,
    KnownIssues,
    Subject,
    until_date,
)
from errpath.util import yamlfile

__all__ = ["KNOWN_ISSUES", "OldJobIssue", "OldText", "load_known_issues", "old_texts"]

# Name of a suite's file.
KNOWN_ISSUES = "known-issues.yaml"
# Functions in a leak's signature of then.
_DEPTH = 4


def load_known_issues(path: Path) -> KnownIssues:
    """The entries of a file of this or an earlier version.

    Raises:
        DefinitionError: it is wrong; the text has file and line.
    """
    keys = _first_keys(path)
    try:
        if "id" not in keys and "finding" in keys:
            return KnownIssues(tuple(map(_of_finding, yamlfile.load(path, _Findings).issues)))
        if "id" not in keys and "kernel" in keys:
            return KnownIssues(
                tuple(
                    _of_suite(number, entry)
                    for number, entry in enumerate(yamlfile.load(path, _Suite).issues, 1)
                )
            )
        if "id" not in keys and "title" in keys:
            return KnownIssues(tuple(map(_of_job, yamlfile.load(path, _Job).issues)))
    except ValueError as error:
        raise DefinitionError(f"{path}:1: {error}") from None
    return yamlfile.load(path, KnownIssues)


def _first_keys(path: Path) -> frozenset[str]:
    """Keys of the first entry; none where the file is anything else, which the reader will say."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        return frozenset(value["issues"][0])
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return frozenset()


# -- a job's file --------------------------------------------------------------------------------


def old_texts(failure: Failure) -> Iterator[str]:
    """What was said of a failure in signature and reasons before failures were kept."""
    yield from (failure.line, failure.title, failure.signature, failure.detail)
    printed = failure.detail or failure.title
    if failure.kind is LEAK:
        yield f"leak: {failure.detail}"
        for at in range(len(failure.functions)):
            functions = " < ".join(failure.functions[at : at + _DEPTH])
            yield f"leak {failure.size} < {functions}"
    if failure.kind is RESOURCE_LEAK:
        yield f"not given back: {failure.resource}: {failure.detail}"
    if failure.kind is HANG:
        yield f"hang: {failure.detail}"
    for name, kind in LOG_KINDS.items():
        if kind is failure.kind:
            where = f" in {failure.functions[0]}" if failure.functions else ""
            yield f"kernel {name}: {printed}"
            yield f"{name} {stable_text(printed)}{where}"


@dataclass(frozen=True)
class OldText(FailurePattern):
    """A regular expression that is found in what was said then."""

    def matches(self, failure: Failure) -> bool:
        """Whether what was said of such a failure has the expression."""
        return any(re.search(self.text, text) for text in old_texts(failure))

    def matches_texts(self, texts: tuple[str, ...]) -> bool:
        """The same for a record from then: its signature and reasons."""
        return any(re.search(self.text, text) for text in texts)


@dataclass(frozen=True)
class OldJobIssue(KnownIssue):
    """An entry that is also bound to the job's names of kernels."""

    # Shell patterns.
    kernels: tuple[str, ...] = ("*",)

    def covers(self, subject: Subject) -> bool:
        return super().covers(subject) and any(
            fnmatchcase(subject.kernel, pattern) for pattern in self.kernels
        )


@dataclass(frozen=True)
class _JobEntry:
    title: str
    link: str
    cases: tuple[str, ...]
    # Regular expression.
    failure: str
    kernels: tuple[str, ...] = ("*",)
    until: Any = ""

    def __post_init__(self) -> None:
        if not re.match(r"https?://|mailto:", self.link):
            raise ValueError(f"link: got {self.link!r}; expected http://, https:// or mailto:")
        if not self.cases:
            raise ValueError("cases: got none; expected at least one pattern of case ids")
        if not self.failure:
            raise ValueError("failure: got nothing; expected what the failure says")
        try:
            re.compile(self.failure)
        except re.error as error:
            raise ValueError(f"failure: {error}; expected a regular expression") from None
        until_date(self.until)


@dataclass(frozen=True)
class _Job:
    issues: tuple[_JobEntry, ...]


def _of_job(entry: _JobEntry) -> KnownIssue:
    return OldJobIssue(
        entry.title,
        entry.link,
        entry.cases,
        OldText("", text=entry.failure),
        until=entry.until,
        kernels=entry.kernels,
    )


# -- the suites' file ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _SuiteEntry:
    kernel: str
    cases: tuple[str, ...]
    reason: str
    link: str
    expires: str
    leak: str = ""
    loses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            until_date(self.expires)
        except ValueError:
            raise ValueError(f"expires: got {self.expires!r}; expected YYYY-MM-DD") from None
        if not self.cases or bool(self.leak) == bool(self.loses):
            raise ValueError(
                "expected cases, and either leak or loses, so that nothing else is excused"
            )


@dataclass(frozen=True)
class _Suite:
    issues: tuple[_SuiteEntry, ...] = ()


def _of_suite(number: int, entry: _SuiteEntry) -> KnownIssue:
    pattern = (
        FailurePattern(LEAK.name, function=entry.leak)
        if entry.leak
        else FailurePattern(RESOURCE_LEAK.name, resource=entry.loses)
    )
    return KnownIssue(
        f"{number}-{Path(entry.link).stem}",
        entry.link,
        entry.cases,
        pattern,
        title=entry.reason,
        until=entry.expires,
    )


# -- the file of mutated images ------------------------------------------------------------------


@dataclass(frozen=True)
class _Finding:
    finding: str
    shows: str
    # Regular expression, searched in each line of the kernel's text.
    pattern: str

    def __post_init__(self) -> None:
        if self.shows not in ("crash", "hang", "leak"):
            raise ValueError(f"shows: got {self.shows!r}; expected crash, hang or leak")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern {self.pattern!r}: {error}") from None


@dataclass(frozen=True)
class _Findings:
    issues: tuple[_Finding, ...]


@dataclass(frozen=True)
class _OldLine(FailurePattern):
    """A regular expression that is found in a line of the kernel's text, by what went wrong."""

    shows: str = ""

    def matches(self, failure: Failure) -> bool:
        if self.shows == "crash":
            fits = failure.kind in {*LOG_KINDS.values(), OOPS} and failure.kind is not HANG
        else:
            fits = failure.kind.name == self.shows
        return fits and any(re.search(self.text, x) for x in failure.evidence.splitlines())


def _of_finding(entry: _Finding) -> KnownIssue:
    return KnownIssue(
        entry.finding,
        f"docs/findings/{entry.finding}.md",
        ("*",),
        _OldLine("", text=entry.pattern, shows=entry.shows),
    )
