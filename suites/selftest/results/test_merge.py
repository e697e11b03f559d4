"""Joining shards: whole, or it says what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.cli import main
from errpath.errors import UsageError
from errpath.results.history import query
from errpath.results.history.store import History
from errpath.results.merge import find_results, merge
from errpath.results.records import KernelRecord, ShardRecord
from errpath.results.reports.jsonl import ResultFile, read_results, write_results
from errpath.results.shard import assign
from suites.selftest.results.data import KERNEL, records


def _shards(total: int, letters: str = "PFPPPFPPES") -> list[tuple[str, ResultFile]]:
    made = records(letters)
    parts = assign([record.case for record in made], total)
    nodes = tuple(record.nodeid for record in made)
    files = []
    for index in range(1, total + 1):
        mine = [record for record in made if parts[record.case] == index]
        result = ResultFile(
            shard=ShardRecord(index, total),
            started=100.0 + index,
            ended=200.0 + index,
            collected=nodes,
            planned=tuple(record.nodeid for record in mine),
            kernels=(KERNEL,),
            cases=tuple((KERNEL.name, record) for record in mine),
            status=1,
        )
        files.append((f"{index}.jsonl", result))
    return files


@given(st.integers(1, 7), st.randoms())
def test_any_order_makes_the_whole(total: int, random: object) -> None:
    files = _shards(total)
    merged = merge(files)
    assert not merged.problems
    assert {record for _, record in merged.results.cases} == set(records("PFPPPFPPES"))
    assert merge([*reversed(files)]) == merged
    assert (merged.results.started, merged.results.ended) == (101.0, 200.0 + total)


@given(st.integers(2, 6), st.data())
def test_a_missing_shard_is_reported(total: int, data: st.DataObject) -> None:
    files = _shards(total)
    lost = data.draw(st.integers(0, total - 1))
    planned = files[lost][1].planned or ()
    merged = merge([file for number, file in enumerate(files) if number != lost])
    assert f"shard {lost + 1}/{total}: missing" in merged.problems
    assert merged.missing == tuple(sorted(planned))
    assert merged.results.status is None


def test_a_shard_that_was_cut_short_is_reported() -> None:
    files = _shards(3)
    name, part = files[1]
    files[1] = (name, replace(part, cases=part.cases[:-1], status=None))
    merged = merge(files)
    assert "shard 2/3: cut short (2.jsonl)" in merged.problems
    assert len(merged.missing) == 1


def test_a_shard_that_ran_again_replaces_the_torn_one() -> None:
    files = _shards(3)
    name, part = files[1]
    torn = (f"old-{name}", replace(part, cases=part.cases[:-1], status=None, started=999.0))
    merged = merge([torn, *files])
    assert not merged.problems
    assert merged.replaced == 1
    assert merge([*files, torn]) == merged


def test_a_result_of_every_planned_test_is_needed() -> None:
    files = _shards(2)
    name, part = files[0]
    files[0] = (name, replace(part, cases=part.cases[:-1]))
    assert merge(files).problems


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(UsageError, match="different runs"):
        merge([*_shards(2), *_shards(3)])
    with pytest.raises(UsageError, match="another suite"):
        merge([_shards(2)[0], _shards(2, "PPP")[1]])
    first, (name, part) = _shards(2)
    moved = replace(part, kernels=(KernelRecord(**{**KERNEL.__dict__, "state": "moved"}),))
    with pytest.raises(UsageError, match="one kernel in all shards"):
        merge([first, (name, moved)])
    with pytest.raises(UsageError, match="at least one"):
        merge([])


def test_a_test_that_two_shards_ran_is_reported() -> None:
    """Shards that divided by different durations."""
    files = _shards(2)
    name, part = files[0]
    stolen = files[1][1].cases[:1]
    files[0] = (name, replace(part, cases=(*part.cases, *stolen)))
    assert any("in 1.jsonl and in 2.jsonl" in problem for problem in merge(files).problems)


# -- the command -----------------------------------------------------------------------------------


def _write(directory: Path, files: list[tuple[str, ResultFile]]) -> Path:
    for number, (name, part) in enumerate(files):
        write_results(directory / str(number) / name, part, version="0")
    return directory


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = _write(tmp_path / "in", _shards(3))
    out, into = tmp_path / "all.jsonl", tmp_path / "pages"
    words = ["merge", str(place), "--output", str(out), "--into", str(into)]
    unsure = tmp_path / "unsure"
    assert main.main([*words, "--unsure", str(unsure)]) == 1
    told = capsys.readouterr().out
    assert "10 of 10 tests, 2 failed" in told
    assert read_results(out).whole
    assert len(unsure.read_text().split()) == 3, "two failures and one infrastructure error"
    with History(into / "history.sqlite", readonly=True) as history:
        run = history.run("latest")
        assert run.status == "complete"
        assert len(query.attempts(history, run)) == 10
        assert history.kernels(run) == (KERNEL,)
    assert (into / "index.html").is_file()
    # The same shards twice would count every night twice.
    assert main.main(words) == 2
    assert "already" in capsys.readouterr().err


def test_further_attempts_confirm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "pages"
    place = _write(tmp_path / "first", _shards(2, "PP"))
    assert main.main(["merge", str(place), "--into", str(into)]) == 0
    bad = [(name, _later(part, "b")) for name, part in _shards(2, "FP")]
    again = ResultFile(
        started=500.0,
        ended=501.0,
        collected=(records("F")[0].nodeid,),
        planned=(records("F")[0].nodeid,),
        kernels=bad[0][1].kernels,
        cases=((KERNEL.name, records("F")[0]),),
        status=1,
    )
    place = _write(tmp_path / "second", bad)
    words = ["merge", str(place), "--into", str(into)]
    for number in (1, 2):
        attempt = _write(tmp_path / f"attempt{number}", [("a.jsonl", again)])
        words += ["--attempt", str(attempt)]
    assert main.main(words) == 1
    assert "1 to look at, 1 new failure" in capsys.readouterr().out


def _later(part: ResultFile, state: str) -> ResultFile:
    kernels = tuple(KernelRecord(**{**k.__dict__, "state": state}) for k in part.kernels)
    return replace(part, started=part.started + 1000, ended=part.ended + 1000, kernels=kernels)


def test_a_missing_shard_makes_the_command_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = _write(tmp_path / "in", _shards(3, "PPPPPPPP")[:2])
    assert main.main(["merge", str(place)]) == 125
    assert "shard 3/3: missing" in capsys.readouterr().err
    assert main.main(["merge", str(tmp_path / "none")]) == 2
    with pytest.raises(UsageError, match="no results"):
        find_results([tmp_path / "none"])


def test_every_point_of_a_sweep_is_part_of_the_whole() -> None:
    """They share the node id of their test."""
    ((name, part),) = _shards(1, "PF")
    node = "suites/sweep/test_sweep.py::test_sweep[sweep-hfs-mount-rw-alloc]"
    points = tuple((key, replace(record, nodeid=node)) for key, record in part.cases)
    merged = merge([(name, replace(part, cases=points, collected=(node,), planned=(node,)))])
    assert not merged.problems
    assert [record.case for _, record in merged.results.cases] == [one.case for _, one in points]
    # The same point twice is one too many all the same.
    twice = replace(part, cases=(*points, points[0]), collected=(node,), planned=(node,))
    assert merge([(name, twice)]).problems
