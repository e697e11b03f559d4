"""Known issues in pytest runs over simulated guests: what is expected, fixed and stale.

F1 and F2: an infrastructure error is never expected, and neither is another failure.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from errpath.results.records import CaseRecord, CaseStatus
from errpath.results.reports.jsonl import read_results
from suites.selftest.paths import ROOT
from suites.selftest.runner import simsession

pytest_plugins = ["pytester"]

_TESTS = """
import pytest
from suites.selftest.runner.simguest import make_case

def cases(**does):
    made = [make_case(name.replace("_", "-"), words) for name, words in does.items()]
    return pytest.mark.parametrize("case", made, ids=[case.id for case in made])
"""
_ISSUES = """
issues:
  - id: s-fs-info
    title: s_fs_info is lost
    link: docs/findings/hfs.md
    cases: [known-*]
    failure: {kind: leak, function: hfs_init_fs_context}
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty suite, in a directory of its own, with known issues above it."""
    pytester.makeconftest(simsession.CONFTEST)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ERRPATH_CACHE", str(pytester.path / "cache"))
    pytester.mkdir("suite")
    _issues(pytester)
    return pytester


def _issues(suite: pytest.Pytester, text: str = _ISSUES) -> None:
    (suite.path / "known-issues.yaml").write_text(text)


def _tests(suite: pytest.Pytester, **does: str) -> None:
    words = ", ".join(f"{name}={text!r}" for name, text in does.items())
    text = f"{_TESTS}\n@cases({words})\ndef test_mount(case, expect_pass):\n    expect_pass()\n"
    (suite.path / "suite" / "test_suite.py").write_text(text)


def _records(suite: pytest.Pytester) -> dict[str, CaseRecord]:
    results = read_results(suite.path / "r.jsonl")
    return {record.case: record for _, record in results.cases}


def test_f1_an_infrastructure_error_is_an_error(suite: pytest.Pytester) -> None:
    _tests(suite, known_a="vanish", known_b="refuse", known_c="unfired")
    result = suite.runpytest("suite", "--results", "r.jsonl")
    result.assert_outcomes(errors=3)
    assert {record.status for record in _records(suite).values()} == {CaseStatus.ERROR}


def test_f1_a_doubtful_leak_is_an_error(suite: pytest.Pytester) -> None:
    """It looks like the known one, and no repeat shows it."""
    _tests(suite, known_a="leak=512,once", good="")
    result = suite.runpytest("suite", "--results", "r.jsonl")
    result.assert_outcomes(passed=1, errors=1)
    assert _records(suite)["known-a"].status is CaseStatus.ERROR


def test_f2_another_failure_is_a_failure(suite: pytest.Pytester) -> None:
    _tests(suite, known_a="errno=EINVAL", known_b="oops", known_c="leak=512,warn", other="leak=512")
    result = suite.runpytest("suite", "--results", "r.jsonl")
    result.assert_outcomes(failed=4)
    assert {record.status for record in _records(suite).values()} == {CaseStatus.FAIL}


@pytest.mark.parametrize("words", [(), ("--patch", "noop.patch"), ("--kernel", "other")])
def test_what_is_known_is_an_expected_failure_on_any_kernel(
    suite: pytest.Pytester, words: tuple[str, ...]
) -> None:
    suite.path.joinpath("noop.patch").write_text("--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-a\n+b\n")
    _tests(suite, known_a="leak=512", good="")
    result = suite.runpytest("suite", "-rx", *words)
    result.assert_outcomes(passed=1, xfailed=1)
    result.stdout.fnmatch_lines(["XFAIL *known-a* - s_fs_info is lost (docs/findings/hfs.md)"])
    result.stdout.no_fnmatch_line("*no longer show*")
    assert result.ret == 0


def test_xfail_is_a_status_of_its_own(suite: pytest.Pytester) -> None:
    _tests(suite, known_a="leak=512", good="")
    suite.runpytest("suite", "--results", "r.jsonl", "--junitxml", "j.xml")
    record = _records(suite)["known-a"]
    assert record.status is CaseStatus.XFAIL
    assert record.issue is not None
    assert (record.issue.id, record.issue.link) == ("s-fs-info", "docs/findings/hfs.md")
    assert record.failures[0].title == "memory leak in hfs_init_fs_context"
    assert record.signature == record.failures[0].signature
    assert (record.confirmed, record.repeats) == (2, 2)
    found = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in ET.parse(suite.path / "j.xml").getroot().iter("testcase")
    }
    properties = found["test_mount[known-a]"]
    assert properties["errpath.status"] == "xfail"
    assert '"id": "s-fs-info"' in str(properties["errpath.issue"])


def test_a_fixed_entry_makes_the_own_command_fail(suite: pytest.Pytester) -> None:
    _tests(suite, known_a="", known_b="", other="")
    result = suite.runpytest("suite", "--results", "r.jsonl")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["*known issues that no longer show*", "STALE s-fs-info: 2 of 2 cases pass on debian:7.2*"]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert read_results(suite.path / "r.jsonl").status == 1


def test_one_case_that_still_fails_keeps_the_entry(suite: pytest.Pytester) -> None:
    _tests(suite, known_a="", known_b="leak=512")
    result = suite.runpytest("suite")
    result.assert_outcomes(passed=1, xfailed=1)
    result.stdout.no_fnmatch_line("*no longer show*")
    assert result.ret == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("suite", "--patch", "noop.patch"), True),
        (("suite", "--kernel", "debian:7.3"), True),
        (("suite", "--kernel", "tree"), True),
        (("suite", "--kconfig-add", "CONFIG_KASAN=y"), True),
        (("suite", "--guest", "kasan"), True),
        (("suite", "-k", "known"), True),
        (("suite/test_suite.py",), True),
        (("suite/test_suite.py::test_mount[known-a]",), True),
        # Some of its cases did not run: nothing is known.
        (("suite", "-k", "known-a"), False),
        (("suite", "--case", "known-a"), False),
        (("suite", "--shard", "1/2"), False),
        (("suite", "--shard", "2/2"), False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_other_runs_only_report_what_is_fixed(
    suite: pytest.Pytester, words: tuple[str, ...], said: bool
) -> None:
    suite.path.joinpath("noop.patch").write_text("--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-a\n+b\n")
    _tests(suite, known_a="", known_b="", known_c="", other="", more="")
    result = suite.runpytest(*words)
    assert result.ret == 0
    assert ("FIXED s-fs-info: " in str(result.stdout)) == said
    result.stdout.no_fnmatch_line("*STALE*")


def test_a_mended_entry_is_kept_for_kernels_without_the_commit(suite: pytest.Pytester) -> None:
    _issues(suite, _ISSUES + "    mended: 'hfs: free s_fs_info'\n")
    _tests(suite, known_a="")
    result = suite.runpytest("suite")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["FIXED s-fs-info: *mended by 'hfs: free s_fs_info'*"])


def test_an_entry_whose_time_is_over_explains_nothing(suite: pytest.Pytester) -> None:
    _issues(suite, _ISSUES + "    until: 2020-01-31\n")
    _tests(suite, known_a="leak=512")
    result = suite.runpytest("suite")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*known issue s-fs-info: explained this until 2020-01-31*"])


def test_a_wrong_file_is_one_line(suite: pytest.Pytester) -> None:
    _issues(suite, "issues:\n  - {id: a}\n")
    _tests(suite, known_a="leak=512")
    result = suite.runpytest("suite")
    assert result.ret == 2
    output = str(result.stdout) + str(result.stderr)
    assert "known-issues.yaml:2: issues[0] has no key 'link'" in output
    assert "Traceback" not in output


def test_a_suite_without_the_file_has_none(suite: pytest.Pytester) -> None:
    (suite.path / "known-issues.yaml").unlink()
    _tests(suite, known_a="leak=512")
    suite.runpytest("suite").assert_outcomes(failed=1)


@pytest.mark.parametrize("fixed", [True, False])
def test_workers_answer_together(suite: pytest.Pytester, fixed: bool) -> None:
    does = {f"known_{number}": "" for number in range(4)}
    _tests(suite, **does, known_last="" if fixed else "leak=512")
    result = suite.runpytest_subprocess("suite", "-n", "2")
    result.assert_outcomes(passed=4 + fixed, xfailed=1 - fixed)
    assert result.ret == int(fixed)
    assert ("STALE s-fs-info: 5 of 5 cases" in str(result.stdout)) == fixed


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
@pytest.mark.parametrize(("kernel", "said"), [("has:check", True), ("has:other", False)])
def test_an_issue_that_a_change_brought_is_asked_of_kernels_that_have_it(
    suite: pytest.Pytester, kernel: str, said: bool, workers: tuple[str, ...]
) -> None:
    brought = "    filesystem: hfs\n    brought_by: {commit: 'hfs: check', function: check}\n"
    _issues(suite, _ISSUES + brought)
    _tests(suite, known_a="pass", known_b="pass")
    result = suite.runpytest_subprocess("suite", "--kernel", kernel, *workers)
    result.assert_outcomes(passed=2)
    assert ("FIXED s-fs-info: 2 of 2 cases" in str(result.stdout)) == said
    # No entry of such a kernel is stale for the default one.
    assert suite.runpytest_subprocess("suite").ret == 0
