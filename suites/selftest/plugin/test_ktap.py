"""KTAP as tests end, and kselftest's statuses."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest

from errpath.plugin.ktap import KtapReporter, kselftest_status
from errpath.results.records import CaseStatus

_TESTS = """
import pytest

@pytest.mark.parametrize("case", ["hfs-a", "hfs-b"])
def test_case(case): pass

def test_fails(): assert 1 == 2, "one"

@pytest.mark.skip(reason="no such device")
def test_skipped(): pass

@pytest.mark.xfail(reason="a known bug")
def test_known(): raise ValueError

@pytest.fixture
def broken(): raise RuntimeError("no guest")

def test_error(broken): pass
"""


def _run(directory: Path, text: str, *words: str) -> tuple[int, KtapReporter, list[str]]:
    file = directory / "test_them.py"
    file.write_text(text)
    out = io.StringIO()
    reporter = KtapReporter(out, "them")
    argv = [str(file), f"--rootdir={directory}", "-q", "-p", "no:cacheprovider"]
    argv += ["--import-mode=importlib", *words]
    status = int(pytest.main(argv, plugins=[reporter]))
    return status, reporter, out.getvalue().splitlines()


def test_a_line_as_each_test_ends(tmp_path: Path) -> None:
    status, reporter, lines = _run(tmp_path, _TESTS)
    assert lines[:5] == ["KTAP version 1", "# them", "1..6", "ok 1 hfs-a", "ok 2 hfs-b"]
    results = [line for line in lines[5:] if not line.startswith("#")]
    assert [line.partition("#")[2].strip() for line in results] == [
        "",
        "SKIP no such device",
        "XFAIL a known bug",
        "ERROR RuntimeError: no guest",
    ]
    assert results[0].startswith("not ok 3 ")
    assert any("one" in line for line in lines if line.startswith("# "))
    assert kselftest_status(reporter.counts, status) == 1


@pytest.mark.parametrize(
    ("words", "expected"), [(("-k", "case"), 0), (("-k", "skipped"), 4), (("-k", "nothing"), 4)]
)
def test_statuses(tmp_path: Path, words: tuple[str, ...], expected: int) -> None:
    status, reporter, _ = _run(tmp_path, _TESTS, *words)
    assert kselftest_status(reporter.counts, status) == expected


def test_a_run_that_was_cut_short_has_failed() -> None:
    counts = Counter({CaseStatus.PASS: 5})
    assert kselftest_status(counts, int(pytest.ExitCode.INTERRUPTED)) == 1
    assert kselftest_status(counts, 0) == 0


def test_known_issues_alone_are_a_pass() -> None:
    assert kselftest_status(Counter({CaseStatus.XFAIL: 1}), 0) == 0
