"""Cases that are run for their reports: nothing of what pytest prints, and known issues as well."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from errpath.analysis.mail.evidence import CaseReport, read_report
from errpath.cli.run import run_cases
from errpath.util.cache import scratch_directory

__all__ = ["report_cases"]


def report_cases(cases: Sequence[str], words: Sequence[str]) -> tuple[list[CaseReport], int]:
    """The reports of those that failed, and pytest's status. `words` are options of a run."""
    with scratch_directory() as scratch:
        # A known issue is reported as well: its report is what an expected failure has none of.
        every = [*words, "--artefacts", str(scratch), "--runxfail"]
        # What pytest prints is of no interest, except to whoever waits for it.
        with contextlib.redirect_stdout(sys.stderr):
            status = run_cases(cases, every)
        found = [read_report(path.parent) for path in sorted(scratch.rglob("report.txt"))]
    return found, status
