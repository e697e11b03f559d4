"""The table of a sweep's points."""

from __future__ import annotations

from errpath.results.records import CaseRecord, CaseStatus, IssueRecord
from errpath.results.reports.sweeps import ONLY_BY_FORCE, SweptUnit, sweep_table


def _record(name: str, kind: str, status: CaseStatus, issue: str = "") -> CaseRecord:
    known = IssueRecord(issue) if issue else None
    return CaseRecord(
        f"{name}-{kind}", status, filesystem=name, event=f"mount-ro/{kind}", issue=known
    )


def test_a_row_for_each_filesystem_and_their_sum() -> None:
    records = [
        _record("hfs", "plain", CaseStatus.PASS),
        _record("hfs", "call", CaseStatus.XFAIL, ONLY_BY_FORCE),
        _record("hfs", "io", CaseStatus.XFAIL, "hfs-mdb"),
        _record("bfs", "alloc", CaseStatus.SKIP),
        _record("bfs", "alloc", CaseStatus.FAIL),
        _record("bfs", "alloc", CaseStatus.ERROR),
    ]
    units = [SweptUnit("hfs", 1.5, 0), SweptUnit("hfs", 0.7, 3, 5), SweptUnit("bfs", 4.0, 1)]
    lines = [line.split() for line in sweep_table(records, units).splitlines()]
    assert lines[1] == ["bfs", "3", "0", "0", "3", "0", "0", "0", "0", "1", "2", "0", "1", "4"]
    assert lines[2] == ["hfs", "3", "1", "1", "0", "1", "1", "1", "1", "0", "0", "5", "3", "2"]
    assert lines[3] == ["all", "6", "1", "1", "3", "1", "1", "1", "1", "1", "2", "5", "4", "6"]


def test_a_kind_that_has_to_be_asked_for_has_a_column_where_it_has_points() -> None:
    records = [_record("hfs", kind, CaseStatus.PASS) for kind in ("plain", "image", "image")]
    head, row = (line.split() for line in sweep_table(records, []).splitlines())
    assert head[2:7] == ["plain", "call", "alloc", "io", "image"]
    assert row[2:7] == ["1", "0", "0", "0", "2"]


def test_no_points_no_table() -> None:
    assert sweep_table([], [SweptUnit("hfs", 1.0, 0)]) == ""
