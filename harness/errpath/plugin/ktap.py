"""pytest: results as KTAP while the tests run, and counted as kselftest counts."""

from __future__ import annotations

from collections import Counter
from typing import TextIO

import pytest

from errpath.beside.live_ktap import LiveKtap
from errpath.results.records import CaseRecord, CaseStatus

__all__ = ["KtapReporter", "kselftest_status"]

# tools/testing/selftests/kselftest.h
_KSFT_PASS, _KSFT_FAIL, _KSFT_SKIP = 0, 1, 4


def kselftest_status(counts: Counter[CaseStatus], status: int) -> int:
    """pytest's `status` and what became of the tests, as a test of kselftest would end."""
    ended = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if status not in ended or counts[CaseStatus.FAIL] or counts[CaseStatus.ERROR]:
        return _KSFT_FAIL
    return _KSFT_PASS if counts[CaseStatus.PASS] or counts[CaseStatus.XFAIL] else _KSFT_SKIP


class KtapReporter:
    """A plugin that counts results and, with `out`, writes each as it comes."""

    def __init__(self, out: TextIO | None, title: str) -> None:
        self.counts: Counter[CaseStatus] = Counter()
        self._ktap = LiveKtap(out, title) if out is not None else None
        self._planned = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write the plan, where this process runs the tests."""
        # Where workers run the tests, the process that reports has collected none.
        if session.items:
            self._plan(len(session.items))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the result of a test, and write it."""
        status = _status(report)
        if status is None:
            return
        self.counts[status] += 1
        if self._ktap is not None:
            reason = _reason(report) if status is not CaseStatus.PASS else ""
            self._ktap.result(CaseRecord(_name(report), status, (reason,) if reason else ()))

    def pytest_sessionfinish(self) -> None:
        """Write the plan if none was written."""
        self._plan(self.counts.total())

    def _plan(self, tests: int) -> None:
        if self._ktap is not None and not self._planned:
            self._ktap.plan(tests)
        self._planned = True


def _status(report: pytest.TestReport) -> CaseStatus | None:
    """None for a phase that decides nothing: each test has one that does."""
    expected = hasattr(report, "wasxfail")
    if report.when == "call":
        if report.passed:
            return CaseStatus.PASS
        if report.skipped:
            return CaseStatus.XFAIL if expected else CaseStatus.SKIP
        return CaseStatus.FAIL
    if report.passed:
        return None
    if report.when == "setup" and report.skipped:
        return CaseStatus.XFAIL if expected else CaseStatus.SKIP
    return CaseStatus.ERROR


def _name(report: pytest.TestReport) -> str:
    """A case's id, else the test's."""
    inside = report.nodeid.partition("[")[2]
    return inside.removesuffix("]") or report.nodeid


def _reason(report: pytest.TestReport) -> str:
    if getattr(report, "wasxfail", ""):
        return str(report.wasxfail)
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else ""
