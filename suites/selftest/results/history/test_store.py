"""The store: what goes in comes out, migrations, and what two writers, kill -9 and a full disk do
to it. The last three are really done."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from errpath.errors import InfrastructureError, UsageError
from errpath.results.history import query
from errpath.results.history.prune import RUN_MARK, parse_age, prune
from errpath.results.history.schema import MIGRATIONS, VERSION
from errpath.results.history.store import History
from errpath.results.history.verdicts import compare, judge_run
from errpath.results.records import CaseRecord, KernelRecord, TrackRecord, from_json, to_json
from errpath.results.regression import Kind
from suites.selftest.disk import Disk
from suites.selftest.results.data import KERNEL, TRACK, add_run, records

# A writer of its own: begins runs and adds units of 40 cases until it is stopped.
_WRITER = """
import sys
from pathlib import Path
from errpath.errors import ErrpathError
from errpath.results.history.store import History
from suites.selftest.disk import Disk
from suites.selftest.results.data import KERNEL, TRACK, records
path, name, units = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
try:
    with History(path) as history:
        run = history.begin_run(id=name, job="hfs", digest="", harness="", host="",
                                directory=Path("/nonexistent"), started=1.0)
        history.add_kernel(run, KERNEL)
        for number in range(units):
            history.add_unit(run, f"unit-{number}", TRACK, records("PF" * 20))
            print(number, flush=True)
        history.end_run(run, status="complete", note="", ended=2.0)
except ErrpathError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history" / "errpath.sqlite"


def _writer(path: Path, name: str, units: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), name, str(units)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _check_whole(path: Path) -> dict[str, int]:
    """Nothing is damaged and no unit is half there; how many units each run has."""
    with History(path) as history:
        assert history.connection.execute("PRAGMA integrity_check").fetchall()[0][0] == "ok"
        assert not history.connection.execute("PRAGMA foreign_key_check").fetchall()
        counts = {}
        for run in history.runs():
            done = query.units(history, run)
            assert len(query.attempts(history, run)) == 40 * len(done)
            counts[run.id] = len(done)
        return counts


def test_what_goes_in_comes_out(path: Path) -> None:
    written = records("PFES")
    with History(path) as history:
        run = add_run(history, "n1", "PFES", started=100.0)
        read = [attempt.record for attempt in query.attempts(history, run)]
        # The command of what passes is not kept.
        assert read[0] == CaseRecord(**{**written[0].__dict__, "rerun": ""})
        assert read[1:] == written[1:]
        assert history.kernels(run) == (KERNEL,)
        assert [unit.track for unit in query.units(history, run)] == [TRACK]
        assert history.run("latest") == history.run("n") == run


def test_records_survive_json() -> None:
    for record in (*records("PFES"), KERNEL, TRACK):
        assert from_json(type(record), to_json(record)) == record
    assert from_json(CaseRecord, {"case": "a", "status": "pass", "later": 1}).case == "a"
    with pytest.raises(ValueError, match="case"):
        from_json(CaseRecord, {"status": "pass"})


def test_a_unit_is_recorded_once(path: Path) -> None:
    """Going on after an interruption may hand in a unit twice."""
    with History(path) as history:
        run = add_run(history, "n1", "PF", started=100.0)
        history.add_unit(run, "unit-0", TRACK, records("FF"))
        assert [a.record.status.value for a in query.attempts(history, run)] == ["pass", "fail"]


def test_further_units_are_further_attempts(path: Path) -> None:
    with History(path) as history:
        run = add_run(history, "n1", ["FP", "F", "F"], started=100.0)
        numbers = [(a.record.case[-1], a.number) for a in query.attempts(history, run)]
        assert numbers == [("0", 0), ("0", 1), ("0", 2), ("1", 0)]


def test_run_names(path: Path) -> None:
    with History(path) as history:
        add_run(history, "n1", "P", started=100.0)
        add_run(history, "n2", "P", started=200.0)
        assert history.run("latest").id == "n2"
        assert history.run("latest~1").id == "n1"
        for name, text in (("n", "2 runs"), ("x", "no such"), ("latest~2", "no such")):
            with pytest.raises(UsageError, match=text):
                history.run(name)
        with pytest.raises(UsageError, match="already"):
            add_run(history, "n1", "P", started=300.0)


# -- judgement over the store ----------------------------------------------------------------------


def _kernel(state: str) -> KernelRecord:
    return KernelRecord(**{**KERNEL.__dict__, "state": state})


def test_stock_bug_stock(path: Path) -> None:
    with History(path) as history:
        add_run(history, "n1", "PP", started=100.0, kernel=_kernel("a"))
        second = add_run(history, "n2", ["FP", "F", "F"], started=200.0, kernel=_kernel("b"))
        third = add_run(history, "n3", "PP", started=300.0, kernel=_kernel("a"))
        judged = judge_run(history, second)
        assert [j.judgement.kind for j in judged] == [Kind.NEW_FAILURE, Kind.PASSING]
        assert [j.judgement.kind for j in judge_run(history, third)] == [Kind.FIXED, Kind.PASSING]
        assert judge_run(history, third)[0].trend == ("pass", "fail", "pass")
        changes, same = compare(query.attempts(history, second), query.attempts(history, third))
        assert [(c.case[-1], c.before, c.after) for c in changes] == [("0", "fail", "pass")]
        assert same == {"pass": 1}


def test_the_same_kernel_with_another_answer_is_flaky(path: Path) -> None:
    with History(path) as history:
        add_run(history, "n1", "P", started=100.0)
        second = add_run(history, "n2", ["F", "F", "F"], started=200.0)
        assert judge_run(history, second)[0].judgement.kind is Kind.FLAKY


@pytest.mark.parametrize(
    ("confirmed", "kind"), [(2, Kind.NEW_FAILURE), (1, Kind.FLAKY), (0, Kind.FLAKY)]
)
def test_repeats_in_a_fresh_guest_are_attempts(path: Path, confirmed: int, kind: Kind) -> None:
    with History(path) as history:
        add_run(history, "n1", "P", started=100.0, kernel=_kernel("a"))
        run = add_run(history, "n2", [], started=200.0, kernel=_kernel("b"))
        leak = CaseRecord(**{**vars(records("F")[0]), "confirmed": confirmed, "repeats": 2})
        history.add_unit(run, "u", TRACK, [leak])
        (judged,) = judge_run(history, run)
        assert judged.judgement.kind is kind
        assert (judged.judgement.failed, judged.judgement.of) == (
            confirmed + 1,
            3 if kind is Kind.NEW_FAILURE else 4,
        )
        later = add_run(history, "n3", "P", started=300.0, kernel=_kernel("c"))
        (night, _) = query.nights(history, TRACK, before=later.started)[judged.case]
        assert (night.fails, night.passes) == (confirmed + 1, 2 - confirmed)


def test_gone_and_not_run(path: Path) -> None:
    with History(path) as history:
        add_run(history, "n1", "PPP", started=100.0)
        second = add_run(history, "n2", "PP", started=200.0)
        third = add_run(history, "n3", "P", started=300.0, unit_status="cut")
        kinds = [j.judgement.kind for j in judge_run(history, second)]
        assert kinds == [Kind.PASSING, Kind.PASSING, Kind.GONE]
        # Told once: the run before no longer had it. And what was cut short has nothing gone.
        kinds = [j.judgement.kind for j in judge_run(history, third)]
        assert kinds == [Kind.PASSING, Kind.NOT_RUN]


def test_a_track_without_any_unit_did_not_run(path: Path) -> None:
    with History(path) as history:
        add_run(history, "n1", "PP", started=100.0)
        second = add_run(history, "n2", [], started=200.0)
        kinds = [j.judgement.kind for j in judge_run(history, second, tracks=[TRACK])]
        assert kinds == [Kind.NOT_RUN, Kind.NOT_RUN]


def test_tracks_do_not_mix(path: Path) -> None:
    other = TrackRecord("hfs", "next", "microvm", "suites/hfs")
    with History(path) as history:
        add_run(history, "n1", "P", started=100.0, track=other)
        second = add_run(history, "n2", "FFF", started=200.0)
        assert {j.judgement.kind for j in judge_run(history, second)} == {Kind.NEW_CASE}


def test_durations(path: Path) -> None:
    with History(path) as history:
        add_run(history, "n1", "PP", started=100.0)
        assert query.durations(history) == {r.case: 0.004 for r in records("PP")}
        assert query.durations(history, "suites/other") == {}
        assert query.unit_seconds(history, "unit-0", "hfs") == (20.0,)


# -- prune -----------------------------------------------------------------------------------------


def test_prune(path: Path, tmp_path: Path) -> None:
    old, foreign = tmp_path / "old", tmp_path / "foreign"
    for directory in (old, foreign):
        directory.mkdir()
        (directory / "index.html").touch()
    (old / RUN_MARK).touch()
    with History(path) as history:
        add_run(history, "n1", "FP" * 2000, started=100.0, directory=old)
        add_run(history, "n2", "P", started=150.0, directory=foreign)
        kept = add_run(history, "n3", "P", started=300.0)
        gone = prune(history, before=200.0)
        assert gone.runs == ("n1", "n2")
        assert gone.freed > 0
        assert history.runs() == (kept,)
        assert len(query.attempts(history, kept)) == 1
        for table in ("attempt", "testcase", "track", "kernel"):
            count = history.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            assert count == 1, table
    assert not old.exists()
    assert foreign.exists(), "only directories that bear our mark may be removed"


@pytest.mark.parametrize(("text", "seconds"), [("90d", 7776000), ("2w", 1209600), ("6h", 21600)])
def test_ages(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["90", "d", "-1d", "1.5d", ""])
def test_wrong_ages(text: str) -> None:
    with pytest.raises(UsageError, match="90d"):
        parse_age(text)


# -- versions --------------------------------------------------------------------------------------


def _old_store(path: Path, version: int) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    for script in MIGRATIONS[:version]:
        connection.executescript(script)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute(
        "INSERT INTO run (id, job, digest, status, harness, host, directory, started)"
        " VALUES ('old', 'hfs', '', 'complete', '', '', '/nonexistent', 1.0)"
    )
    connection.commit()
    connection.close()


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_every_older_version_is_migrated(path: Path, version: int) -> None:
    _old_store(path, version)
    with History(path) as history:
        assert history.run("old").job == "hfs"
        run = add_run(history, "n1", ["F", "F", "F"], started=100.0)
        judged = {(j.track, j.case): j.judgement for j in judge_run(history, run)}
        history.add_judgements(run, judged)
        assert [one.kind for one in query.judgements(history, run=run)] == ["new case"]


def test_a_later_version_is_refused(path: Path) -> None:
    _old_store(path, VERSION)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(UsageError, match="later errpath"):
        History(path)


def test_what_is_no_store_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database, " * 200)
    with pytest.raises(UsageError, match="not a database"):
        History(path)
    with pytest.raises(UsageError, match="no history"):
        History(path.with_name("none"), readonly=True)


# -- two writers, kill -9, a full disk -------------------------------------------------------------


def test_two_writers_lose_nothing(path: Path) -> None:
    """They even create and migrate the store at the same time."""
    writers = [_writer(path, f"run-{number}", 25) for number in range(3)]
    for writer in writers:
        _, err = writer.communicate(timeout=120)
        assert writer.returncode == 0, err
    assert _check_whole(path) == {f"run-{number}": 25 for number in range(3)}


def test_kill_9_at_any_moment(path: Path) -> None:
    """What a writer was told is done is there; the rest is whole or absent."""
    choose = random.Random(1)
    reported = {}
    for number in range(12):
        writer = _writer(path, f"run-{number}", 10_000)
        assert writer.stdout is not None
        # From before the first unit's report until somewhere within a later one.
        last = -1
        for _ in range(choose.randrange(0, 8)):
            last = int(writer.stdout.readline())
        time.sleep(choose.random() * 0.02)
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=60)
        last = max([last, *map(int, rest.split())])
        reported[f"run-{number}"] = last + 1
        if path.exists():
            counts = _check_whole(path)
            for name, units in reported.items():
                assert units <= counts.get(name, 0) <= units + 1
    assert sum(reported.values()) > 12


def test_a_full_disk(disk: Disk) -> None:
    """The writer ends with one line; all before is there and can be read on the full disk."""
    path = disk.path / "errpath.sqlite"
    writer = _writer(path, "run-0", 10_000)
    out, err = writer.communicate(timeout=120)
    assert err.startswith("InfrastructureError: "), err
    assert "full" in err
    assert len(err.strip().splitlines()) == 1
    reported = len(out.split())
    assert reported > 5
    # Not even a byte for a reader.
    with pytest.raises(OSError, match="space"):
        (disk.path / "filler").write_bytes(bytes(2**20))
    with History(path, readonly=True) as history:
        run = history.run("latest")
        assert len(query.units(history, run)) == reported
        assert len(query.attempts(history, run)) == 40 * reported
    # With room again, the next night goes on.
    disk.resize("4M")
    again = _writer(path, "run-1", 3)
    assert again.communicate(timeout=120) == ("0\n1\n2\n", "")
    assert _check_whole(path) == {"run-0": reported, "run-1": 3}


def test_a_store_that_may_not_grow(path: Path) -> None:
    """SQLITE_FULL in the middle of a unit, without a disk of our own."""
    with History(path) as history:
        run = add_run(history, "n1", "PF", started=100.0)
        pages = history.connection.execute("PRAGMA page_count").fetchone()[0]
        history.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(InfrastructureError, match="full"):
            history.add_unit(run, "big", TRACK, records("P" * 5000))
        assert [unit.id for unit in query.units(history, run)] == ["unit-0"]
        assert len(query.attempts(history, run)) == 2
