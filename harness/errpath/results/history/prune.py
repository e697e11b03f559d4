"""Forget what is old: rows of old runs, and their artefacts."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import UsageError
from errpath.results.history.connect import storage_errors, transaction
from errpath.results.history.store import History

__all__ = ["RUN_MARK", "Pruned", "parse_age", "prune"]

# A run's directory holds this file; nothing without it is ever removed.
RUN_MARK = "errpath-run"
_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


@dataclass(frozen=True)
class Pruned:
    """What went."""

    runs: tuple[str, ...]
    directories: tuple[Path, ...]
    # Bytes that the store became smaller by.
    freed: int


def parse_age(text: str) -> float:
    """`90d` → seconds.

    Raises:
        UsageError: it is no number with h, d, w or y.
    """
    match = re.fullmatch(r"(\d+)([hdwy])", text)
    if match is None:
        raise UsageError(f"age {text!r}: expected a number with h, d, w or y, such as 90d")
    return float(int(match[1]) * _SECONDS[match[2]])


def prune(history: History, *, before: float) -> Pruned:
    """Remove the runs that began before a time (seconds since 1970), and their directories.

    A run that is still marked as running is kept: it may be, elsewhere.
    """
    size = _size(history.path)
    with storage_errors(history.path):
        rows = history.connection.execute(
            "SELECT no, id, directory FROM run WHERE started < ? AND status <> 'running'",
            (before,),
        ).fetchall()
    with transaction(history.connection, history.path):
        for row in rows:
            history.connection.execute("DELETE FROM run WHERE no = ?", (row["no"],))
        for orphans in (
            "failure WHERE no NOT IN (SELECT failure FROM attempt WHERE failure NOT NULL)",
            "kernel WHERE no NOT IN (SELECT kernel FROM run_kernel)",
            "testcase WHERE no NOT IN (SELECT testcase FROM attempt)"
            " AND no NOT IN (SELECT testcase FROM judgement)",
            "track WHERE no NOT IN (SELECT track FROM unit)",
        ):
            history.connection.execute(f"DELETE FROM {orphans}")
    # Only when the store no longer points to them.
    gone = []
    for row in rows:
        directory = Path(row["directory"])
        if (directory / RUN_MARK).is_file():
            shutil.rmtree(directory, ignore_errors=True)
            gone.append(directory)
    with storage_errors(history.path):
        if rows:
            history.connection.execute("VACUUM")
        history.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return Pruned(tuple(row["id"] for row in rows), tuple(gone), size - _size(history.path))


def _size(path: Path) -> int:
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
