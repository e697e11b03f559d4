"""How fast cases are checked, and how many planted leaks each way of checking finds.

Five ways over the same kernel on the same machine in one run: what people do by hand or in other
harnesses (a boot per case, one guest with a slow check per case, two scans four seconds apart), and
what errpath does (a clone per case, a batch in one clone).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from errpath.cases.case import Device, MountCase
from errpath.cases.run import run_case
from errpath.cases.steps import FsOpen, Mount
from errpath.errors import InfrastructureError
from errpath.faults.plan import FaultPlan
from errpath.filesystems import load_filesystem
from errpath.images.hfs import hfs
from errpath.kernel import KernelStore
from errpath.oracles import canary, kmemleak
from errpath.oracles.kmemleak import LeakGuest, Record
from errpath.oracles.modules import PLANT
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.guests import PreparedGuest
from errpath.runner.options import Choice
from errpath.runner.testbed import Testbed, batch_size
from errpath.runner.verdict import Status
from errpath.util.progress import Progress, silent

__all__ = ["PLANTED", "Bench", "Times", "Way", "bench_cases", "table", "two_scans"]

# Leaks that are planted for each way.
PLANTED = 25
# Seconds between the two scans of way (c), as a well-known fuzzer has it.
_TWO_SCANS_SECONDS = 4.0
_FUNCTION = "errpath_plant_lose"
_STEPS: tuple[type[Mount] | type[FsOpen], ...] = (Mount, FsOpen)
_ERRNOS = ("EIO", "ENOMEM", "EACCES", "EBUSY", "EINVAL", "ENXIO")
_FILESYSTEM = "hfs"


@dataclass(frozen=True)
class Way:
    """What one way of checking cases gave."""

    name: str
    # Cases that were run and checked, and seconds for all of them.
    cases: int
    seconds: float
    # Of PLANTED leaks, how many it found.
    found: int

    @property
    def rate(self) -> float:
        """Checked cases a second."""
        return self.cases / self.seconds


@dataclass(frozen=True)
class Times:
    """Seconds, and MiB where it says so."""

    boot: float
    clone: float
    fast_check: float
    slow_check: float
    # From a changed fs/hfs/super.c to the verdict on every case of (e).
    edit_to_verdict: float
    # Memory of a clone after a batch: its RAM, and QEMU's own beside that.
    clone_ram_mib: float
    clone_qemu_mib: float


def two_scans(guest: LeakGuest) -> tuple[Record, ...]:
    """Scan, four seconds, scan, read: younger than kmemleak's minimum age, a leak goes unseen."""
    guest.write_file(kmemleak.SCAN_FILE, "scan")
    guest.sleep(_TWO_SCANS_SECONDS)
    guest.write_file(kmemleak.SCAN_FILE, "scan")
    return kmemleak.parse_records(guest.read_file(kmemleak.SCAN_FILE).decode(errors="replace"))


def bench_cases(count: int) -> tuple[MountCase, ...]:
    """So many mounts that fail in setup_bdev_super or fill_super, no two with the same id."""
    filesystem = load_filesystem(_FILESYSTEM)
    image = hfs.volume().image()

    def endless() -> Iterator[MountCase]:
        points = ("setup_bdev_super", filesystem.fill_super)
        for number in itertools.count():
            for point, errno, step, flags in itertools.product(
                points, _ERRNOS, _STEPS, ((), ("ro",))
            ):
                yield MountCase(
                    f"bench-{point}-{errno}-{step.op}-{'-'.join(flags) or 'rw'}-{number}",
                    _FILESYSTEM,
                    Device(image),
                    (step(filesystem.fstype, flags=flags, fail=FaultPlan(point, errno)),),
                    point=point,
                    errno=errno,
                )

    return tuple(itertools.islice(endless(), count))


def table(ways: Sequence[Way], times: Times) -> str:
    """For people."""
    first = ways[0].rate
    lines = [f"{'':44}{'cases':>6}{'s/case':>9}{'cases/s':>9}{'found':>8}{'faster':>9}"]
    for way in ways:
        lines.append(
            f"{way.name:44}{way.cases:6}{1 / way.rate:9.3f}{way.rate:9.2f}"
            f"{way.found:5}/{PLANTED}{way.rate / first:8.1f}x"
        )
    lines += [
        "",
        f"boot to the agent          {times.boot:8.2f} s",
        f"clone to the agent         {times.clone:8.2f} s",
        f"fast check                 {times.fast_check:8.2f} s",
        f"slow check                 {times.slow_check:8.2f} s",
        f"edit to verdict            {times.edit_to_verdict:8.2f} s",
        f"memory of a clone          {times.clone_ram_mib:8.0f} MiB of RAM, "
        f"{times.clone_qemu_mib:.0f} MiB of QEMU",
    ]
    return "\n".join(lines)


class Bench:
    """Runs every way on one kernel."""

    def __init__(self, choice: Choice, artefacts: Path, progress: Progress) -> None:
        self._progress = progress
        self._artefacts = artefacts
        self._choice = choice
        self._store = KernelStore(progress=progress)
        options = replace(choice.testbed, plants=(PLANT.name,))
        self.testbed = Testbed(options, store=self._store, artefacts=artefacts, progress=progress)
        functions = ("setup_bdev_super", load_filesystem(_FILESYSTEM).fill_super)
        self._wanted = ((_FILESYSTEM,), functions)
        self._tasks = itertools.count(1)

    def close(self) -> None:
        """End the guests."""
        self.testbed.close()

    def run(self, batch: int, samples: int) -> tuple[tuple[Way, ...], Times]:
        """Figures of each way, from `batch` cases for way (e) and `samples` for each slow one."""
        cases = bench_cases(max(batch, samples))
        # Everything that is made once must be there before a clock runs.
        self._clone(fast=True).guest.close()
        slow = kmemleak.slow_check
        few = cases[:samples]
        with self._progress.step("bench", total=6) as step:
            ways = []
            step.update(0, note="(a) one boot per case, slow check")
            ways.append(self._each("(a) a boot and a slow check per case", self._boot, slow, few))
            step.update(1, note="(b) one guest, slow check per case")
            ways.append(self._one("(b) one guest, a slow check per case", slow, few))
            step.update(2, note="(c) one guest, scan-4 s-scan per case")
            ways.append(self._one("(c) one guest, scan-4 s-scan per case", two_scans, few))
            step.update(3, note="(d) a clone per case, fast check")
            ways.append(self._per_clone("(d) a clone and a fast check per case", cases[:PLANTED]))
            step.update(4, note="(e) a clone per batch, fast check")
            ways.append(self._batch("(e) a clone and a fast check per batch", cases[:batch]))
            step.update(5, note="times")
            times = self._times(cases[:batch])
        return tuple(ways), times

    # -- guests ----------------------------------------------------------------------------------

    def _clone(self, *, fast: bool) -> PreparedGuest:
        return self.testbed.guests.prepare(*self._wanted, fast=fast)

    def _boot(self) -> PreparedGuest:
        return self.testbed.guests.prepare_by_boot(*self._wanted)

    def _task(self) -> str:
        return f"bench-{next(self._tasks):06d}"

    def _found(self, records: Iterable[Record]) -> int:
        return sum(any(s.function == _FUNCTION for s in r.backtrace) for r in records)

    def _plant(self, prepared: PreparedGuest, count: int) -> None:
        for _ in range(count):
            prepared.guest.write_file(PLANT.file, "lose", task=self._task())

    # -- ways ------------------------------------------------------------------------------------

    def _each(
        self,
        name: str,
        boot: Callable[[], PreparedGuest],
        check: canary.Check,
        cases: Sequence[MountCase],
    ) -> Way:
        """A guest for every case; the planted leaks all in one more."""
        began = time.monotonic()
        for case in cases:
            prepared = boot()
            try:
                run_case(prepared.guest, case, self._task())
                check(prepared.guest)
            finally:
                prepared.guest.close()
        seconds = time.monotonic() - began
        prepared = boot()
        try:
            self._plant(prepared, PLANTED)
            return Way(name, len(cases), seconds, self._found(check(prepared.guest)))
        finally:
            prepared.guest.close()

    def _one(self, name: str, check: canary.Check, cases: Sequence[MountCase]) -> Way:
        """One guest for all; the planted leaks all before one more check."""
        prepared = self._clone(fast=False)
        try:
            began = time.monotonic()
            for case in cases:
                run_case(prepared.guest, case, self._task())
                check(prepared.guest)
            seconds = time.monotonic() - began
            kmemleak.clear(prepared.guest)
            self._plant(prepared, PLANTED)
            return Way(name, len(cases), seconds, self._found(check(prepared.guest)))
        finally:
            prepared.guest.close()

    def _per_clone(self, name: str, cases: Sequence[MountCase]) -> Way:
        """As with --isolation=case, then each planted leak in a clone of its own."""
        seconds = self._execute(cases, 1)
        found = 0
        for _ in range(PLANTED):
            prepared = self._clone(fast=True)
            try:
                self._plant(prepared, 1)
                found += self._found(canary.check_with_canary(prepared.guest, prepared.check))
            finally:
                prepared.guest.close()
        return Way(name, len(cases), seconds, found)

    def _batch(self, name: str, cases: Sequence[MountCase]) -> Way:
        """As with --isolation=batch, then the planted leaks scattered over such a batch."""
        seconds = self._execute(cases, batch_size(self._choice.testbed))
        prepared = self._clone(fast=True)
        try:
            every = max(1, len(cases) // PLANTED)
            for number in range(PLANTED):
                for case in cases[number * every : (number + 1) * every]:
                    run_case(prepared.guest, case, self._task())
                self._plant(prepared, 1)
            found = self._found(canary.check_with_canary(prepared.guest, prepared.check))
        finally:
            prepared.guest.close()
        return Way(name, len(cases), seconds, found)

    def _execute(
        self, cases: Sequence[MountCase], batch: int, testbed: Testbed | None = None
    ) -> float:
        """Seconds to the verdicts of the runner itself.

        Raises:
            InfrastructureError: a case has no verdict: the figures would mean nothing.
        """
        testbed = testbed or self.testbed
        began = time.monotonic()
        runner = BatchRunner(
            testbed.guest_source(*self._wanted),
            confirm=testbed.guest_source(*self._wanted, confirm=True),
            batch=batch,
            progress=silent(),
        )
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

    # -- times -----------------------------------------------------------------------------------

    def _times(self, cases: Sequence[MountCase]) -> Times:
        began = time.monotonic()
        self.testbed.guests.boot().close()
        boot = time.monotonic() - began
        clones = []
        for _ in range(3):
            began = time.monotonic()
            prepared = self._clone(fast=True)
            clones.append(time.monotonic() - began)
            prepared.guest.close()
        prepared = self._clone(fast=True)
        try:
            for case in cases:
                run_case(prepared.guest, case, self._task())
            began = time.monotonic()
            prepared.check(prepared.guest)
            fast = time.monotonic() - began
            began = time.monotonic()
            kmemleak.slow_check(prepared.guest)
            slow = time.monotonic() - began
            ram, qemu = prepared.guest.memory_bytes()
        finally:
            prepared.guest.close()
        edit = self._edit_to_verdict(cases)
        clone = sorted(clones)[len(clones) // 2]
        return Times(boot, clone, fast, slow, edit, ram / 2**20, qemu / 2**20)

    def _edit_to_verdict(self, cases: Sequence[MountCase]) -> float:
        """A line is added to the filesystem's main file; then all that follows from it."""
        path = load_filesystem(_FILESYSTEM).source
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
        options = self._choice.testbed
        request = replace(options.kernel, patches=(*options.kernel.patches, patch))
        testbed = Testbed(
            replace(options, kernel=request),
            store=self._store,
            artefacts=self._artefacts / "edited",
            progress=self._progress,
        )
        try:
            self._execute(cases, batch_size(options), testbed)
        finally:
            testbed.close()
        return time.monotonic() - began
