"""Known issues explain one failure in one place, for a limited time; nothing else."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.beside.kernel_suites import KUNIT_MODULES
from errpath.cases.crafted import crafted_cases, known_issue_cases
from errpath.cases.files import file_cases
from errpath.cases.lifecycle import plan
from errpath.errors import DefinitionError
from errpath.faults.points import POINT_KINDS
from errpath.filesystems import SWEEP_EVENTS, known_filesystems, load_filesystem
from errpath.kernel.features.change import Change
from errpath.oracles import failure
from errpath.oracles.failure import Failure
from errpath.runner.known_issue_files import load_known_issues
from errpath.runner.known_issues import (
    Answers,
    FailurePattern,
    KnownIssue,
    KnownIssues,
    Subject,
    fixed_issues,
)
from suites.hfs import test_catalog, test_mount
from suites.selftest.paths import ROOT

_TODAY = datetime.date(2027, 1, 1)
_PATTERN = FailurePattern("leak", function="omfs_get_*")
_ISSUE = KnownIssue("omfs", "link", ("omfs-[ab]-*",), _PATTERN, until="2027-01-31")
_CASE = Subject("omfs-a-1", "omfs", "microvm")
_LEAK = Failure(
    failure.LEAK, "memory leak in omfs_get_imap", functions=("kmemdup_noprof", "omfs_get_imap")
)
_OTHER = Failure(failure.LEAK, "memory leak in f", functions=("kmemdup_noprof", "f"))
_OOPS = Failure(failure.OOPS, "kernel BUG in omfs_get_imap", functions=("omfs_get_imap",))
_FILE = ROOT / "suites" / "known-issues.yaml"


def _explained(
    *failures: Failure,
    issue: KnownIssue = _ISSUE,
    subject: Subject = _CASE,
    today: datetime.date = _TODAY,
) -> bool:
    return bool(KnownIssues((issue,)).explain(subject, failures, today))


def test_the_known_failure_is_explained() -> None:
    assert _explained(_LEAK)
    assert _explained(_LEAK, replace(_LEAK, title="again"))


@pytest.mark.parametrize(
    "failures",
    [
        (_OTHER,),
        (_OOPS,),
        (_LEAK, _OTHER),
        (_LEAK, _OOPS),
        (_LEAK, Failure(failure.ERRNO, "mount: 0; expected -EIO")),
        (),
    ],
)
def test_another_failure_is_not_excused(failures: tuple[Failure, ...]) -> None:
    """F2: a case of an entry fails like any other for whatever the entry does not say."""
    assert not _explained(*failures)


@pytest.mark.parametrize("others", [(), (_LEAK,)])
def test_infrastructure_is_never_explained(others: tuple[Failure, ...]) -> None:
    """F1: nothing was seen of the kernel, whatever stands beside it."""
    assert not _explained(failure.infrastructure("canary: missed"), *others)
    with pytest.raises(ValueError, match="expected a failure of the kernel"):
        FailurePattern("infrastructure", text=".*")


def test_what_follows_from_a_known_failure_is_part_of_it() -> None:
    issue = replace(_ISSUE, failure=FailurePattern("oops", function="omfs_get_imap"))
    hang = Failure(failure.HANG, "INFO: task hung in f")
    assert _explained(_OOPS, replace(hang, follows=True), issue=issue)
    assert not _explained(_OOPS, hang, issue=issue)
    # Nothing that is known: a consequence alone needs its cause.
    assert not _explained(replace(hang, follows=True), issue=issue)


def test_where_it_ran_counts() -> None:
    assert not _explained(_LEAK, subject=replace(_CASE, case="omfs-c-1"))
    q35 = replace(_ISSUE, guest="q35")
    assert not _explained(_LEAK, issue=q35)
    assert _explained(_LEAK, issue=q35, subject=replace(_CASE, guest="q35"))
    adfs = replace(_ISSUE, filesystem="adfs")
    assert not _explained(_LEAK, issue=adfs)


def test_a_kernel_is_not_asked() -> None:
    assert _explained(_LEAK, subject=replace(_CASE, kernel="a tree with patches"))


def test_the_last_day() -> None:
    assert _explained(_LEAK, today=datetime.date(2027, 1, 31))
    late = datetime.date(2027, 2, 1)
    assert not _explained(_LEAK, today=late)
    assert KnownIssues((_ISSUE,)).expired(_CASE, (_LEAK,), late) == (_ISSUE,)
    assert KnownIssues((_ISSUE,)).expired(_CASE, (_OOPS,), late) == ()


def test_several_entries_explain_a_case_together() -> None:
    second = KnownIssue("bug", "link", ("*",), FailurePattern("oops", text="kernel BUG in omfs"))
    both = KnownIssues((_ISSUE, second))
    assert both.explain(_CASE, (_LEAK, _OOPS), _TODAY) == (_ISSUE, second)


def test_resources_fit_by_pattern() -> None:
    issue = replace(_ISSUE, failure=FailurePattern("resource leak", resource="inodes: omfs_*"))
    lost = Failure(failure.RESOURCE_LEAK, "not given back", resource="inodes: omfs_inode_cache")
    assert _explained(lost, issue=issue)
    assert not _explained(replace(lost, resource="inodes: ext2_inode_cache"), issue=issue)
    assert not _explained(lost, replace(lost, resource="dentries: dentry"), issue=issue)


# -- whether it still shows ------------------------------------------------------------------------


_PASSED = {"omfs_a_1": True}


def _answers(
    passed: dict[str, bool],
    *,
    counted: bool = False,
    features: tuple[str, ...] = (),
    brought: tuple[str, ...] = (),
) -> Answers:
    cases = {Subject(name.replace("_", "-"), "omfs"): ok for name, ok in passed.items()}
    return Answers(cases, counted, frozenset(features), frozenset(brought))


@pytest.mark.parametrize(
    ("passed", "fixed"),
    [
        ({"omfs_a_1": True}, True),
        ({"omfs_a_1": True, "omfs_b_2": True, "hfs_a": False}, True),
        ({"omfs_a_1": True, "omfs_b_2": False}, False),
        ({"hfs_a": True}, False),
        ({}, False),
    ],
)
def test_fixed_means_that_every_case_passed(passed: dict[str, bool], fixed: bool) -> None:
    assert bool(fixed_issues((_ISSUE,), _answers(passed))) == fixed


def test_every_pattern_needs_a_case() -> None:
    issue = replace(_ISSUE, cases=("omfs-a-*", "omfs-b-*"))
    assert not fixed_issues((issue,), _answers(_PASSED))
    assert fixed_issues((issue,), _answers({"omfs_a_1": True, "omfs_b_1": True}))


def test_what_a_run_cannot_see_is_not_fixed() -> None:
    lost = replace(_ISSUE, failure=FailurePattern("resource leak", resource="inodes: *"))
    assert not fixed_issues((lost,), _answers(_PASSED))
    assert fixed_issues((lost,), _answers(_PASSED, counted=True))
    kasan = replace(_ISSUE, features=("CONFIG_KASAN",))
    assert not fixed_issues((kasan,), _answers(_PASSED))
    assert fixed_issues((kasan,), _answers(_PASSED, features=("CONFIG_KASAN",)))
    change = Change("omfs: count", function="omfs_count")
    newer = replace(_ISSUE, filesystem="omfs", brought_by=change)
    assert not fixed_issues((newer,), _answers(_PASSED))
    assert fixed_issues((newer,), _answers(_PASSED, brought=(newer.id,)))


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{id: a, link: l, cases: [c]}", r"k\.yaml:2: issues\[0\] has no key 'failure'"),
        ("{id: a, link: '', cases: [c], failure: {kind: leak, function: f}}", "expected an id"),
        ("{id: a, link: l, cases: [], failure: {kind: leak, function: f}}", "cases: got none"),
        ("{id: a, link: l, cases: [c], failure: {kind: leek, function: f}}", "expected one of: h"),
        ("{id: a, link: l, cases: [c], failure: {kind: leak}}", "expected function, resource or"),
        ("{id: a, link: l, cases: [c], failure: {kind: oops, text: '('}}", "regular expression"),
        (
            "{id: a, link: l, cases: [c], failure: {kind: leak, function: f}, until: soon}",
            "until: got 'soon'; expected YYYY-MM-DD",
        ),
        (
            "{id: a, link: l, cases: [c], failure: {kind: leak, function: f}, kernels: [x]}",
            "unknown key 'kernels'",
        ),
    ],
)
def test_a_wrong_file_names_the_line(tmp_path: Path, entry: str, message: str) -> None:
    path = tmp_path / "k.yaml"
    path.write_text(f"issues:\n  - {entry}\n")
    with pytest.raises(DefinitionError, match=message):
        load_known_issues(path)


def test_one_pattern_or_several(tmp_path: Path) -> None:
    path = tmp_path / "k.yaml"
    path.write_text(
        "issues:\n"
        "  - {id: a, link: l, cases: [c], failure: {kind: hang, function: [f, g]},\n"
        "     until: 2027-01-02}\n"
        "  - id: b\n    link: l\n    cases: [c]\n    mended: 'fs: mend it'\n    failure:\n"
        "      - {kind: warning, function: f}\n      - {kind: oops, text: x}\n"
    )
    one, other = load_known_issues(path).issues
    assert one.patterns[0].function == ("f", "g")
    assert one.until == datetime.date(2027, 1, 2)
    assert [pattern.kind for pattern in other.patterns] == ["warning", "oops"]
    assert "mended by 'fs: mend it'" in str(other)


_OLD_SUITE = """
issues:
  - {kernel: "debian:7.2", cases: [omfs-*], leak: omfs_get_imap, reason: lost, link: docs/omfs.md,
     expires: "2027-05-31"}
  - {kernel: "debian:7.2", cases: [omfs-*], loses: ["inodes: omfs_*"], reason: held,
     link: docs/omfs.md, expires: "2027-05-31"}
"""
_OLD_FINDINGS = """
issues:
  - {finding: loop, shows: hang, pattern: hfs_mdb_get|hfsplus_read_wrapper}
  - {finding: bug, shows: crash, pattern: 'kernel BUG at fs/hfs/inode\\.c'}
  - {finding: lost, shows: leak, pattern: 'hfs(plus)?_btree_open'}
"""


def test_the_suites_file_of_before(tmp_path: Path) -> None:
    path = tmp_path / "known-issues.yaml"
    path.write_text(_OLD_SUITE)
    known = load_known_issues(path)
    (leak,) = known.explain(_CASE, (_LEAK,), _TODAY)
    assert (leak.id, leak.title, leak.link) == ("1-omfs", "lost", "docs/omfs.md")
    lost = Failure(failure.RESOURCE_LEAK, "x", resource="inodes: omfs_inode_cache")
    assert known.explain(_CASE, (lost,), _TODAY)[0].title == "held"
    assert not known.explain(_CASE, (_OTHER,), _TODAY)
    path.write_text(_OLD_SUITE.replace('"2027-05-31"', "soon"))
    with pytest.raises(DefinitionError, match="expires: got 'soon'"):
        load_known_issues(path)


def test_the_file_of_mutants_of_before(tmp_path: Path) -> None:
    path = tmp_path / "known_issues.yaml"
    path.write_text(_OLD_FINDINGS)
    known = load_known_issues(path)
    said = {
        "loop": Failure(failure.HANG, "x", evidence="a+0x1/0x2\nhfs_mdb_get+0x1/0x2 [hfs]\n"),
        "bug": Failure(failure.OOPS, "x", evidence="kernel BUG at fs/hfs/inode.c:476!\n"),
        "lost": Failure(failure.LEAK, "x", evidence="    hfsplus_btree_open+0x24f/0x430\n"),
    }
    for name, one in said.items():
        (issue,) = known.explain(_CASE, (one,), _TODAY)
        assert issue.id == name
        assert not known.explain(_CASE, (replace(one, kind=failure.WARNING, evidence=""),), _TODAY)
    assert not known.explain(_CASE, (*tuple(said.values())[:2], _OTHER), _TODAY)


def test_our_own_file_covers_cases_that_exist_and_links_that_exist() -> None:
    ids = [one.id for one in plan(known_filesystems())]
    ids += [case.id for case in (*test_mount.CASES, *test_catalog.CASES, *crafted_cases())]
    ids += [case.id for case in file_cases()]
    known = [case for _, case in known_issue_cases()]
    ids += [case.id for case in known]
    # Of other suites those whose tests are the kernel's own.
    ids += [f"kunit:{name}" for name in KUNIT_MODULES]
    volumes = [
        f"{name}@{volume}" if volume else name
        for name in known_filesystems()
        for volume in ("", *load_filesystem(name).volumes)
    ]
    parts = [
        f"sweep-{name}-{event}-{kind}-"
        for name in volumes
        for event in SWEEP_EVENTS
        for kind in POINT_KINDS
    ]
    issues = load_known_issues(_FILE).issues
    for issue in issues:
        for pattern in issue.cases:
            # The points of a sweep are known only when it runs: its parts are known before.
            part = re.match(rf"sweep-.*-(?:{'|'.join(POINT_KINDS)})-", pattern)
            only = replace(issue, cases=(part[0] if part else pattern,))
            assert any(only.covers(Subject(one)) for one in (parts if part else ids)), pattern
        assert (ROOT / issue.link).is_file(), issue.link
    # Every case that drives into a bug has its entry.
    for case in known:
        assert any(issue.covers(Subject(case.id, case.filesystem)) for issue in issues), case.id
