"""Rows of a store: tracks, cases, failures and attempts. Called within a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from errpath.results.records import CaseRecord, TrackRecord, to_json

__all__ = ["insert_attempts", "track_number"]


def track_number(connection: sqlite3.Connection, track: TrackRecord) -> int:
    """The number of a track's row, inserted if it is not there."""
    values = (track.job, track.kernel, track.guest, track.suite)
    connection.execute(
        "INSERT OR IGNORE INTO track (job, kernel, guest, suite) VALUES (?, ?, ?, ?)", values
    )
    return _number(
        connection, "SELECT no FROM track WHERE (job, kernel, guest, suite) = (?, ?, ?, ?)", values
    )


def insert_attempts(
    connection: sqlite3.Connection,
    run: int,
    unit: str,
    track: int,
    records: Iterable[CaseRecord],
) -> None:
    """Insert the attempts of a unit; `run` and `track` are the numbers of their rows."""
    numbers: dict[int, int] = {
        row[0]: row[1]
        for row in connection.execute(
            "SELECT testcase, max(number) + 1 FROM attempt WHERE track = ? AND run = ?"
            " GROUP BY testcase",
            (track, run),
        )
    }
    rows = []
    for record in records:
        case = _case(connection, record)
        number = numbers.get(case, 0)
        numbers[case] = number + 1
        rows.append(
            (
                track,
                run,
                case,
                unit,
                number,
                record.status.value,
                round(record.seconds * 1000),
                _failure(connection, record),
                record.artefacts or None,
                # What passes needs no command: it is rarely wanted and makes most of the size.
                record.rerun or None if record.reasons else None,
                record.confirmed,
                record.repeats,
                json.dumps(to_json(record.issue)) if record.issue is not None else None,
            )
        )
    connection.executemany(
        "INSERT INTO attempt (track, run, testcase, unit, number, status, milliseconds,"
        " failure, artefacts, rerun, confirmed, repeats, issue)"
        f" VALUES ({', '.join('?' * 13)})",
        rows,
    )


def _case(connection: sqlite3.Connection, record: CaseRecord) -> int:
    about = (record.filesystem, record.event, record.errno, record.nodeid)
    connection.execute(
        "INSERT INTO testcase (id, filesystem, event, errno, nodeid) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET (filesystem, event, errno, nodeid) = (?, ?, ?, ?)"
        " WHERE (filesystem, event, errno, nodeid) <> (?, ?, ?, ?)",
        (record.case, *about, *about, *about),
    )
    return _number(connection, "SELECT no FROM testcase WHERE id = ?", (record.case,))


def _failure(connection: sqlite3.Connection, record: CaseRecord) -> int | None:
    if not record.reasons and not record.signature:
        return None
    values = (record.signature, json.dumps(record.reasons))
    found = [failure.to_json() for failure in record.failures]
    connection.execute(
        "INSERT INTO failure (signature, reasons, failures) VALUES (?, ?, ?)"
        " ON CONFLICT (signature, reasons) DO UPDATE SET failures = excluded.failures"
        " WHERE failures = ''",
        (*values, json.dumps(found) if found else ""),
    )
    return _number(connection, "SELECT no FROM failure WHERE (signature, reasons) = (?, ?)", values)


def _number(connection: sqlite3.Connection, query: str, values: tuple[object, ...]) -> int:
    return int(connection.execute(query, values).fetchone()[0])
