"""The table of sweeps at the end of a run: from the properties of reports."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from errpath.plugin.sweep import POINT_PROPERTY, UNIT_PROPERTY
from errpath.plugin.sweep_summary import pytest_terminal_summary
from errpath.results.records import CaseRecord, CaseStatus, to_json


class _Reporter:
    """What a terminal reporter has and shows."""

    def __init__(self, reports: list[pytest.TestReport]) -> None:
        self.stats = {"": reports, "passed": reports}
        self.shown: list[str] = []

    def section(self, title: str) -> None:
        self.shown.append(title)

    def write_line(self, line: str) -> None:
        self.shown += line.splitlines()


def _report(nodeid: str, *properties: tuple[str, Any]) -> pytest.TestReport:
    found = [(name, json.dumps(values)) for name, values in properties]
    return pytest.TestReport(
        nodeid, (nodeid, 0, ""), {}, "passed", None, "teardown", user_properties=found
    )


def _point(kernel: str, case: str, nodeid: str) -> tuple[str, Any]:
    record = CaseRecord(case, CaseStatus.PASS, filesystem="hfs", event="mount-ro/io", nodeid=nodeid)
    return POINT_PROPERTY, {"kernel": kernel, **to_json(record)}


def _shown(*reports: pytest.TestReport) -> list[str]:
    reporter = _Reporter(list(reports))
    pytest_terminal_summary(cast(pytest.TerminalReporter, reporter))
    return reporter.shown


def test_each_kernel_has_a_table_and_each_point_counts_once() -> None:
    unit = (UNIT_PROPERTY, {"filesystem": "hfs", "seconds": 2.0, "left_out": 3})
    shown = _shown(
        _report("a", _point("k1", "x", "a"), _point("k1", "y", "a"), unit),
        _report("b", _point("k2", "x", "b")),
    )
    assert [line for line in shown if line.startswith("points of")] == [
        "points of k1",
        "points of k2",
    ]
    rows = [line.split() for line in shown if line.startswith("hfs")]
    assert [(row[1], row[-2], row[-1]) for row in rows] == [("2", "3", "2"), ("1", "0", "0")]


def test_a_run_without_sweeps_shows_nothing() -> None:
    assert _shown(_report("a", ("other", {}))) == []
