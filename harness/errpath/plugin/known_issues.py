"""pytest: known issues of a suite. A failure that one explains is an expected failure.

The entries stand in `known-issues.yaml` beside the test or in a directory above it
(`errpath.runner.known_issues`). What a run answered about them is reported at its end: an entry of
which every case ran and passed is FIXED. A run that tests the default kernel with whole suites then
fails, because the file is stale; any other run only reports it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from errpath.cases.case import MountCase
from errpath.errors import ErrpathError
from errpath.kernel import KernelRequest
from errpath.kernel.features.change import Code, has_change
from errpath.results.records import CaseStatus, IssueRecord
from errpath.results.session import RunSession
from errpath.runner.known_issue_files import KNOWN_ISSUES, load_known_issues
from errpath.runner.known_issues import Answers, KnownIssue, KnownIssues, Subject, fixed_issues
from errpath.runner.verdict import Status, Verdict

__all__ = ["FILE_NAME", "KnownIssueBook", "expected_failure", "issue_of", "issue_record"]

FILE_NAME = KNOWN_ISSUES
# Directories above a test's own that are looked at.
_LEVELS = 4
# Options that leave out cases; those that leave them out after collection need no mention.
_SELECTIONS = ("fs", "event", "case", "cases_from")

_issue_key = pytest.StashKey[IssueRecord]()


def issue_of(item: pytest.Item) -> IssueRecord | None:
    """The known issue that explains a test's failure."""
    return item.stash.get(_issue_key, None)


def issue_record(issue: KnownIssue) -> IssueRecord:
    """What a record keeps of an entry."""
    return IssueRecord(issue.id, issue.link, issue.title)


def expected_failure(config: pytest.Config, reason: str) -> None:
    """End a test, or a subtest, as an expected failure, unless these are wanted as failures
    (--runxfail). `pytest.xfail()` shows the values of all arguments on the way here, which takes
    seconds where one of them holds a sweep."""
    if not config.option.runxfail:
        raise pytest.xfail.Exception(reason, pytrace=False)


class KnownIssueBook:
    """The known issues of a session's suites, and what the session's cases answered about them."""

    def __init__(self, config: pytest.Config, session: RunSession) -> None:
        self._config = config
        self._session = session
        self._files: dict[Path, KnownIssues] = {}
        self._found: dict[Path, Path | None] = {}
        # By file, kernel and case (id, filesystem): whether it passed.
        self._answers: dict[tuple[str, str], dict[tuple[str, str], bool]] = {}
        # Of kernels by name, as far as other processes have built them: options that are on, and
        # ids of issues that a change brought.
        self._features: dict[str, list[str]] = {}
        self._brought: dict[str, list[str]] = {}
        self._selected = False

    # -- one case --------------------------------------------------------------------------------

    def explain(
        self, item: pytest.Item, kernel: str, verdict: Verdict
    ) -> tuple[tuple[KnownIssue, ...], str]:
        """The entries that explain all of a FAIL, none if something is left over; and what there is
        to say about entries whose time is over, one line each."""
        path = self._file(item)
        if verdict.status is not Status.FAIL or path is None:
            return (), ""
        known = self._load(path)
        guest = self._session.choices[kernel].testbed.guest
        subject = Subject(verdict.case.id, verdict.case.filesystem, guest)
        today = datetime.date.today()
        note = "".join(
            f"\n  known issue {issue.id}: explained this until {issue.until} ({issue.link})"
            for issue in known.expired(subject, verdict.failures, today)
        )
        return known.explain(subject, verdict.failures, today), note

    def expect(self, item: pytest.Item, kernel: str, verdict: Verdict) -> str:
        """End the test as an expected failure if known issues explain all of `verdict`; else the
        note of `explain`."""
        found, note = self.explain(item, kernel, verdict)
        if found:
            item.stash[_issue_key] = issue_record(found[0])
            expected_failure(self._config, "; ".join(map(str, found)))
        return note

    def note(self, item: pytest.Item, case: MountCase, kernel: str, status: CaseStatus) -> None:
        """Note what a case answered."""
        path = self._file(item)
        if path is not None and status is not CaseStatus.SKIP:
            self._note(path, kernel, case, passed=status is CaseStatus.PASS)

    def note_deselected(self, item: pytest.Item, case: MountCase, kernel: str) -> None:
        """Note that a case was left out."""
        self._selected = True
        path = self._file(item)
        if path is not None:
            self._note(path, kernel, case, passed=False)

    def _note(self, path: Path, kernel: str, case: MountCase, *, passed: bool) -> None:
        cases = self._answers.setdefault((str(path), kernel), {})
        place = (case.id, case.filesystem)
        cases[place] = passed and cases.get(place, True)

    def _file(self, item: pytest.Item) -> Path | None:
        folder = item.path.parent
        if folder not in self._found:
            places = (folder, *folder.parents)[:_LEVELS]
            files = (place / FILE_NAME for place in places)
            self._found[folder] = next((file for file in files if file.is_file()), None)
        return self._found[folder]

    def _load(self, path: Path) -> KnownIssues:
        if path not in self._files:
            try:
                self._files[path] = load_known_issues(path)
            except ErrpathError as error:
                pytest.exit(str(error), returncode=error.exit_status)
        return self._files[path]

    # -- several processes -----------------------------------------------------------------------

    def to_controller(self) -> list[Any]:
        """What a worker has noted, as values that travel."""
        answers = [
            [path, kernel, [[*place, passed] for place, passed in cases.items()]]
            for (path, kernel), cases in self._answers.items()
        ]
        features = {kernel: sorted(self._kernel_features(kernel)) for _, kernel in self._answers}
        brought: dict[str, list[str]] = {}
        for path, kernel in self._answers:
            brought.setdefault(kernel, []).extend(sorted(self._kernel_brought(path, kernel)))
        return [answers, features, brought, self._selected]

    def from_worker(self, values: Sequence[Any]) -> None:
        """Take over what `to_controller` of a worker gave."""
        if not values:
            return
        answers, features, brought, selected = values
        self._features.update(features)
        for kernel, ids in brought.items():
            self._brought.setdefault(kernel, []).extend(ids)
        self._selected = self._selected or selected
        for path, kernel, cases in answers:
            mine = self._answers.setdefault((path, kernel), {})
            for case, filesystem, passed in cases:
                place = (case, filesystem)
                # Each worker collects everything and runs a part: what passed in one has passed.
                mine[place] = passed and mine.get(place, True)

    # -- the end ---------------------------------------------------------------------------------

    def fixed(self) -> dict[tuple[str, str], tuple[tuple[KnownIssue, int], ...]]:
        """By file and kernel, the entries that no longer show, and how many cases said so."""
        found = {}
        for (path, kernel), cases in sorted(self._answers.items()):
            choice = self._session.choices[kernel]
            guest = choice.testbed.guest
            passed = {
                Subject(case, filesystem, guest): ok for (case, filesystem), ok in cases.items()
            }
            answers = Answers(
                passed,
                choice.testbed.conservation,
                self._kernel_features(kernel),
                self._kernel_brought(path, kernel),
            )
            issues = fixed_issues(self._load(Path(path)).issues, answers)
            if issues:
                found[path, kernel] = tuple(
                    (issue, sum(map(issue.covers, passed))) for issue in issues
                )
        return found

    @property
    def stale(self) -> bool:
        """Whether an entry is to be removed: it no longer shows in the run that it is kept for."""
        return self._strict and any(
            not issue.mended for found in self.fixed().values() for issue, _ in found
        )

    @property
    def _strict(self) -> bool:
        """Whether the run tests the default kernel, and that alone, with whole suites."""
        option = self._config.option
        choices: Mapping[str, Any] = self._session.choices
        kernels = [choice.testbed.kernel for choice in choices.values()]
        default = KernelRequest()
        asked = any(getattr(option, name, None) for name in _SELECTIONS)
        whole = all((Path(word)).is_dir() for word in self._config.args)
        return (
            [(k.spec, k.patches, k.kconfig_add) for k in kernels] == [(default.spec, (), ())]
            and all(set(k.fragments) == set(default.fragments) for k in kernels)
            and not asked
            and not self._selected
            and whole
        )

    def lines(self) -> list[str]:
        """What is said at the end of a run."""
        return [
            f"{'STALE' if self._strict and not issue.mended else 'FIXED'} {issue.id}: "
            f"{count} of {count} cases pass on {kernel}: {issue} [{_shown(path)}]"
            for (path, kernel), found in self.fixed().items()
            for issue, count in found
        ]

    def _kernel_features(self, kernel: str) -> frozenset[str]:
        """Configuration options that are on in a kernel that has been built."""
        if kernel in self._features:
            return frozenset(self._features[kernel])
        testbed = dict(self._session.testbeds.built()).get(kernel)
        if testbed is None or testbed.built is None:
            return frozenset()
        lines = testbed.built.config.read_text(encoding="utf-8").splitlines()
        return frozenset(line.partition("=")[0] for line in lines if line.endswith(("=y", "=m")))

    def _kernel_brought(self, path: str, kernel: str) -> frozenset[str]:
        """Ids of the issues of a file that a change brought which a kernel has."""
        if kernel in self._brought:
            return frozenset(self._brought[kernel])
        answers = self._answers[path, kernel]
        # Of nothing else there is a kernel for sure.
        ran = {filesystem for (_, filesystem), passed in answers.items() if passed}
        return frozenset(
            issue.id
            for issue in self._load(Path(path)).issues
            if issue.brought_by is not None
            and issue.filesystem in ran
            and has_change(self._code(kernel, issue.filesystem), issue.brought_by)
        )

    def _code(self, kernel: str, filesystem: str) -> Code:
        return self._session.testbeds.get(kernel, filesystem).code(filesystem)


def _shown(path: str) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
