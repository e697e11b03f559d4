"""The guest that people who write their own suites get from the `guest` fixture."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from errpath.cases.case import MountCase, Outcome
from errpath.cases.run import run_case
from errpath.errors import UnknownFunctionError
from errpath.guest.machine import Guest, ProgramOutput
from errpath.oracles import canary, kmemleak
from errpath.oracles.kmemleak import Record
from errpath.runner.batch_runner import PreparedGuest
from errpath.runner.testbed import Testbed

__all__ = ["UserGuest"]


class UserGuest:
    """A fresh guest, its filesystems' modules loaded. Nothing of it is shared with other tests."""

    def __init__(self, testbed: Testbed, filesystems: Sequence[str]) -> None:
        self._testbed = testbed
        self._filesystems = tuple(filesystems)
        self._functions: tuple[str, ...] = ()
        self._numbers = itertools.count(1)
        self._prepared: PreparedGuest | None = None

    @property
    def machine(self) -> Guest:
        """The guest itself, for what is not offered here."""
        if self._prepared is None:
            self._prepared = self._testbed.prepare(self._filesystems, self._functions)
        return self._prepared.guest

    def run_case(self, case: MountCase) -> Outcome:
        """Run one case and return what it did; leaks are `leaks()`'s business.

        Raises:
            UnknownFunctionError: its fault names a function that this kernel cannot fail.
        """
        if case.fault is not None and case.fault.function not in self._functions:
            self._functions = (*self._functions, case.fault.function)
            if self._prepared is not None:
                self._testbed.add_targets(self._prepared, self._functions)
        guest = self.machine
        assert self._prepared is not None
        if case.fault is not None and case.fault.function in self._prepared.unknown:
            raise UnknownFunctionError(self._prepared.unknown[case.fault.function])
        return run_case(guest, case, f"errpath-u{next(self._numbers):05d}")

    def run(self, argv: Sequence[str], *, seconds: float = 30.0) -> ProgramOutput:
        """Run a program in the guest (busybox's applets are in /bin)."""
        return self.machine.run(argv, seconds=seconds)

    def read_file(self, path: str) -> bytes:
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
            CanaryMissedError: the check cannot be believed in this guest.
        """
        return canary.check_with_canary(self.machine, kmemleak.slow_check)

    def close(self) -> None:
        """End the guest."""
        if self._prepared is not None:
            self._prepared.guest.close()
            self._prepared = None
