"""One run of a job, from plan to page. Goes on where an interrupted one stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from errpath.errors import ErrpathError
from errpath.nightly.budget import worth
from errpath.nightly.job import Job, harness_digest
from errpath.nightly.plan import KERNEL_SUITE, Limits, Unit, confirm_unit, plan
from errpath.nightly.publish import gather, publish, write_index, write_text
from errpath.nightly.recorder import UnitRecorder
from errpath.nightly.rundir import RunDirectory
from errpath.nightly.schedule import Launcher, Schedule
from errpath.results.history import query
from errpath.results.history.prune import parse_age, prune
from errpath.results.history.store import History
from errpath.results.history.verdicts import judge_run
from errpath.results.records import CaseStatus, TrackRecord
from errpath.results.run_records import RunRow
from errpath.results.triage import JudgedCase, JudgedRun
from errpath.runner.known_issues import KnownIssue
from errpath.util.deadline import Deadline
from errpath.util.times import local_stamp

__all__ = ["Nightly", "open_run"]

# An interrupted run that began longer ago is not gone on with: its kernels are yesterday's.
_RESUME_SECONDS = 20 * 3600.0
# Of the time until the deadline, what is kept for judging and writing pages.
_RESERVE_SECONDS = 20.0
# Retries of a case that an infrastructure error ended; such a round is no confirmation.
_ERROR_RETRIES = 2


def open_run(
    history: History, job: Job, *, host: str, now: float, fresh: bool = False
) -> tuple[RunRow, RunDirectory, bool]:
    """A run to work on, its directory locked, and whether it is an interrupted one.

    An earlier run of the same job that was interrupted and is too old, or not wanted (`fresh`), is
    marked as partial.

    Raises:
        ErrpathError: a hundred runs have the name that this second gives.
    """
    digest, harness = job.digest(), harness_digest()
    for row in history.runs(job=job.name):
        if row.status != "running":
            continue
        directory = RunDirectory(Path(row.directory))
        if not directory.take():
            # It runs, in another process.
            continue
        same = (row.digest, row.harness, row.host) == (digest, harness, host)
        if same and not fresh and now - row.started < _RESUME_SECONDS:
            return row, directory, True
        note = "it was interrupted and not gone on with"
        history.end_run(row, status="partial", note=note, ended=row.started)
        directory.__exit__(None, None, None)
    name = local_stamp(now) + f"-{job.name}"
    for number in range(1, 100):
        id = name if number == 1 else f"{name}-{number}"
        directory = RunDirectory(job.root / "runs" / id)
        if directory.path.exists() or not directory.take():
            continue
        row = history.begin_run(
            id=id,
            job=job.name,
            digest=digest,
            harness=harness,
            host=host,
            directory=directory.path,
            started=now,
        )
        return row, directory, False
    raise ErrpathError(f"{job.root}: a hundred runs begin in one second")


@dataclass
class Nightly:
    """Runs a job. `launcher` makes processes; tests pass a fake."""

    job: Job
    history: History
    row: RunRow
    limits: Limits
    memory_mib: Mapping[str, int]
    launcher: Launcher
    known: tuple[KnownIssue, ...] = ()
    deadline: Deadline | None = None
    say: Callable[[str], None] = print
    clock: Callable[[], float] = time.monotonic
    recorder: UnitRecorder = field(init=False)

    def __post_init__(self) -> None:
        self.recorder = UnitRecorder(self.job, self.history, self.row, self.say)

    def run(self) -> JudgedRun:
        """Run everything, judge it, write the pages."""
        path = Path(self.row.directory) / "durations.json"
        # Once per run, also if it is interrupted: parts must all divide by the same.
        if not path.exists():
            write_text(path, json.dumps(query.durations(self.history)) + "\n")
        units = plan(self.job, self.limits, self.memory_mib)
        done = {unit.id: unit for unit in query.units(self.history, self.row)}
        # What was done before an interruption is not done again; what failed is not, either.
        well = {unit.id: self.recorder.went_well(unit.id) for unit in units if unit.id in done}
        if done:
            self.say(f"going on with {self.row.id}: {len(done)} parts are done")
        schedule = self._schedule(well, units)
        schedule.run([unit for unit in units if unit.id not in done])
        self._confirm(units, {*done})
        return self._finish(units)

    def _schedule(self, well: dict[str, bool], units: tuple[Unit, ...]) -> Schedule:
        early = self.deadline
        if early is not None and early.remaining > 2 * _RESERVE_SECONDS:
            early = Deadline(early.what, early.seconds, early.at - _RESERVE_SECONDS, early.clock)
        return Schedule(
            launcher=self.launcher,
            limits=self.limits,
            deadline=early,
            report=self.recorder.ended,
            clock=self.clock,
            past={u.id: query.unit_seconds(self.history, u.id, self.job.name) for u in units},
            worth=self._worth if self.job.minutes else None,
            progress=self.say,
            well=well,
        )

    def _worth(self, unit: Unit) -> tuple[float, ...]:
        states = {kernel.name: kernel.state for kernel in self.history.kernels(self.row)}
        return worth(
            unit,
            self.recorder.past(unit),
            harness=self.row.harness,
            state=states.get(unit.kernel.name, ""),
        )

    # -- confirmation ----------------------------------------------------------------------------

    def _confirm(self, units: tuple[Unit, ...], done: set[str]) -> None:
        """Run new failures, and attempts lost to infrastructure errors, again in fresh guests."""
        rounds = self.job.confirm + _ERROR_RETRIES
        for number in range(1, rounds + 1):
            wanted: dict[TrackRecord, list[str]] = {}
            for case in self._judge(units):
                errors = sum(record.status is CaseStatus.ERROR for record in case.attempts)
                if (
                    case.judgement.unsure
                    and errors <= _ERROR_RETRIES
                    and case.track.suite != KERNEL_SUITE
                ):
                    wanted.setdefault(case.track, []).append(case.case)
            models = {unit.track: unit for unit in units if unit.kind == "suite"}
            again = [
                confirm_unit(models[track], number, tuple(sorted(cases)))
                for track, cases in wanted.items()
                if track in models
            ]
            again = [unit for unit in again if unit.id not in done]
            if not again or self.recorder.cut:
                return
            count = sum(len(unit.cases or ()) for unit in again)
            self.say(f"confirming {count} cases, round {number} of at most {rounds}")
            self._schedule({}, tuple(again)).run(again)

    # -- the end ---------------------------------------------------------------------------------

    def _judge(self, units: tuple[Unit, ...]) -> tuple[JudgedCase, ...]:
        tracks = sorted({unit.track for unit in units})
        return judge_run(
            self.history, self.row, known=self.known, confirm=self.job.confirm, tracks=tracks
        )

    def _finish(self, units: tuple[Unit, ...]) -> JudgedRun:
        ended = [unit for unit in query.units(self.history, self.row) if unit.status != "done"]
        broken = [unit for unit in ended if unit.status == "failed"]
        notes = []
        if self.recorder.cut or any(unit.status == "cut" for unit in ended):
            cut = sum(unit.status == "cut" for unit in ended)
            notes.append(f"time was up: {cut} of {len(units)} parts not done")
        if broken:
            notes.append(f"{len(broken)} of {len(units)} parts failed")
        notes += self.recorder.missing_parts(units)
        self.history.end_run(
            self.row,
            status="partial" if notes else "complete",
            note=", ".join(notes),
            ended=time.time(),
        )
        cases = self._judge(units)
        judgements = {(case.track, case.case): case.judgement for case in cases}
        self.history.add_judgements(self.row, judgements)
        judged = gather(self.history, self.history.run(self.row.id), cases)
        publish(self.history, judged, self.job.root)
        if self.job.keep:
            gone = prune(self.history, before=self.row.started - parse_age(self.job.keep))
            if gone.runs:
                self.say(f"removed {len(gone.runs)} runs older than {self.job.keep}")
                write_index(self.history, self.job.root)
        return judged
