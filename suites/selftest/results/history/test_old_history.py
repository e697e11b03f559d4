"""A history that 025a9ed wrote: read, judged against, and added to."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.oracles import failure
from errpath.oracles.failure import Failure
from errpath.results.history import query
from errpath.results.history.store import History
from errpath.results.history.verdicts import judge_run
from errpath.results.records import CaseStatus
from errpath.results.regression import Kind
from errpath.results.triage import JudgedCase
from suites.selftest.results.data import ISSUE, KERNEL, LEAK, TRACK, add_run, records

_DUMP = Path(__file__).with_name("written_by_025a9ed.sql")
_DAY = 86400.0
_LAST = 1763686400.0


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    path = tmp_path / "history.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(_DUMP.read_text())
    connection.close()
    with History(path) as opened:
        yield opened


def _judged(history: History, letters: str) -> dict[str, JudgedCase]:
    row = add_run(history, "tonight", letters, started=_LAST + _DAY)
    found = judge_run(history, row, today=datetime.date(2026, 11, 22))
    return {one.case[-1]: one for one in found}


def test_what_it_holds_is_read(history: History) -> None:
    assert [run.id for run in history.runs()] == ["2026-11-21-0001", "2026-11-20-0001"]
    found = [attempt.record for attempt in query.attempts(history, history.run("latest"))]
    assert [record.status.value for record in found] == ["pass", "fail", "fail", "error"]
    assert found[1].signature == "leak 512 < hfs_init_fs_context < alloc_fs_context"
    assert found[1].reasons == ("leak: 1 unreferenced object, 512 bytes, confirmed 2 of 2",)
    assert (found[1].failures, found[1].issue) == ((), None)
    said = query.judgements(history, run=history.run("latest"))
    assert [one.kind for one in said] == [
        "passing",
        "still failing",
        "still failing",
        "infrastructure",
    ]


def test_tonight_is_judged_against_it(history: History) -> None:
    """A signature that is made in another way is no failure in a new way."""
    found = _judged(history, "FFPP")
    assert {case: one.judgement.kind for case, one in found.items()} == {
        "0": Kind.FLAKY,
        "1": Kind.STILL_FAILING,
        "2": Kind.FLAKY,
        "3": Kind.PASSING,
    }
    assert not found["1"].judgement.changed
    assert found["1"].judgement.since == "2026-11-20-0001"


def test_a_new_way_is_seen_again_once_the_window_holds_failures(history: History) -> None:
    other = Failure(failure.OOPS, "kernel BUG in hfs_fill_super")
    for number in range(15):
        add_run(history, f"later-{number}", "PF", started=_LAST + _DAY * (1 + number))
    row = history.begin_run(
        id="new", job="hfs", digest="j", harness="h", host="x", directory=Path(), started=_LAST * 2
    )
    again = records("PF", found=other)[1:] * 3
    history.add_unit(row, "unit-0", TRACK, again)
    (changed,) = [one for one in judge_run(history, row) if one.case.endswith("1")]
    assert changed.judgement.changed


def test_what_is_added_is_kept_whole(history: History) -> None:
    row = add_run(history, "tonight", "FX", started=_LAST + _DAY)
    failed, expected = (attempt.record for attempt in query.attempts(history, row))
    assert failed.failures == (LEAK,)
    assert (expected.status, expected.issue) == (CaseStatus.XFAIL, ISSUE)
    assert expected.failures == (LEAK,)


def test_an_expected_failure_is_known(history: History) -> None:
    found = _judged(history, "PXFP")
    assert found["1"].judgement.kind is Kind.KNOWN
    assert (found["1"].judgement.link, found["1"].known) == (ISSUE.link, ISSUE)
    assert not found["1"].judgement.attention
    assert found["1"].trend[-1] == "xfail"
    # It passes again: that is seen, as of any other failure.
    row = add_run(
        history, "after", "PPFP", started=_LAST + 2 * _DAY, kernel=replace(KERNEL, state="beef")
    )
    again = {one.case[-1]: one for one in judge_run(history, row)}
    assert again["1"].judgement.kind is Kind.FIXED
