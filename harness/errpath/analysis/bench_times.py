"""How long single things take on this machine: boots, clones, checks, from an edit to a verdict."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from errpath.analysis.bench_bed import BenchBed
from errpath.cases.case import MountCase
from errpath.cases.run import run_case
from errpath.oracles import kmemleak

__all__ = ["Times", "measure_times"]


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


def measure_times(bed: BenchBed, cases: Sequence[MountCase]) -> Times:
    """Times of boots, clones and checks on this machine."""
    began = time.monotonic()
    bed.testbed.guests.boot().close()
    boot = time.monotonic() - began
    clones = []
    for _ in range(3):
        began = time.monotonic()
        prepared = bed.clone(fast=True)
        clones.append(time.monotonic() - began)
        prepared.guest.close()
    prepared = bed.clone(fast=True)
    try:
        for case in cases:
            run_case(prepared.guest, case, bed.task())
        began = time.monotonic()
        prepared.check(prepared.guest)
        fast = time.monotonic() - began
        began = time.monotonic()
        kmemleak.slow_check(prepared.guest)
        slow = time.monotonic() - began
        ram, qemu = prepared.guest.memory_bytes()
    finally:
        prepared.guest.close()
    edit = bed.edit_to_verdict(cases)
    clone = sorted(clones)[len(clones) // 2]
    return Times(boot, clone, fast, slow, edit, ram / 2**20, qemu / 2**20)
