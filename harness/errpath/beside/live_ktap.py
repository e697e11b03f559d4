"""KTAP (Documentation/dev-tools/ktap.rst) while a run goes on: a line as each test ends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TextIO

from errpath.results.records import CaseRecord, CaseStatus

__all__ = ["LiveKtap"]

# Not part of a line: it would end the description or the line.
_UNFIT = re.compile(r"[#\x00-\x1f\x7f]+")


class LiveKtap:
    """Writes the results of one run."""

    def __init__(self, out: TextIO, title: str) -> None:
        self._out = out
        self._count = 0
        self._write(("KTAP version 1", f"# {_plain(title)}"))

    def plan(self, tests: int) -> None:
        """How many results will follow."""
        self._write((f"1..{tests}",))

    def result(self, record: CaseRecord) -> None:
        """One test, with its reasons as diagnostics before it."""
        self._count += 1
        reasons = [_plain(reason) for reason in record.reasons]
        lines = [f"# {record.case}: {reason}" for reason in reasons]
        reason = reasons[0] if reasons else ""
        if record.status in (CaseStatus.SKIP, CaseStatus.XFAIL):
            lines = []
        directive = {
            CaseStatus.SKIP: f" # SKIP {reason}",
            CaseStatus.XFAIL: f" # XFAIL {_plain(record.issue.title) if record.issue else reason}",
            CaseStatus.ERROR: f" # ERROR {reason}",
        }.get(record.status, "")
        bad = record.status in (CaseStatus.FAIL, CaseStatus.ERROR)
        mark = "not ok" if bad else "ok"
        lines.append(f"{mark} {self._count} {_plain(record.case)}{directive.rstrip()}")
        self._write(lines)

    def _write(self, lines: Iterable[str]) -> None:
        self._out.write("".join(f"{line}\n" for line in lines))
        self._out.flush()


def _plain(text: str) -> str:
    return _UNFIT.sub(" ", text).strip()
