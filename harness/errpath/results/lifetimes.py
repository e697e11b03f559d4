"""What a report asks guests for: the life of a leaked object, where a bad value came from, and who
else waits in a hang. Once for each leak, crash and hang."""

from __future__ import annotations

import threading
from pathlib import PurePosixPath

from errpath.cases.case import MountCase
from errpath.cases.failing import failing
from errpath.errors import ErrpathError
from errpath.filesystems import load_filesystem
from errpath.oracles.failure import (
    HANG,
    KERNEL_LOG,
    LEAK,
    OOPS,
    RESOURCE_LEAK,
    WARNING,
    Failure,
    Kind,
)
from errpath.oracles.message_source import MessageSource, find_message
from errpath.results.testbeds import Testbeds
from errpath.runner.kept_references import Counted, counted_in, measure_kept
from errpath.runner.lifetime import Lifetime, measure_references, sources_of
from errpath.runner.origin import Measured, measure_origin
from errpath.runner.result import Result
from errpath.runner.verdict import Status

__all__ = ["Lifetimes"]

# What a failure's resource begins with, before the module.
_REFERENCES = "module references: "
# Of one run; more leaks of different kinds than this are reported without.
_MEASURED_MAX = 12


class Lifetimes:
    """Measurements by kernel, filesystem and signature."""

    def __init__(self, testbeds: Testbeds) -> None:
        self._testbeds = testbeds
        self._found: dict[tuple[str, str, str], Lifetime] = {}
        self._blocked: dict[tuple[str, str, str], str] = {}
        self._origins: dict[tuple[str, str, str], Measured | None] = {}
        self._lock = threading.Lock()

    def of(self, kernel: str, result: Result) -> Lifetime | None:
        """The life of what a case leaked, who held what a module gave out, or who took references
        to what it keeps; None where it lost nothing of these that was confirmed."""
        case = result.verdict.case
        leak = _first(result, LEAK) if result.verdict.leak is not None else None
        module = "" if leak is not None else _module(result)
        kept: Counted | None = None
        if module:
            leak = _first(result, RESOURCE_LEAK)
        elif leak is None and result.verdict.status is Status.FAIL:
            leak, kept = counted_in(result.verdict.failures) or (None, None)
        if leak is None:
            return None
        key = (kernel, case.filesystem, leak.signature)
        with self._lock:
            if key not in self._found:
                if len(self._found) >= _MEASURED_MAX:
                    return Lifetime(None, f"{_MEASURED_MAX} leaks of this run are measured already")
                functions, points = failing([case])
                testbed = self._testbeds.get(kernel, case.filesystem)
                filesystems = (case.filesystem,)
                if module:
                    self._found[key] = measure_references(
                        testbed, filesystems, functions, points, case, module
                    )
                elif kept is not None:
                    self._found[key] = measure_kept(
                        testbed, filesystems, functions, points, case, kept
                    )
                else:
                    watch = testbed.watch(filesystems, functions, points=points)
                    self._found[key] = watch(case)
            return self._found[key]

    def origin(self, kernel: str, result: Result) -> Measured | None:
        """Who stored the value by which a case crashed; None for one that did not."""
        case = result.verdict.case
        crash = _first(result, OOPS) or _first(result, WARNING)
        if crash is None:
            return None
        key = (kernel, case.filesystem, crash.signature)
        with self._lock:
            if key not in self._origins and len(self._origins) < _MEASURED_MAX:
                testbed = self._testbeds.get(kernel, case.filesystem)
                self._origins[key] = measure_origin(
                    testbed, (case.filesystem,), *failing([case]), case, crash
                )
            return self._origins.get(key)

    def message(self, kernel: str, result: Result) -> MessageSource | None:
        """Which statement of the filesystem printed an unexpected message; None where it printed
        nothing of the kind."""
        case, printed = result.verdict.case, _first(result, KERNEL_LOG)
        if printed is None:
            return None
        try:
            return self._printed(kernel, case, printed)
        except ErrpathError:
            # A filesystem of somebody's own, or a kernel without its source: nothing to look in.
            return None

    def _printed(self, kernel: str, case: MountCase, printed: Failure) -> MessageSource | None:
        directory = PurePosixPath(load_filesystem(case.filesystem).source).parent
        testbed = self._testbeds.get(kernel, case.filesystem)
        text = printed.detail.partition("; printed after")[0]
        return find_message(
            printed.title if text.startswith("printed after") else text or printed.title,
            sources_of(testbed, str(directory)),
        )

    def blocked(self, kernel: str, result: Result) -> str:
        """The other tasks that wait while a case hangs; "" for one that does not."""
        case, hang = result.verdict.case, _first(result, HANG)
        if hang is None:
            return ""
        key = (kernel, case.filesystem, hang.signature)
        with self._lock:
            if key not in self._blocked and len(self._blocked) < _MEASURED_MAX:
                testbed = self._testbeds.get(kernel, case.filesystem)
                self._blocked[key] = testbed.blocked((case.filesystem,), *failing([case]), case)
            return self._blocked.get(key, "")


def _first(result: Result, kind: Kind) -> Failure | None:
    failing = result.verdict.status is Status.FAIL
    return next((one for one in result.verdict.failures if failing and one.kind is kind), None)


def _module(result: Result) -> str:
    """The module of which a case loses references; "" for none."""
    named = (one.resource.partition(_REFERENCES) for one in result.verdict.failures)
    return next((name for _, mark, name in named if mark), "")
