"""pytest: the table of sweeps at the end of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from errpath.plugin.sweep import POINT_PROPERTY, UNIT_PROPERTY
from errpath.results.records import CaseRecord, from_json
from errpath.results.reports.sweeps import SweptUnit, sweep_table

__all__: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    points: dict[tuple[str, str], CaseRecord] = {}
    units: dict[str, SweptUnit] = {}
    for nodeid, name, text in _properties(terminalreporter):
        values = json.loads(text)
        if name == POINT_PROPERTY:
            kernel = values.pop("kernel")
            record = from_json(CaseRecord, values)
            points[kernel, record.case] = record
        elif name == UNIT_PROPERTY:
            units[nodeid] = SweptUnit(**values)
    for kernel in dict.fromkeys(name for name, _ in points):
        mine = [record for (name, _), record in points.items() if name == kernel]
        nodes = {record.nodeid for record in mine}
        terminalreporter.section(f"points of {kernel}")
        terminalreporter.write_line(
            sweep_table(mine, [unit for node, unit in units.items() if node in nodes])
        )


def _properties(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, str, str]]:
    """Node id, name and text of every property of a test's report."""
    for reports in reporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name in (POINT_PROPERTY, UNIT_PROPERTY):
                    yield report.nodeid, name, str(text)
