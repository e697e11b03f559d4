"""Known issues excuse one way to fail, on one kernel, for a limited time; nothing else."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from errpath.cases.case import MountCase, Outcome
from errpath.cases.crafted import crafted_cases
from errpath.cases.lifecycle import plan
from errpath.errors import DefinitionError
from errpath.filesystems import known_filesystems
from errpath.kernel.log import Crash
from errpath.oracles.kmemleak import CallSite, Record
from errpath.oracles.resources import Resource, ResourceLeak
from errpath.runner.known_cases import Answer, KnownIssue, KnownIssues, load_known_issues
from errpath.runner.verdict import Leak, Status, Verdict
from suites.hfs import test_mount

TODAY = datetime.date(2027, 1, 1)
ISSUE = KnownIssue("debian:7.2", ("killsb-efs-[ab]-*",), "why", "link", "2027-01-31", leak="guilty")
LOSS = KnownIssue(
    "debian:7.2", ("killsb-efs-a-*",), "why", "link", "2027-01-31", loses=("inodes: efs_*",)
)
KNOWN = KnownIssues((ISSUE,))
FILE = Path(__file__).parents[2] / "known-issues.yaml"


def _case() -> MountCase:
    return next(one.case for one in plan(("efs",), ("a",)) if one.case is not None)


def _record(function: str) -> Record:
    return Record(1, 64, "t", 1, 1, (CallSite("kmalloc", 1, None), CallSite(function, 2, "m")), "")


def _leaks(*functions: str) -> Verdict:
    records = tuple(_record(function) for function in functions)
    reasons = ("leak: 1 unreferenced object, 64 bytes",)
    return Verdict(_case(), Status.FAIL, reasons, Outcome("t", 1), Leak(records, 2, 2))


def test_the_known_leak_is_expected() -> None:
    answer = KNOWN.judge("debian:7.2", _leaks("guilty", "guilty"), today=TODAY)
    assert answer == (Answer.XFAIL, "why (link)")


@pytest.mark.parametrize(
    "verdict",
    [
        _leaks("innocent"),
        _leaks("guilty", "innocent"),
        Verdict(_case(), Status.FAIL, ("kernel oops: x",), crashes=(Crash("oops", "x", "", True),)),
        Verdict(
            _case(), Status.FAIL, ("leak: 1", "mount: 0; expected"), leak=_leaks("guilty").leak
        ),
    ],
)
def test_another_failure_is_not_excused(verdict: Verdict) -> None:
    assert KNOWN.judge("debian:7.2", verdict, today=TODAY) is None


def test_another_kernel_or_case_is_not_excused() -> None:
    assert KNOWN.judge("debian:7.3", _leaks("guilty"), today=TODAY) is None
    one = KnownIssue("debian:7.2", ("killsb-x-*",), "", "", "2027-01-31", leak="f")
    other = KnownIssues((one,))
    assert other.judge("debian:7.2", _leaks("guilty"), today=TODAY) is None


def _loses(*names: str) -> Verdict:
    losses = tuple(ResourceLeak(Resource("inodes", name), 24, 24) for name in names)
    return Verdict(_case(), Status.FAIL, ("not given back: x",), losses=losses)


def test_a_known_loss_is_expected_where_losses_are_counted() -> None:
    known = KnownIssues((LOSS,))
    expected = (Answer.XFAIL, "why (link)")
    lost = _loses("efs_inode_cache from efs_alloc_inode")
    assert known.judge("debian:7.2", lost, today=TODAY, counted=True) == expected
    more = _loses("efs_inode_cache", "ext2_inode_cache")
    assert known.judge("debian:7.2", more, today=TODAY, counted=True) is None
    assert known.judge("debian:7.2", _leaks("guilty"), today=TODAY, counted=True) is None
    passed = Verdict(_case(), Status.PASS)
    assert known.judge("debian:7.2", passed, today=TODAY) is None
    answer = known.judge("debian:7.2", passed, today=TODAY, counted=True)
    assert answer is not None
    assert answer[0] == Answer.FAIL


def test_an_unexpected_pass_fails() -> None:
    answer = KNOWN.judge("debian:7.2", Verdict(_case(), Status.PASS), today=TODAY)
    assert answer is not None
    assert answer[0] == Answer.FAIL
    assert "passes unexpectedly" in answer[1]


def test_an_expired_entry_fails_whatever_the_case_does() -> None:
    late = datetime.date(2027, 2, 1)
    for verdict in (_leaks("guilty"), Verdict(_case(), Status.PASS)):
        answer = KNOWN.judge("debian:7.2", verdict, today=late)
        assert answer == (Answer.FAIL, "known issue expired on 2027-01-31: link")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("issues: [{kernel: a}]", r"k\.yaml:1: issues\[0\] has no key 'cases'"),
        (
            "issues:\n - {kernel: k, cases: [a], leak: f, reason: r, link: l, expires: soon}",
            r"k\.yaml:2: expires: got 'soon'; expected YYYY-MM-DD",
        ),
        (
            "issues:\n"
            " - {kernel: k, cases: [], leak: f, reason: r, link: l, expires: '2027-01-01'}",
            r"k\.yaml:2: expected cases, and either leak or loses",
        ),
    ],
)
def test_a_wrong_file_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "k.yaml"
    path.write_text(text)
    with pytest.raises(DefinitionError, match=message):
        load_known_issues(path)


def test_our_own_file_covers_cases_that_exist_and_links_that_exist() -> None:
    ids = [one.id for one in plan(known_filesystems())]
    ids += [case.id for case in (*test_mount.CASES, *crafted_cases())]
    for issue in load_known_issues(FILE).issues:
        for pattern in issue.cases:
            only = KnownIssue(issue.kernel, (pattern,), "", "", issue.expires, leak="f")
            assert any(only.covers(case) for case in ids), pattern
        assert (FILE.parents[1] / issue.link).is_file(), issue.link
