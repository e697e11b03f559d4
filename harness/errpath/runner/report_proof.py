"""Proof that a kernel makes the reports that it is configured for, before its silence counts."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from errpath.guest.machine import Machine
from errpath.oracles.report_canaries import canaries_of, find_reports
from errpath.runner.preparation import KernelUnderTest, load_report_canaries
from errpath.util.progress import Progress

__all__ = ["ReportProof"]


class ReportProof:
    """What one kernel reports. Threads may share it."""

    def __init__(self, source: KernelUnderTest, progress: Progress) -> None:
        self._source = source
        self._progress = progress
        self._seen = False
        self._lock = threading.Lock()

    def see(self, make: Callable[[], Machine]) -> None:
        """See once that every bug that the configuration checks for is reported, in a guest that
        `make` gives for that.

        Raises:
            ReportMissedError: one is not.
        """
        with self._lock:
            canaries = canaries_of(self._source.kernel.options()) if not self._seen else ()
            if canaries:
                with contextlib.closing(make()) as guest:
                    load_report_canaries(self._source, guest)
                    found = find_reports(guest, canaries)
                self._progress.say(
                    f"{self._source.kernel.name}: bugs triggered on purpose, each reported: "
                    f"{', '.join(found)}"
                )
            self._seen = True
