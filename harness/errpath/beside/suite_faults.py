"""Failed allocations beside a suite's tests: every N-th of the filesystem's own.

The kernel's failslab does it (Documentation/fault-injection). Only tasks of the test are hit, and
only below the filesystem's modules, where the kernel can filter by the stack. What the programs of
a test then say is theirs; what the kernel loses or breaks is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from errpath.errors import AbsentError, UsageError
from errpath.guest.channel import AgentError
from errpath.guest.machine import Guest

__all__ = ["MAKE_IT_FAIL", "EveryAlloc", "parse_fail"]

# A test's script begins with it; tasks inherit it.
MAKE_IT_FAIL = "echo 1 > /proc/self/make-it-fail\n"
_FORM = re.compile(r"alloc:every=([1-9]\d*)")
_DIRECTORY = "/sys/kernel/debug/failslab"
# The first and the last functions of mm/kmemleak.c that allocate or are called where others do.
_KMEMLEAK = ("mem_pool_alloc", "__alloc_object", "__create_object", "kmemleak_write")
# So many are left when none has failed; each failure takes one.
_TIMES = 1_000_000_000


@dataclass(frozen=True)
class EveryAlloc:
    """Every `interval`-th slab allocation fails."""

    interval: int

    def arm(self, guest: Guest, modules: Iterable[str]) -> None:
        """From now on, for tasks that ask for it.

        Raises:
            AbsentError: the kernel has no failslab.
        """
        try:
            self._set(guest, "times", _TIMES)
        except AgentError:
            raise AbsentError("--fail alloc: this kernel has no failslab") from None
        for name, value in (
            ("interval", self.interval),
            ("verbose", 0),
            ("task-filter", "Y"),
            ("ignore-gfp-wait", "N"),
        ):
            self._set(guest, name, value)
        self._filter(guest, modules)
        self._set(guest, "probability", 100)

    def disarm(self, guest: Guest) -> int:
        """No more of them; how many have failed."""
        self._set(guest, "probability", 0)
        return _TIMES - int(guest.read_file(f"{_DIRECTORY}/times"))

    @staticmethod
    def _set(guest: Guest, name: str, value: int | str) -> None:
        guest.write_file(f"{_DIRECTORY}/{name}", str(value))

    def _filter(self, guest: Guest, modules: Iterable[str]) -> None:
        """Only below the text of the first module that is loaded, and none of kmemleak's own, which
        would take the fault and then end kmemleak."""
        places = [symbol.address for symbol in guest.symbols(_KMEMLEAK) if not symbol.module]
        for module in modules:
            lines = guest.read_file("/proc/modules").decode().splitlines()
            found = next((line.split() for line in lines if line.split()[0] == module), None)
            if found is None:
                continue
            start, size = int(found[5], 16), int(found[1])
            try:
                self._set(guest, "stacktrace-depth", 32)
                self._set(guest, "require-start", f"{start:#x}")
                self._set(guest, "require-end", f"{start + size:#x}")
                if places:
                    self._set(guest, "reject-start", f"{min(places):#x}")
                    self._set(guest, "reject-end", f"{max(places):#x}")
            except AgentError:
                # No FAULT_INJECTION_STACKTRACE_FILTER: every allocation of the test's tasks.
                return
            return


def parse_fail(text: str) -> EveryAlloc:
    """`alloc:every=N`.

    Raises:
        UsageError: it is something else.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise UsageError(f"--fail {text}: expected alloc:every=N, such as alloc:every=7")
    return EveryAlloc(int(found[1]))
