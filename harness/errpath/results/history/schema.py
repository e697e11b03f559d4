"""The store's tables, version by version.

`PRAGMA user_version` is the number of migrations that a file has had. A migration is never edited
once released: what comes next is a further one.
"""

from __future__ import annotations

import sqlite3

from errpath.errors import UsageError

__all__ = ["MIGRATIONS", "VERSION", "migrate"]

# Attempts are most of a store, so their rows are small: numbers, and text only once.
_FIRST = """
CREATE TABLE run (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,        -- as people write it
    job TEXT NOT NULL,
    digest TEXT NOT NULL,           -- of the job's definition
    status TEXT NOT NULL,           -- running, complete, partial
    note TEXT NOT NULL DEFAULT '',  -- why it is partial
    harness TEXT NOT NULL,          -- digest of what ran: same digest, same tests
    host TEXT NOT NULL,
    directory TEXT NOT NULL,        -- artefacts and reports
    started REAL NOT NULL,          -- seconds since 1970
    ended REAL
) STRICT;
CREATE INDEX run_by_job ON run (job, started);

CREATE TABLE kernel (
    no INTEGER PRIMARY KEY,
    state TEXT NOT NULL,            -- '' for one that was not built
    spec TEXT NOT NULL,
    release TEXT NOT NULL,
    description TEXT NOT NULL,
    git_commit TEXT NOT NULL,
    config_hash TEXT NOT NULL,
    patches TEXT NOT NULL,          -- JSON: [{"id": …, "name": …}, …]
    UNIQUE (state, spec, release, description, git_commit, config_hash, patches)
) STRICT;

CREATE TABLE run_kernel (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    name TEXT NOT NULL,             -- the job's name for it
    kernel INTEGER NOT NULL REFERENCES kernel,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE track (
    no INTEGER PRIMARY KEY,
    job TEXT NOT NULL,
    kernel TEXT NOT NULL,
    guest TEXT NOT NULL,
    suite TEXT NOT NULL,
    UNIQUE (job, kernel, guest, suite)
) STRICT;

CREATE TABLE unit (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    id TEXT NOT NULL,
    track INTEGER NOT NULL REFERENCES track,
    status TEXT NOT NULL,           -- done, failed, cut
    detail TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL,
    PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE testcase (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    filesystem TEXT NOT NULL,
    event TEXT NOT NULL,
    errno TEXT NOT NULL,
    nodeid TEXT NOT NULL
) STRICT;

CREATE TABLE failure (
    no INTEGER PRIMARY KEY,
    signature TEXT NOT NULL,
    reasons TEXT NOT NULL,          -- JSON list
    UNIQUE (signature, reasons)
) STRICT;

CREATE TABLE attempt (
    track INTEGER NOT NULL REFERENCES track,
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    testcase INTEGER NOT NULL REFERENCES testcase,
    unit TEXT NOT NULL,
    number INTEGER NOT NULL,        -- from 0, over all units of the run
    status TEXT NOT NULL,
    milliseconds INTEGER NOT NULL,
    failure INTEGER REFERENCES failure,
    artefacts TEXT,                 -- below the run's directory
    rerun TEXT,
    confirmed INTEGER NOT NULL DEFAULT 0,
    repeats INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (track, run, testcase, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_by_run ON attempt (run);
CREATE INDEX attempt_by_case ON attempt (testcase, track, run);
"""

# What was said of a case is kept: a later rule must not change what a past page said.
_JUDGEMENTS = """
CREATE TABLE judgement (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    track INTEGER NOT NULL REFERENCES track,
    testcase INTEGER NOT NULL REFERENCES testcase,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    since TEXT NOT NULL DEFAULT '',
    link TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run, track, testcase)
) STRICT, WITHOUT ROWID;
"""

# Rows from before have no failures: their signatures were made in another way.
_FAILURES = """
ALTER TABLE failure ADD COLUMN failures TEXT NOT NULL DEFAULT '';  -- JSON list
ALTER TABLE attempt ADD COLUMN issue TEXT;                         -- JSON, of an xfail
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _JUDGEMENTS, _FAILURES)
VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """Bring a store to this version. Two processes may come here at once.

    Raises:
        UsageError: the store is of a later version.
    """
    if _version(connection) == VERSION:
        return
    # The version is read again inside: another process may have been quicker.
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > VERSION:
            raise UsageError(
                f"{name}: schema version {version}; expected at most {VERSION} "
                "(written by a later errpath)"
            )
        for script in MIGRATIONS[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> list[str]:
    """One by one: `executescript` would commit behind our back."""
    statements, held = [], ""
    for line in script.splitlines(keepends=True):
        held += line
        if sqlite3.complete_statement(held):
            statements.append(held)
            held = ""
    return statements
