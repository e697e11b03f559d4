"""A launcher that starts no process: what each unit does is a table, and time is a number."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from errpath.nightly.plan import Unit
from errpath.results.records import CaseRecord, KernelRecord
from errpath.results.reports.jsonl import ResultFile, write_results

__all__ = ["Deed", "FakeClock", "FakeLauncher"]


class FakeClock:
    """Seconds that pass only when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Deed:
    """What a unit does when it is started."""

    # Exit status; None: it never ends by itself.
    status: int | None = 0
    # What it leaves; None for nothing.
    records: tuple[CaseRecord, ...] | None = ()
    kernel: KernelRecord | None = None
    # Whether its file has an end line.
    whole: bool = True
    # Seconds that pass while it runs.
    seconds: float = 1.0
    # Node ids of the whole suite, where that is more than its records.
    collected: tuple[str, ...] = ()
    # Called when it starts.
    first: Callable[[], None] = lambda: None


class _Process:
    def __init__(self, deed: Deed, unit: Unit, launcher: FakeLauncher) -> None:
        self._deed = deed
        self._unit = unit
        self._launcher = launcher
        self._read, self._write = os.pipe()
        self.stopped = False
        if deed.status is not None:
            os.close(self._write)
            self._write = -1
            launcher.clock.now += deed.seconds

    def fileno(self) -> int:
        return self._read

    def _close(self) -> None:
        for descriptor in (self._read, self._write):
            if descriptor >= 0:
                os.close(descriptor)
        self._read = self._write = -1
        self._launcher.alive.discard(self._unit.id)

    def stop(self) -> None:
        self.stopped = True
        self._close()

    def result(self) -> int:
        self._close()
        assert self._deed.status is not None
        return self._deed.status


@dataclass
class FakeLauncher:
    """Writes each unit's results when it starts."""

    directory: Path
    # By the unit's id, else by its kind; a confirmation without a deed does what the suite did.
    deeds: Mapping[str, Deed]
    clock: FakeClock = field(default_factory=FakeClock)
    started: list[str] = field(default_factory=list)
    alive: set[str] = field(default_factory=set)
    # The most that ran at once.
    most: int = 0

    def start(self, unit: Unit) -> _Process:
        kind = "suite" if unit.kind == "confirm" and "confirm" not in self.deeds else unit.kind
        deed = self.deeds.get(unit.id) or self.deeds[kind]
        deed.first()
        self.started.append(unit.id)
        self.alive.add(unit.id)
        self.most = max(self.most, len(self.alive))
        if deed.records is not None:
            records = deed.records
            if unit.cases is not None:
                records = tuple(r for r in records if r.case in unit.cases)
            nodes = tuple(record.nodeid for record in records)
            results = ResultFile(
                started=1.0,
                ended=2.0,
                collected=deed.collected or nodes,
                planned=nodes,
                kernels=(deed.kernel,) if deed.kernel is not None else (),
                cases=tuple((unit.kernel.name, record) for record in records),
                status=deed.status if deed.whole else None,
            )
            path = self.directory / "units" / unit.id / "results.jsonl"
            write_results(path, results, version="0")
        return _Process(deed, unit, self)
