"""What the units of a run leave in the history: attempts, kernels, how each ended."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from errpath.errors import ErrpathError
from errpath.nightly.budget import last_run
from errpath.nightly.job import Job
from errpath.nightly.plan import KERNEL_SUITE, Unit
from errpath.nightly.schedule import Ended
from errpath.results.history import query
from errpath.results.history.store import History
from errpath.results.records import CaseRecord, CaseStatus, KernelRecord
from errpath.results.reports.jsonl import ResultFile, read_results
from errpath.results.run_records import RunRow, UnitPast

__all__ = ["UnitRecorder"]


@dataclass
class UnitRecorder:
    """Records the units of one run."""

    job: Job
    history: History
    row: RunRow
    say: Callable[[str], None]
    # Whether a unit was given up because time was up.
    cut: bool = False
    _pinned: dict[str, str] = field(default_factory=dict)
    # The kernels of guests that have a configuration of their own, by name and guest.
    _own: dict[tuple[str, str], KernelRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kernel in self.history.kernels(self.row):
            self._pin(kernel)

    def spec_of(self, unit: Unit) -> str:
        """The spec of a unit's kernel: after the first build, the commit that it stood for."""
        return self._pinned.get(unit.kernel.name) or self.job.spec(unit.kernel)

    def past(self, unit: Unit) -> UnitPast | None:
        """How a unit went in earlier runs of the job."""
        kernel, before = unit.kernel.name, self.row.started
        return query.unit_past(
            self.history, unit.id, job=self.job.name, kernel=kernel, before=before
        )

    def ended(self, ended: Ended) -> bool:
        """Record what a unit left, whatever happened to it."""
        unit = ended.unit
        detail = ended.detail
        if self.job.minutes and ended.how == "cut":
            detail = f"{detail}; {last_run(self.past(unit), self.row.started)}"
        results = self._results(unit) if ended.began else None
        records = self._records(unit, results)
        status = "done" if ended.how == "done" else "cut" if ended.how == "cut" else "failed"
        if status == "done" and (results is None or not results.whole):
            status, detail = "failed", "it left no whole results"
        if results is not None:
            detail = detail if status == "done" else results.reason or detail
            status, detail = self._note_kernels(unit, results, status, detail)
        if unit.kind == "kernel" and records and ended.how != "cut":
            # Its own records say what failed, also where it ended with an infrastructure error.
            status = "done"
        self.cut = self.cut or status == "cut"
        self.history.add_unit(
            self.row,
            unit.id,
            unit.track,
            records,
            status=status,
            detail=detail,
            seconds=ended.seconds,
        )
        counts = {s: sum(r.status is s for r in records) for s in CaseStatus}
        words = ", ".join(f"{count} {s.value}" for s, count in counts.items() if count)
        why = f" ({detail})" if detail else ""
        self.say(f"{unit.id}: {status}, {words or 'no results'}{why}")
        if unit.kind == "kernel":
            return status == "done" and all(r.status is CaseStatus.PASS for r in records)
        return status == "done"

    def _results(self, unit: Unit) -> ResultFile | None:
        path = Path(self.row.directory) / "units" / unit.id / "results.jsonl"
        try:
            return read_results(path) if path.is_file() else None
        except ErrpathError as error:
            self.say(f"{unit.id}: {error}")
            return None

    def _records(self, unit: Unit, results: ResultFile | None) -> list[CaseRecord]:
        """Its attempts, artefacts relative to the run's directory."""
        directory = self.row.directory
        records = []
        for _, record in results.cases if results is not None else ():
            folder = record.artefacts
            if folder and Path(folder).is_absolute():
                folder = os.path.relpath(folder, directory)
            records.append(CaseRecord(**{**vars(record), "artefacts": folder}))
        return records

    def _note_kernels(
        self, unit: Unit, results: ResultFile, status: str, detail: str
    ) -> tuple[str, str]:
        """Keep the kernel; results of another one than the run began with are not believed."""
        before = {kernel.name: kernel for kernel in self.history.kernels(self.row)}
        for kernel in results.kernels:
            known = before.get(kernel.name)
            if known is None or not known.state:
                self.history.add_kernel(self.row, kernel)
                self._pin(kernel)
            elif kernel.state and not self._is_same(kernel, known, unit.track.guest):
                return "failed", "the kernel changed while the run was under way"
        return status, detail

    def _is_same(self, kernel: KernelRecord, known: KernelRecord, guest: str) -> bool:
        """Whether a kernel is what the run began with, perhaps as a guest configures it."""
        if kernel.state == known.state:
            return True
        if kernel.config_hash == known.config_hash or _sources(kernel) != _sources(known):
            return False
        return self._own.setdefault((kernel.name, guest), kernel).state == kernel.state

    def _pin(self, kernel: KernelRecord) -> None:
        """A revision that moves (a branch) is built at one commit all night."""
        tree, at, _ = kernel.spec.partition("@")
        if at and kernel.commit:
            self._pinned[kernel.name] = f"{tree}@{kernel.commit}"

    def went_well(self, id: str) -> bool:
        """Whether a unit that is recorded went well enough for those that need it."""
        unit = next(u for u in query.units(self.history, self.row) if u.id == id)
        if unit.status != "done":
            return False
        if unit.track.suite != KERNEL_SUITE:
            return True
        return all(
            attempt.record.status is CaseStatus.PASS
            for attempt in query.attempts(self.history, self.row)
            if attempt.unit == id
        )

    def missing_parts(self, units: tuple[Unit, ...]) -> list[str]:
        """What the parts of a suite leave out together, one line each."""
        wholes: dict[str, list[ResultFile]] = {}
        for unit in units:
            if unit.shard != "none":
                results = self._results(unit)
                if results is not None:
                    wholes.setdefault(unit.id.rpartition(".p")[0], []).append(results)
        problems = []
        for name, parts in wholes.items():
            if len(parts) < self.job.parts or any(part.planned is None for part in parts):
                # Some part is reported as cut or failed already.
                continue
            planned = [node for part in parts for node in part.planned or ()]
            collected = set().union(*(part.collected or () for part in parts))
            if len(planned) != len(collected) or set(planned) != collected:
                problems.append(f"{name}: its parts do not make a whole")
        return problems


def _sources(kernel: KernelRecord) -> tuple[object, ...]:
    # A branch is described by its name at first, and by the commit from then on.
    return kernel.commit or kernel.description, kernel.release, kernel.patches
