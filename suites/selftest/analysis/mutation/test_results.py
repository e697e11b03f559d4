"""The file of results: resumed, cut short, of something else; and the tables made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.analysis.mutation.mutants import CONTROL
from errpath.analysis.mutation.results import Fate, Judged, ResultFile, read_results
from errpath.analysis.mutation.table import page, summary
from errpath.errors import UsageError

_BY = {"kernel": "linux 7.2", "tests": ["suites"]}
_KILLED = Judged(
    "fs/hfs/a.c:f:kfree(x);", "release", "killed", "c", "leak", "memory leak in f", "suites", 4.0
)
_LEFT = Judged("fs/hfs/a.c:f:goto out;", "goto", Fate.SURVIVED.value, seconds=8.0)
_EQUAL = Judged("fs/hfs/a.c:f:goto next;", "goto", Fate.EQUIVALENT.value)
_CONTROL = Judged("fs/hfs/a.c::/* 1 */", CONTROL, Fate.SURVIVED.value, seconds=100.0)


def test_a_run_goes_on_where_it_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "hfs" / "mutants.jsonl"
    file = ResultFile(path, _BY)
    file.add(_KILLED)
    file.add(_LEFT)
    assert ResultFile(path, _BY).known == {_KILLED.mutant: _KILLED, _LEFT.mutant: _LEFT}
    path.write_text(path.read_text()[:-20])
    assert read_results(path) == {_KILLED.mutant: _KILLED}


def test_a_line_that_was_cut_short_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "mutants.jsonl"
    ResultFile(path, _BY).add(_LEFT)
    path.write_text(path.read_text()[:-20])
    file = ResultFile(path, _BY)
    file.add(_KILLED)
    file.add(_LEFT)
    assert read_results(path) == {_KILLED.mutant: _KILLED, _LEFT.mutant: _LEFT}


def test_results_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mutants.jsonl"
    ResultFile(path, _BY).add(_KILLED)
    with pytest.raises(UsageError, match=r"judged by another kernel \(linux 7.2\)"):
        ResultFile(path, {**_BY, "kernel": "linux 7.3"})
    path.write_text("no results\n")
    with pytest.raises(UsageError, match="expected another --output"):
        ResultFile(path, _BY)


def test_counts_leave_out_what_no_test_can_kill() -> None:
    text = summary([_CONTROL, _KILLED, _LEFT, _EQUAL])
    assert "1 of 2 killed (50%): 1 by leak, 1 by suites" in text
    assert "survived   fs/hfs/a.c:f:goto out;" in text
    # The control's time is not a mutant's.
    assert "4.0 s each" in text
    assert "controls that were killed, which change nothing: 0 of 1" in text
    assert "FALSE ALARM" not in text


def test_a_control_that_is_killed_is_a_false_alarm() -> None:
    alarm = Judged(_CONTROL.mutant, CONTROL, "killed", "c", "hang", "task hung", "suites")
    text = summary([alarm, _KILLED])
    assert f"FALSE ALARM {alarm.mutant}: c: task hung" in text
    assert "1 of 1" in text
    # It is no kill.
    assert "1 of 1 killed (100%): 1 by leak, 1 by suites" in text


def test_the_page_has_a_row_for_each_filesystem() -> None:
    text = page({"hfs": [_KILLED, _LEFT, _EQUAL, _CONTROL]}, {"hfs": "linux 7.2"})
    assert "| hfs | 1 | 1 | 1 | 0 | 0 | 50% | 0 of 1 | 4.0 |" in text
    assert "| hfs | 1 | 1 |" in text.partition("Killed by:")[2]
    assert "- survived: `fs/hfs/a.c:f:goto out;`" in text
    assert "kfree" not in text
