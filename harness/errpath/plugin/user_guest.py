"""The guest that people who write their own suites get from the `guest` fixture."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from errpath.cases.case import MountCase, Outcome
from errpath.cases.run import run_case
from errpath.errors import UnknownFunctionError, UsageError
from errpath.faults.model import Fault
from errpath.faults.plan import FaultPlan
from errpath.guest.machine import Guest, ProgramOutput
from errpath.kernel import BuiltModule
from errpath.oracles import canary, kmemleak
from errpath.oracles.kmemleak import Record
from errpath.oracles.ownership import case_tracer
from errpath.results.reports.text import decode_record, ownership_lines
from errpath.runner.call_shapes import impossible_calls
from errpath.runner.guests import PreparedGuest
from errpath.runner.testbed import Testbed

__all__ = ["UserGuest"]


class UserGuest:
    """A fresh guest, its filesystems' modules loaded. Nothing of it is shared with other tests."""

    def __init__(self, testbed: Testbed, filesystems: Sequence[str]) -> None:
        self._testbed = testbed
        self._filesystems = tuple(filesystems)
        # Functions of fault plans, and of other faults: "" for those that need none.
        self._functions: list[str] = []
        self._points: list[str] = []
        self._numbers = itertools.count(1)
        self._prepared: PreparedGuest | None = None
        # The cases that ran, by the task of each.
        self._ran: dict[tuple[str, int], MountCase] = {}

    @property
    def machine(self) -> Guest:
        """The guest itself, for what is not offered here."""
        if self._prepared is None:
            self._prepared = self._testbed.guests.prepare(self._filesystems, ())
        return self._prepared.guest

    def run_case(self, case: MountCase) -> Outcome:
        """Run one case and return what it did; leaks are `leaks()`'s business.

        Raises:
            UnknownFunctionError: its fault names a function that this kernel cannot fail.
            UsageError: its fault has a function return what its type does not allow.
        """
        guest = self.machine
        for reason in impossible_calls(self._testbed, (case,)).values():
            raise UsageError(reason)
        self._arm(case.faults)
        assert self._prepared is not None
        for fault in case.faults:
            if fault.function in self._prepared.unknown:
                raise UnknownFunctionError(self._prepared.unknown[fault.function])
        outcome = run_case(guest, case, self._task())
        self._ran[outcome.task, outcome.pid] = case
        return outcome

    def _arm(self, faults: Sequence[Fault]) -> None:
        """Have the guest ready for faults that no case of it had before."""
        guests = self._testbed.guests
        assert self._prepared is not None
        for fault in faults:
            is_plan = isinstance(fault, FaultPlan)
            if is_plan and fault.function in self._points:
                # One of the two has a function: the module's hook keeps a plan's kprobe out.
                self._points.remove(fault.function)
                self._prepared = guests.add_points(self._prepared, self._points or [""])
            known = self._functions if is_plan else self._points
            if fault.function not in known:
                known.append(fault.function)
                add = guests.add_targets if is_plan else guests.add_points
                self._prepared = add(self._prepared, known)

    def _task(self) -> str:
        return f"errpath-u{next(self._numbers):05d}"

    def run(self, argv: Sequence[str], *, seconds: float = 30.0) -> ProgramOutput:
        """Run a program in the guest (busybox's applets are in /bin)."""
        return self.machine.run(argv, seconds=seconds)

    def read_file(self, path: str) -> bytes:
        """The content of a file in the guest.

        Raises:
            AgentError: it cannot be read.
        """
        return self.machine.read_file(path)

    def write_file(self, path: str, data: bytes | str, *, mode: int | None = None) -> None:
        """Write a file; with `mode` it is created or truncated."""
        self.machine.write_file(path, data, mode=mode)

    def dmesg(self) -> str:
        """The kernel log so far."""
        return self.machine.dmesg()

    def leaks(self) -> tuple[Record, ...]:
        """Every object that is unreferenced now, by a check that has just found its canary.

        Raises:
            CanaryMissedError: the check missed its canary in this guest.
        """
        return canary.check_with_canary(self.machine, kmemleak.slow_check)

    def expect_no_leaks(self, *, repeats: int = 2) -> None:
        """Fail the test if anything is unreferenced now, with source positions of where it was
        allocated. A case whose task allocated it is repeated and traced: the text has how often it
        leaked again, and where the object changed its owner.

        Raises:
            CanaryMissedError: the check missed its canary in this guest.
        """
        found = self.leaks()
        if not found:
            return
        lines = [f"leak: {len(found)} unreferenced objects, {sum(r.size for r in found)} bytes"]
        tasks = {(record.comm, record.pid): None for record in found}
        with self._testbed.symbolizer(self._filesystems) as symbolizer:
            for task in tasks:
                records = [record for record in found if (record.comm, record.pid) == task]
                case = self._ran.get(task)
                if case is None:
                    lines += ["", f"  allocated by task {task[0]!r}, which ran no case"]
                else:
                    again = self._leaks_again(case, records, repeats)
                    lines += ["", f"  case {case.id}, confirmed {again} of {repeats}"]
                for record in records:
                    text = decode_record(record, symbolizer)
                    lines += ["", *(f"  {line}" for line in text.splitlines())]
                if case is not None:
                    modules = [module.name for module in self._modules]
                    with case_tracer(self.machine, modules) as trace:
                        story = trace(case, self._task())
                    lines += ["", *ownership_lines(case, records, story, symbolizer)]
        pytest.fail("\n".join(lines), pytrace=False)

    def _leaks_again(self, case: MountCase, records: Sequence[Record], repeats: int) -> int:
        """In how many of so many runs a case leaked the same again."""
        wanted = {record.signature for record in records}
        count = 0
        for _ in range(repeats):
            outcome = self.run_case(case)
            mine = [r for r in self.leaks() if (r.comm, r.pid) == (outcome.task, outcome.pid)]
            count += any(record.signature in wanted for record in mine)
        return count

    @property
    def _modules(self) -> list[BuiltModule]:
        return [one for name in self._filesystems for one in self._testbed.modules(name)]

    def close(self) -> None:
        """End the guest."""
        if self._prepared is not None:
            self._prepared.guest.close()
            self._prepared = None
