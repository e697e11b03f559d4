"""The history: runs, kernels, units and attempts. What is written is written whole or not at all.

A unit (one suite on one kernel and guest) is the smallest thing that is recorded: its attempts and
the fact that it is done go in together, so that a run that was killed can go on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from errpath.errors import UsageError
from errpath.results.history.connect import connect, connect_reader, storage_errors, transaction
from errpath.results.history.rows import insert_attempts, track_number
from errpath.results.records import CaseRecord, KernelRecord, PatchRecord, TrackRecord, to_json
from errpath.results.regression import Judgement
from errpath.results.run_records import RunRow

__all__ = ["History"]


class History:
    """One store. Use as a context manager, or `close` it."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        """Open, make or migrate the store at `path`.

        Raises:
            UsageError: there is none (readonly), it is none, or it is of a later version.
            InfrastructureError: it cannot be written.
        """
        self.path = path
        self.connection = connect_reader(path) if readonly else connect(path)

    def __enter__(self) -> History:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back; what was written stays."""
        self.connection.close()

    # -- writing ---------------------------------------------------------------------------------

    def begin_run(
        self,
        *,
        id: str,
        job: str,
        digest: str,
        harness: str,
        host: str,
        directory: Path,
        started: float,
    ) -> RunRow:
        """Note that a run begins.

        Raises:
            UsageError: a run of this id is there already.
        """
        values = (id, job, digest, "running", harness, host, str(directory), started)
        with transaction(self.connection, self.path):
            done = self.connection.execute(
                "INSERT OR IGNORE INTO run"
                " (id, job, digest, status, harness, host, directory, started)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
        if not done.rowcount:
            raise UsageError(f"run {id}: is in {self.path} already")
        return self.run(id)

    def end_run(self, run: RunRow, *, status: str, note: str, ended: float) -> None:
        """Note how a run ended: "complete", or "partial" and why."""
        with transaction(self.connection, self.path):
            self.connection.execute(
                "UPDATE run SET status = ?, note = ?, ended = ? WHERE no = ?",
                (status, note, ended, run.no),
            )

    def add_kernel(self, run: RunRow, kernel: KernelRecord) -> None:
        """Note which kernel stood behind a name in this run."""
        patches = json.dumps([to_json(patch) for patch in kernel.patches])
        values = (
            kernel.state,
            kernel.spec,
            kernel.release,
            kernel.description,
            kernel.commit,
            kernel.config_hash,
            patches,
        )
        columns = "state, spec, release, description, git_commit, config_hash, patches"
        with transaction(self.connection, self.path):
            self.connection.execute(
                f"INSERT OR IGNORE INTO kernel ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values
            )
            self.connection.execute(
                "INSERT OR REPLACE INTO run_kernel (run, name, kernel)"
                f" SELECT ?, ?, no FROM kernel WHERE ({columns}) = (?, ?, ?, ?, ?, ?, ?)",
                (run.no, kernel.name, *values),
            )

    def add_unit(
        self,
        run: RunRow,
        unit: str,
        track: TrackRecord,
        records: Sequence[CaseRecord],
        *,
        status: str = "done",
        detail: str = "",
        seconds: float = 0.0,
    ) -> None:
        """Record a unit with all its attempts. A unit that is there already is left as it is."""
        with transaction(self.connection, self.path):
            track_no = track_number(self.connection, track)
            done = self.connection.execute(
                "INSERT OR IGNORE INTO unit (run, id, track, status, detail, seconds)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (run.no, unit, track_no, status, detail, seconds),
            )
            if done.rowcount:
                insert_attempts(self.connection, run.no, unit, track_no, records)

    def add_judgements(
        self, run: RunRow, judgements: Mapping[tuple[TrackRecord, str], Judgement]
    ) -> None:
        """Keep what this run says of its cases; what it said before is replaced."""
        with transaction(self.connection, self.path):
            self.connection.execute("DELETE FROM judgement WHERE run = ?", (run.no,))
            self.connection.executemany(
                "INSERT INTO judgement (run, track, testcase, kind, text, since, link)"
                " SELECT ?, ?, no, ?, ?, ?, ? FROM testcase WHERE id = ?",
                [
                    (
                        run.no,
                        track_number(self.connection, track),
                        j.kind.value,
                        str(j),
                        j.since,
                        j.link,
                        case,
                    )
                    for (track, case), j in judgements.items()
                ],
            )

    # -- reading ---------------------------------------------------------------------------------

    def runs(self, *, job: str = "", limit: int = -1) -> tuple[RunRow, ...]:
        """Runs, the latest first."""
        with storage_errors(self.path):
            rows = self.connection.execute(
                "SELECT * FROM run WHERE ? IN ('', job) ORDER BY started DESC, no DESC LIMIT ?",
                (job, limit),
            )
            return tuple(RunRow(**dict(row)) for row in rows)

    def run(self, name: str) -> RunRow:
        """The run of an id or of its unique beginning; "latest", or "latest~N" for the N-th before.

        Raises:
            UsageError: there is none, or there are several.
        """
        if name == "latest" or name.startswith("latest~"):
            back = name.removeprefix("latest").removeprefix("~") or "0"
            if not back.isdigit():
                raise UsageError(f"run {name}: expected latest~N with a number N")
            found = self.runs(limit=int(back) + 1)[int(back) :]
        else:
            with storage_errors(self.path):
                rows = self.connection.execute(
                    "SELECT * FROM run WHERE substr(id, 1, ?) = ?", (len(name), name)
                )
                found = tuple(RunRow(**dict(row)) for row in rows)
            found = tuple(row for row in found if row.id == name) or found
        if len(found) != 1:
            what = "no such run" if not found else f"{len(found)} runs begin so"
            raise UsageError(f"run {name}: {what} in {self.path}; expected an id, or latest~N")
        return found[0]

    def kernels(self, run: RunRow) -> tuple[KernelRecord, ...]:
        """The kernels of a run, by name."""
        with storage_errors(self.path):
            rows = self.connection.execute(
                "SELECT run_kernel.name, kernel.* FROM run_kernel JOIN kernel"
                " ON kernel.no = run_kernel.kernel WHERE run = ? ORDER BY name",
                (run.no,),
            )
            return tuple(
                KernelRecord(
                    name=row["name"],
                    spec=row["spec"],
                    state=row["state"],
                    release=row["release"],
                    description=row["description"],
                    commit=row["git_commit"],
                    config_hash=row["config_hash"],
                    patches=tuple(PatchRecord(**p) for p in json.loads(row["patches"])),
                )
                for row in rows
            )
