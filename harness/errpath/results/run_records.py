"""A run as a store gives it back and as reports show it."""

from __future__ import annotations

from dataclasses import dataclass

from errpath.results.records import CaseRecord, TrackRecord

__all__ = ["Attempt", "RecordedJudgement", "RunRow", "UnitPast", "UnitRow"]


@dataclass(frozen=True)
class RunRow:
    """One run."""

    no: int
    id: str
    job: str
    # Digest of the job's definition.
    digest: str
    # "running", "complete" or "partial".
    status: str
    # Why it is partial.
    note: str
    # Digest of the harness, guests and suites that ran.
    harness: str
    host: str
    directory: str
    # Seconds since 1970; `ended` is None while it runs, or if it was killed.
    started: float
    ended: float | None

    @property
    def seconds(self) -> float:
        """Seconds of wall time; 0 while it runs."""
        return self.ended - self.started if self.ended is not None else 0.0


@dataclass(frozen=True)
class UnitRow:
    """One finished part of a run."""

    id: str
    track: TrackRecord
    # "done"; "failed": it ended badly and some of its cases have no result; "cut": time was up.
    status: str
    detail: str
    seconds: float


@dataclass(frozen=True)
class UnitPast:
    """The last run in which a unit went to its end."""

    # When the run began, seconds since 1970.
    started: float
    # What it ran with, and the state of its kernel; "" where that was not built.
    harness: str
    state: str
    # Whether a case failed, other than by a known issue.
    failed: bool


@dataclass(frozen=True)
class Attempt:
    """One attempt with where it ran."""

    track: TrackRecord
    record: CaseRecord
    # From 0, over all attempts of a case in a run.
    number: int
    unit: str


@dataclass(frozen=True)
class RecordedJudgement:
    """What a run said of one case."""

    run: str
    track: TrackRecord
    case: str
    kind: str
    text: str
    since: str
    link: str
