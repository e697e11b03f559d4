"""How a store is opened: durable, for several processes, and readable when the disk is full."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from errpath.errors import InfrastructureError, UsageError
from errpath.results.history.schema import migrate

__all__ = ["connect", "connect_reader", "storage_errors", "transaction"]

# Seconds that a writer waits for another; a transaction of ours takes well under one.
_BUSY_SECONDS = 60.0


def connect(path: Path) -> sqlite3.Connection:
    """A store for reading and writing, made or migrated if need be.

    Raises:
        UsageError: the file is no store, or of a later version.
        InfrastructureError: it cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = _open(path)
        try:
            # Written to the log first, then into the file: readers never wait for writers.
            connection.execute("PRAGMA journal_mode = WAL")
            # A transaction that was reported as done is on the disk.
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection, str(path))
        except BaseException:
            connection.close()
            raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """An existing store for reading only. Nothing needs to be written for it.

    Raises:
        UsageError: there is no such store, or it is none.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no history there; expected what `errpath nightly run` writes")
    try:
        return connect(path)
    except InfrastructureError:
        pass
    # The index of the log is a file that may have to be made: with the disk full, or where we may
    # not write, it can be held in memory by a sole reader.
    with storage_errors(path):
        connection = _open(path)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("SELECT count(*) FROM run").fetchone()
        except BaseException:
            connection.close()
            raise
    return connection


def _open(path: Path) -> sqlite3.Connection:
    # isolation_level None: transactions begin where we say so.
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as ours, one line each.

    Raises:
        UsageError: the file is no history.
        InfrastructureError: it cannot be read or written.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error) or "no such table" in str(error):
            raise UsageError(f"{path}: {error}; expected errpath's history") from None
        raise InfrastructureError(
            f"{path}: {error}; expected a disk with room that can be written"
        ) from None
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise InfrastructureError(
            f"{path}: {why}; expected a disk with room that can be written"
        ) from None


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """All or nothing. The right to write is taken at once, so that two writers cannot deadlock."""
    with storage_errors(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            # SQLite itself rolls back where the disk is full.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
