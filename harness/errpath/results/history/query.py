"""Questions to a store: what a run holds, what a case's past is, how long things took."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from itertools import groupby

from errpath.results.history.connect import storage_errors
from errpath.results.history.store import History
from errpath.results.records import CaseRecord, CaseStatus, TrackRecord, count_repeats
from errpath.results.regression import WINDOW_NIGHTS, Night
from errpath.results.run_records import Attempt, RecordedJudgement, RunRow, UnitPast, UnitRow
from errpath.results.triage import RunSummary

__all__ = [
    "attempts",
    "cases_like",
    "durations",
    "judgements",
    "nights",
    "previous_cases",
    "summaries",
    "unit_past",
    "unit_seconds",
    "units",
]

_ATTEMPT = """
SELECT attempt.*, track.job, track.kernel, track.guest, track.suite,
    testcase.id AS case_id, testcase.filesystem, testcase.event, testcase.errno, testcase.nodeid,
    failure.signature, failure.reasons, failure.failures
FROM attempt
JOIN track ON track.no = attempt.track
JOIN testcase ON testcase.no = attempt.testcase
LEFT JOIN failure ON failure.no = attempt.failure
"""


def attempts(history: History, run: RunRow) -> tuple[Attempt, ...]:
    """Every attempt of a run, by track, case and number."""
    query = f"{_ATTEMPT} WHERE attempt.run = ? ORDER BY track.no, testcase.id, attempt.number"
    return tuple(map(_attempt, _rows(history, query, run.no)))


def _attempt(row: sqlite3.Row) -> Attempt:
    record = CaseRecord(
        case=row["case_id"],
        status=CaseStatus(row["status"]),
        reasons=tuple(json.loads(row["reasons"] or "[]")),
        signature=row["signature"] or "",
        seconds=row["milliseconds"] / 1000,
        filesystem=row["filesystem"],
        event=row["event"],
        errno=row["errno"],
        confirmed=row["confirmed"],
        repeats=row["repeats"],
        rerun=row["rerun"] or "",
        artefacts=row["artefacts"] or "",
        nodeid=row["nodeid"],
        failures=tuple(json.loads(row["failures"] or "[]")),
        issue=json.loads(row["issue"] or "null"),
    )
    return Attempt(_track(row), record, row["number"], row["unit"])


def _track(row: sqlite3.Row) -> TrackRecord:
    return TrackRecord(row["job"], row["kernel"], row["guest"], row["suite"])


def units(history: History, run: RunRow) -> tuple[UnitRow, ...]:
    """The recorded units of a run."""
    query = (
        "SELECT unit.*, track.job, track.kernel, track.guest, track.suite"
        " FROM unit JOIN track ON track.no = unit.track WHERE run = ? ORDER BY unit.id"
    )
    return tuple(
        UnitRow(row["id"], _track(row), row["status"], row["detail"], row["seconds"])
        for row in _rows(history, query, run.no)
    )


def nights(
    history: History, track: TrackRecord, *, before: float, case: str = "", limit: int = 0
) -> dict[str, list[Night]]:
    """The past of a track by case, newest first: nights of its last runs that began before a time.

    `limit` counts runs of the track; 0 for as many as a judgement looks at.
    """
    query = """
    WITH here AS (SELECT no FROM track WHERE (job, kernel, guest, suite) = (?, ?, ?, ?)),
    last AS (
        SELECT no, id, started, harness FROM run
        WHERE started < ? AND EXISTS (
            SELECT 1 FROM unit WHERE unit.run = run.no AND unit.track = (SELECT no FROM here))
        ORDER BY started DESC, no DESC LIMIT ?)
    SELECT testcase.id AS case_id, last.id AS run_id, last.harness, attempt.status,
        attempt.confirmed, attempt.repeats,
        failure.signature, coalesce(failure.failures, '') AS failures,
        coalesce(kernel.state, '') AS state
    FROM last JOIN attempt ON attempt.run = last.no AND attempt.track = (SELECT no FROM here)
    JOIN testcase ON testcase.no = attempt.testcase
    LEFT JOIN failure ON failure.no = attempt.failure
    LEFT JOIN run_kernel ON run_kernel.run = last.no AND run_kernel.name = ?
    LEFT JOIN kernel ON kernel.no = run_kernel.kernel
    WHERE ? IN ('', testcase.id)
    ORDER BY testcase.id, last.started DESC, last.no DESC, attempt.number
    """
    values = (track.job, track.kernel, track.guest, track.suite)
    rows = _rows(history, query, *values, before, limit or WINDOW_NIGHTS, track.kernel, case)
    found: dict[str, list[Night]] = {}
    for (case_id, run_id), group in groupby(rows, lambda row: (row["case_id"], row["run_id"])):
        same = list(group)
        # A changed test may change its answer on the same kernel, and is not flaky for it.
        code = f"{same[0]['state']}:{same[0]['harness']}" if same[0]["state"] else ""
        found.setdefault(case_id, []).append(
            Night(
                run_id,
                code,
                tuple(
                    answer
                    for row in same
                    for answer in count_repeats(
                        CaseStatus(row["status"]), row["confirmed"], row["repeats"]
                    )
                ),
                frozenset(row["signature"] for row in same if _failing(row)),
                any(_failing(row) and not row["failures"] for row in same),
            )
        )
    return found


def _failing(row: sqlite3.Row) -> bool:
    return CaseStatus(row["status"]).failing


def previous_cases(history: History, track: TrackRecord, *, before: float) -> frozenset[str]:
    """The cases of the last run before a time in which every unit of the track was done."""
    query = """
    WITH here AS (SELECT no FROM track WHERE (job, kernel, guest, suite) = (?, ?, ?, ?)),
    last AS (
        SELECT run.no FROM run JOIN unit ON unit.run = run.no
        WHERE unit.track = (SELECT no FROM here) AND started < ?
        GROUP BY run.no HAVING min(unit.status = 'done') = 1
        ORDER BY started DESC, run.no DESC LIMIT 1)
    SELECT DISTINCT testcase.id FROM attempt JOIN testcase ON testcase.no = attempt.testcase
    WHERE attempt.track = (SELECT no FROM here) AND attempt.run = (SELECT no FROM last)
    """
    values = (track.job, track.kernel, track.guest, track.suite)
    return frozenset(row[0] for row in _rows(history, query, *values, before))


def durations(history: History, suite: str = "") -> dict[str, float]:
    """Seconds that each case takes: the mean over its last ten attempts anywhere."""
    query = """
    SELECT id, avg(milliseconds) / 1000.0 FROM (
        SELECT testcase.id, milliseconds, row_number() OVER (
            PARTITION BY testcase ORDER BY run DESC, number DESC) AS age
        FROM attempt JOIN testcase ON testcase.no = attempt.testcase
        JOIN track ON track.no = attempt.track
        WHERE milliseconds > 0 AND ? IN ('', track.suite))
    WHERE age <= 10 GROUP BY id
    """
    return {row[0]: row[1] for row in _rows(history, query, suite)}


def unit_seconds(history: History, unit: str, job: str) -> tuple[float, ...]:
    """Seconds that this unit of a job took in its last ten runs, the latest first."""
    query = (
        "SELECT seconds FROM unit JOIN run ON run.no = unit.run"
        " WHERE unit.id = ? AND job = ? AND unit.status = 'done'"
        " ORDER BY started DESC LIMIT 10"
    )
    return tuple(row[0] for row in _rows(history, query, unit, job))


def unit_past(
    history: History, unit: str, *, job: str, kernel: str, before: float
) -> UnitPast | None:
    """The last run of a job before a time in which a unit went to its end; None for none."""
    query = """
    SELECT run.started, run.harness, coalesce(kernel.state, '') AS state, EXISTS (
        SELECT 1 FROM attempt
        WHERE attempt.run = run.no AND attempt.unit = unit.id AND attempt.status = ?) AS failed
    FROM unit JOIN run ON run.no = unit.run
    LEFT JOIN run_kernel ON run_kernel.run = run.no AND run_kernel.name = ?
    LEFT JOIN kernel ON kernel.no = run_kernel.kernel
    WHERE unit.id = ? AND run.job = ? AND run.started < ? AND unit.status = 'done'
    ORDER BY run.started DESC, run.no DESC LIMIT 1
    """
    rows = _rows(history, query, CaseStatus.FAIL.value, kernel, unit, job, before)
    return next(
        (UnitPast(r["started"], r["harness"], r["state"], bool(r["failed"])) for r in rows), None
    )


def judgements(
    history: History, *, run: RunRow | None = None, case: str = ""
) -> tuple[RecordedJudgement, ...]:
    """What runs said of cases, the latest run first."""
    query = (
        "SELECT run.id AS run_id, track.job, track.kernel, track.guest, track.suite,"
        " testcase.id AS case_id, kind, text, since, link"
        " FROM judgement JOIN run ON run.no = judgement.run JOIN track ON track.no = track"
        " JOIN testcase ON testcase.no = testcase"
        " WHERE (? IS NULL OR run.no = ?) AND ? IN ('', testcase.id)"
        " ORDER BY run.started DESC, run.no DESC, track.no, testcase.id"
    )
    number = run.no if run is not None else None
    return tuple(
        RecordedJudgement(
            row["run_id"],
            _track(row),
            row["case_id"],
            row["kind"],
            row["text"],
            row["since"],
            row["link"],
        )
        for row in _rows(history, query, number, number, case)
    )


def summaries(history: History, *, job: str = "", limit: int = -1) -> tuple[RunSummary, ...]:
    """Runs with what they said, the latest first."""
    query = "SELECT run, kind, count(*) AS number FROM judgement GROUP BY run, kind"
    counts: dict[int, dict[str, int]] = {}
    for row in _rows(history, query):
        counts.setdefault(row["run"], {})[row["kind"]] = row["number"]
    return tuple(
        RunSummary(run.id, run.job, run.status, run.started, run.seconds, counts.get(run.no, {}))
        for run in history.runs(job=job, limit=limit)
    )


def cases_like(history: History, part: str) -> tuple[str, ...]:
    """Case ids that contain `part`, in order."""
    rows = _rows(history, "SELECT id FROM testcase WHERE instr(id, ?) ORDER BY id", part)
    return tuple(row[0] for row in rows)


def _rows(history: History, query: str, *values: object) -> Iterator[sqlite3.Row]:
    with storage_errors(history.path):
        rows: list[sqlite3.Row] = history.connection.execute(query, values).fetchall()
    return iter(rows)
