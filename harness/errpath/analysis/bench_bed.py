"""The test bed of a benchmark: guests, planted leaks, and the runner itself."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from errpath.cases.case import MountCase
from errpath.errors import InfrastructureError
from errpath.filesystems import load_filesystem
from errpath.kernel import KernelStore
from errpath.kernel.features.summary import stand_ins
from errpath.oracles.kmemleak import Record
from errpath.oracles.modules import PLANT
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.guests import Boot, PreparedGuest
from errpath.runner.options import Choice
from errpath.runner.testbed import Testbed, batch_size
from errpath.runner.verdict import Status
from errpath.util.progress import Progress, silent

__all__ = ["FILESYSTEM", "BenchBed", "verdict_seconds"]

FILESYSTEM = "hfs"
# Fails once the superblock is there; a kernel without it has one that fails in its place.
_POINT = "setup_bdev_super"
_FUNCTION = "errpath_plant_lose"


class BenchBed:
    """One kernel with the plants loaded."""

    def __init__(self, choice: Choice, artefacts: Path, progress: Progress) -> None:
        self._progress = progress
        self._artefacts = artefacts
        self.choice = choice
        self._store = KernelStore(progress=progress)
        options = replace(choice.testbed, plants=(PLANT.name,))
        self.testbed = Testbed(options, store=self._store, artefacts=artefacts, progress=progress)
        self._tasks = itertools.count(1)

    @functools.cached_property
    def functions(self) -> tuple[str, str]:
        """The functions that fail."""
        instead = stand_ins(self.testbed.features).get(_POINT)
        point = instead.instead if instead is not None else _POINT
        return point, load_filesystem(FILESYSTEM).fill_super

    @property
    def _wanted(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (FILESYSTEM,), self.functions

    def close(self) -> None:
        """End the guests."""
        self.testbed.close()

    def clone(self, *, fast: bool) -> PreparedGuest:
        """A clone; `fast` is which leak check it is made for."""
        return self.testbed.guests.prepare(*self._wanted, fast=fast)

    def boot(self) -> PreparedGuest:
        """The same, freshly booted."""
        return self.testbed.guests.prepare_by_boot(*self._wanted)

    def task(self) -> str:
        """The name of the next task."""
        return f"bench-{next(self._tasks):06d}"

    def plant(self, prepared: PreparedGuest, count: int) -> None:
        """Leak so many objects in a guest, each by a task of its own."""
        for _ in range(count):
            prepared.guest.write_file(PLANT.file, "lose", task=self.task())

    @staticmethod
    def found(records: Iterable[Record]) -> int:
        """How many of the planted leaks are among the records."""
        return sum(any(s.function == _FUNCTION for s in r.backtrace) for r in records)

    def execute(
        self, cases: Sequence[MountCase], batch: int, testbed: Testbed | None = None
    ) -> float:
        """Seconds to the verdicts of the runner itself.

        Raises:
            InfrastructureError: a case has no verdict: the figures would mean nothing.
        """
        testbed = testbed or self.testbed
        source = testbed.guest_source(*self._wanted)
        confirm = testbed.guest_source(*self._wanted, confirm=True)
        return verdict_seconds(source, cases, batch, confirm=confirm)

    def edit_to_verdict(self, cases: Sequence[MountCase]) -> float:
        """Seconds from a new line in the filesystem's main file to the verdict on every case.

        Raises:
            InfrastructureError: the kernel's sources do not have that file.
        """
        path = load_filesystem(FILESYSTEM).source
        text = self._store.sources.text(self.testbed.kernel, path)
        if text is None:
            raise InfrastructureError(
                f"{path}: not in the sources of this kernel; nothing can be edited"
            )
        line = f"/* errpath bench {time.time_ns()} */"
        first = text.splitlines()[:3]
        hunk = ["@@ -1,3 +1,4 @@", f"+{line}", *(f" {old}" for old in first)]
        patch = self._artefacts / "edit.patch"
        patch.write_text("\n".join([f"--- a/{path}", f"+++ b/{path}", *hunk]) + "\n")
        began = time.monotonic()
        options = self.choice.testbed
        request = replace(options.kernel, patches=(*options.kernel.patches, patch))
        testbed = Testbed(
            replace(options, kernel=request),
            store=self._store,
            artefacts=self._artefacts / "edited",
            progress=self._progress,
        )
        try:
            self.execute(cases, batch_size(options), testbed)
        finally:
            testbed.close()
        return time.monotonic() - began


def verdict_seconds(
    source: Boot,
    cases: Sequence[MountCase],
    batch: int,
    *,
    confirm: Boot | None = None,
    count: bool = False,
) -> float:
    """Seconds to the verdicts of the runner itself, in guests of `source`; with `count`, on what
    the kernel counts as well.

    Raises:
        InfrastructureError: a case has no verdict: the figures would mean nothing.
    """
    began = time.monotonic()
    runner = BatchRunner(source, confirm=confirm, batch=batch, progress=silent(), count=count)
    try:
        results = runner.run(cases)
    finally:
        runner.close()
    seconds = time.monotonic() - began
    for result in results.values():
        if result.verdict.status is Status.ERROR:
            raise InfrastructureError(
                f"bench: {result.verdict.case.id}: {result.verdict.reasons[0]}"
            )
    return seconds
