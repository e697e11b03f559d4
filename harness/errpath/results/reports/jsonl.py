"""JSON lines: what a run writes while it runs, one line per record, each whole or absent.

    {"type": "run", "format": 1, "errpath": …, "shard": "1/1", "started": …}
    {"type": "plan", "collected": [node ids of all shards], "planned": [those of this one]}
    {"type": "kernel", "name": …, "spec": …, …}
    {"type": "case", "kernel": …, "case": …, "status": "pass", …}
    {"type": "end", "status": 0, "reason": "", "ended": …}

A file without an end line was cut short: what it holds is true, and it is not all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from errpath.errors import InfrastructureError, UsageError
from errpath.results.records import CaseRecord, KernelRecord, ShardRecord, from_json, to_json
from errpath.results.shard import parse_shard

__all__ = ["FORMAT", "ResultFile", "ResultWriter", "read_results", "write_results"]

FORMAT = 1


@dataclass(frozen=True)
class ResultFile:
    """What one file holds."""

    shard: ShardRecord = field(default_factory=ShardRecord)
    # Seconds since 1970.
    started: float = 0.0
    ended: float = 0.0
    # Node ids of the whole suite, and of this shard; None where the file ends before them.
    collected: tuple[str, ...] | None = None
    planned: tuple[str, ...] | None = None
    kernels: tuple[KernelRecord, ...] = ()
    # Kernel's name and record, in the order in which they ended.
    cases: tuple[tuple[str, CaseRecord], ...] = ()
    # pytest's exit status; None where the file was cut short.
    status: int | None = None
    # Why the run ended early, if it said.
    reason: str = ""

    @property
    def whole(self) -> bool:
        """Whether the run ended by itself and every planned test has its line."""
        if self.status not in (0, 1) or self.planned is None:
            return False
        return {record.nodeid for _, record in self.cases} >= set(self.planned)


class ResultWriter:
    """Appends lines to a new file; each is on its way to the disk when the call returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as error:
            raise InfrastructureError(
                f"{path}: {error.strerror}; expected a file to write to"
            ) from None

    def write(self, type: str, **values: Any) -> None:
        """One line.

        Raises:
            InfrastructureError: the disk is full.
        """
        try:
            self._file.write(json.dumps({"type": type, **values}, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise InfrastructureError(
                f"{self._path}: {error.strerror}; expected room for results"
            ) from None

    def run(self, *, version: str, shard: ShardRecord, started: float) -> None:
        """Write the head: what runs, and since when (seconds since the epoch)."""
        self.write("run", format=FORMAT, errpath=version, shard=str(shard), started=started)

    def plan(self, collected: Iterable[str], planned: Iterable[str]) -> None:
        """Write the ids of all cases collected, and of those that this shard runs."""
        self.write("plan", collected=list(collected), planned=list(planned))

    def kernel(self, kernel: KernelRecord) -> None:
        """Write a kernel, before its first case."""
        self.write("kernel", **to_json(kernel))

    def case(self, kernel: str, record: CaseRecord) -> None:
        """Write the result of one case; `kernel` is the identity of its kernel."""
        self.write("case", kernel=kernel, **to_json(record))

    def end(self, *, status: int, reason: str, ended: float) -> None:
        """Write the end, with pytest's exit status; close the file."""
        self.write("end", status=status, reason=reason, ended=ended)
        self.close()

    def close(self) -> None:
        """Without an end line: cut short."""
        self._file.close()


def write_results(path: Path, results: ResultFile, *, version: str) -> None:
    """Write all of it at once."""
    writer = ResultWriter(path)
    writer.run(version=version, shard=results.shard, started=results.started)
    writer.plan(results.collected or (), results.planned or ())
    for kernel in results.kernels:
        writer.kernel(kernel)
    for name, record in results.cases:
        writer.case(name, record)
    if results.status is not None:
        writer.end(status=results.status, reason=results.reason, ended=results.ended)
    writer.close()


def read_results(path: Path) -> ResultFile:
    """Read a file, also one whose writer was killed in the middle of a line.

    Raises:
        UsageError: it is something else, or of a later format.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; expected results") from None
    values: dict[str, Any] = {"kernels": (), "cases": ()}
    kernels: dict[str, KernelRecord] = {}
    cases: list[tuple[str, CaseRecord]] = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            record = json.loads(line)
            _take(record, values, kernels, cases)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # The last line may be torn, and then no newline follows it.
            if number == len(lines):
                continue
            raise UsageError(f"{path}:{number}: {error}; expected a line of results") from None
    if "started" not in values:
        raise UsageError(f"{path}: no run in it; expected results of `pytest --results`")
    return ResultFile(**{**values, "kernels": tuple(kernels.values()), "cases": tuple(cases)})


def _take(
    record: dict[str, Any],
    values: dict[str, Any],
    kernels: dict[str, KernelRecord],
    cases: list[tuple[str, CaseRecord]],
) -> None:
    kind = record.pop("type")
    if kind == "run":
        if record["format"] > FORMAT:
            raise ValueError(f"format {record['format']} is of a later errpath")
        values["shard"] = parse_shard(record["shard"])
        values["started"] = record["started"]
    elif kind == "plan":
        values["collected"] = tuple(record["collected"])
        values["planned"] = tuple(record["planned"])
    elif kind == "kernel":
        kernel = from_json(KernelRecord, record)
        kernels[kernel.name] = kernel
    elif kind == "case":
        cases.append((record.pop("kernel"), from_json(CaseRecord, record)))
    elif kind == "end":
        values.update(status=record["status"], reason=record["reason"], ended=record["ended"])
