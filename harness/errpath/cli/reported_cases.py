"""Cases that are run for their reports: nothing of what pytest prints, and known issues as well."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from errpath.analysis.mail.evidence import CaseReport, read_report
from errpath.cli.pytest_run import run_cases
from errpath.util.cache import scratch_directory

__all__ = ["Reported", "report_cases"]


@dataclass(frozen=True)
class Reported:
    """What became of some cases."""

    # Of those that did not pass.
    reports: tuple[CaseReport, ...]
    # pytest's.
    status: int
    # So many tests passed; the others failed, or were skipped.
    passed: int

    @property
    def failed(self) -> tuple[CaseReport, ...]:
        """Those that are failures of the kernel, not of the run."""
        return tuple(report for report in self.reports if report.failed)


class _Passed:
    """Counts the tests that pass."""

    def __init__(self) -> None:
        self.count = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.count += report.when == "call" and report.passed


def report_cases(cases: Sequence[str], words: Sequence[str]) -> Reported:
    """Run cases for their reports. `words` are options of a run."""
    passed = _Passed()
    with scratch_directory() as scratch:
        # A known issue is reported as well: its report is what an expected failure has none of.
        every = [*words, "--artefacts", str(scratch), "--runxfail"]
        # What pytest prints is of no interest, except to whoever waits for it.
        with contextlib.redirect_stdout(sys.stderr):
            status = run_cases(cases, every, plugins=(passed,))
        found = [read_report(path.parent) for path in sorted(scratch.rglob("report.txt"))]
    return Reported(tuple(found), status, passed.count)
