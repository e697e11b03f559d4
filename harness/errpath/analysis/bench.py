"""How fast cases are checked, and how many planted leaks each way of checking finds.

Five ways over the same kernel on the same machine in one run: what people do by hand or in other
harnesses (a boot per case, one guest with a slow check per case, two scans four seconds apart), and
what errpath does (a clone per case, a batch in one clone).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from errpath.analysis.bench_bed import FILESYSTEM, BenchBed
from errpath.analysis.bench_times import Times, measure_times
from errpath.cases.case import Device, MountCase
from errpath.cases.run import run_case
from errpath.cases.steps import FsOpen, Mount
from errpath.faults.plan import FaultPlan
from errpath.filesystems import load_filesystem
from errpath.images.hfs import hfs
from errpath.oracles import canary, kmemleak
from errpath.oracles.kmemleak import LeakGuest, Record
from errpath.runner.guests import PreparedGuest
from errpath.runner.testbed import batch_size
from errpath.util.progress import Progress

__all__ = ["PLANTED", "Bench", "Way", "bench_cases", "table", "two_scans"]

# Leaks that are planted for each way.
PLANTED = 25
# Seconds between the two scans of way (c), as a well-known fuzzer has it.
_TWO_SCANS_SECONDS = 4.0
_STEPS: tuple[type[Mount] | type[FsOpen], ...] = (Mount, FsOpen)
_ERRNOS = ("EIO", "ENOMEM", "EACCES", "EBUSY", "EINVAL", "ENXIO")


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


def two_scans(guest: LeakGuest) -> tuple[Record, ...]:
    """Scan, four seconds, scan, read: younger than kmemleak's minimum age, a leak goes unseen."""
    guest.write_file(kmemleak.SCAN_FILE, "scan")
    guest.sleep(_TWO_SCANS_SECONDS)
    guest.write_file(kmemleak.SCAN_FILE, "scan")
    return kmemleak.parse_records(guest.read_file(kmemleak.SCAN_FILE).decode(errors="replace"))


def bench_cases(count: int, points: Sequence[str]) -> tuple[MountCase, ...]:
    """So many mounts of which one of these functions fails, no two with the same id."""
    filesystem = load_filesystem(FILESYSTEM)
    image = hfs.volume().image()

    def endless() -> Iterator[MountCase]:
        for number in itertools.count():
            for point, errno, step, flags in itertools.product(
                points, _ERRNOS, _STEPS, ((), ("ro",))
            ):
                yield MountCase(
                    f"bench-{point}-{errno}-{step.op}-{'-'.join(flags) or 'rw'}-{number}",
                    FILESYSTEM,
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

    def __init__(self, bed: BenchBed, progress: Progress) -> None:
        self._bed = bed
        self._progress = progress

    def run(self, batch: int, samples: int) -> tuple[tuple[Way, ...], Times]:
        """Figures of each way, from `batch` cases for way (e) and `samples` for each slow one."""
        bed = self._bed
        cases = bench_cases(max(batch, samples), self._bed.functions)
        # Everything that is made once must be there before a clock runs.
        self._bed.clone(fast=True).guest.close()
        slow = kmemleak.slow_check
        few = cases[:samples]
        with self._progress.step("bench", total=6) as step:
            ways = []
            step.update(0, note="(a) one boot per case, slow check")
            ways.append(self._each("(a) a boot and a slow check per case", bed.boot, slow, few))
            step.update(1, note="(b) one guest, slow check per case")
            ways.append(self._one("(b) one guest, a slow check per case", slow, few))
            step.update(2, note="(c) one guest, scan-4 s-scan per case")
            ways.append(self._one("(c) one guest, scan-4 s-scan per case", two_scans, few))
            step.update(3, note="(d) a clone per case, fast check")
            ways.append(self._per_clone("(d) a clone and a fast check per case", cases[:PLANTED]))
            step.update(4, note="(e) a clone per batch, fast check")
            ways.append(self._batch("(e) a clone and a fast check per batch", cases[:batch]))
            step.update(5, note="times")
            times = measure_times(bed, cases[:batch])
        return tuple(ways), times

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
                run_case(prepared.guest, case, self._bed.task())
                check(prepared.guest)
            finally:
                prepared.guest.close()
        seconds = time.monotonic() - began
        prepared = boot()
        try:
            self._bed.plant(prepared, PLANTED)
            return Way(name, len(cases), seconds, self._bed.found(check(prepared.guest)))
        finally:
            prepared.guest.close()

    def _one(self, name: str, check: canary.Check, cases: Sequence[MountCase]) -> Way:
        """One guest for all; the planted leaks all before one more check."""
        prepared = self._bed.clone(fast=False)
        try:
            began = time.monotonic()
            for case in cases:
                run_case(prepared.guest, case, self._bed.task())
                check(prepared.guest)
            seconds = time.monotonic() - began
            kmemleak.clear(prepared.guest)
            self._bed.plant(prepared, PLANTED)
            return Way(name, len(cases), seconds, self._bed.found(check(prepared.guest)))
        finally:
            prepared.guest.close()

    def _per_clone(self, name: str, cases: Sequence[MountCase]) -> Way:
        """As with --isolation=case, then each planted leak in a clone of its own."""
        seconds = self._bed.execute(cases, 1)
        found = 0
        for _ in range(PLANTED):
            prepared = self._bed.clone(fast=True)
            try:
                self._bed.plant(prepared, 1)
                found += self._bed.found(canary.check_with_canary(prepared.guest, prepared.check))
            finally:
                prepared.guest.close()
        return Way(name, len(cases), seconds, found)

    def _batch(self, name: str, cases: Sequence[MountCase]) -> Way:
        """As with --isolation=batch, then the planted leaks scattered over such a batch."""
        seconds = self._bed.execute(cases, batch_size(self._bed.choice.testbed))
        prepared = self._bed.clone(fast=True)
        try:
            every = max(1, len(cases) // PLANTED)
            for number in range(PLANTED):
                for case in cases[number * every : (number + 1) * every]:
                    run_case(prepared.guest, case, self._bed.task())
                self._bed.plant(prepared, 1)
            found = self._bed.found(canary.check_with_canary(prepared.guest, prepared.check))
        finally:
            prepared.guest.close()
        return Way(name, len(cases), seconds, found)
