"""What a verdict costs beside the mount that it is on: the same failing mounts with oracles and
without, on one kernel with the same boot arguments and the same fault."""

from __future__ import annotations

import time
from dataclasses import dataclass

from errpath.analysis.bench_bed import FILESYSTEM, BenchBed, verdict_seconds
from errpath.cases.case import Device, MountCase
from errpath.cases.run import run_case
from errpath.cases.steps import Mount
from errpath.errors import InfrastructureError
from errpath.faults.model import Call
from errpath.filesystems import load_filesystem
from errpath.images.hfs import hfs
from errpath.runner.guests import Boot
from errpath.runner.testbed import batch_size
from errpath.util.progress import Progress

__all__ = ["Price", "injections", "measure_price", "price_table"]

_FUNCTION = "setup_bdev_super"
# Mounts of one task; the agent takes 512 steps.
_IN_ONE_TASK = 100
_TASK = "bench-floor"


@dataclass(frozen=True)
class Price:
    """Seconds of a mount that is made to fail."""

    # Among others in one task, with no oracle: the floor.
    floor: float
    # With a verdict: by kmemleak and the kernel log alone, and by all oracles that are on by
    # default.
    leaks: float
    every: float

    def ratio(self, seconds: float) -> float:
        """How many times the floor."""
        return seconds / self.floor


def injections(count: int) -> tuple[MountCase, ...]:
    """So many mounts that fail in setup_bdev_super, each as a point of a sweep does."""
    device = Device(hfs.volume().image())
    steps = (_failing(Call(_FUNCTION)),)
    return tuple(
        MountCase(f"bench-injection-{number}", FILESYSTEM, device, steps) for number in range(count)
    )


def measure_price(bed: BenchBed, count: int, progress: Progress) -> Price:
    """The price of a verdict, from `count` mounts of each kind.

    Raises:
        InfrastructureError: a mount succeeded, or has no verdict: the figures would mean nothing.
    """
    testbed = bed.testbed
    source = testbed.guest_source((FILESYSTEM,), (), points=(_FUNCTION,))
    # What is made once must be there before a clock runs.
    source().guest.close()
    cases, batch = injections(count), batch_size(testbed.options)
    with progress.step("price of a verdict", total=3) as step:
        step.update(0, note="no oracle")
        floor = _floor(source, -(-count // _IN_ONE_TASK))
        step.update(1, note="kmemleak and the log")
        leaks = verdict_seconds(source, cases, batch)
        step.update(2, note="every default oracle")
        every = verdict_seconds(source, cases, batch, count=True)
    return Price(floor, leaks / count, every / count)


def _floor(source: Boot, tasks: int) -> float:
    """Seconds of a failing mount among those of one task."""
    steps = (_failing(Call(_FUNCTION, times=0)),) * _IN_ONE_TASK
    case = MountCase(_TASK, FILESYSTEM, Device(hfs.volume().image()), steps)
    prepared = source()
    try:
        run_case(prepared.guest, case, _TASK)
        began = time.monotonic()
        outcomes = [run_case(prepared.guest, case, _TASK) for _ in range(tasks)]
        seconds = time.monotonic() - began
    finally:
        prepared.guest.close()
    mounts = [step for outcome in outcomes for step in outcome.steps]
    if len(mounts) != tasks * _IN_ONE_TASK or not all(step.errno for step in mounts):
        raise InfrastructureError("bench: a mount without an oracle succeeded, or was not tried")
    return seconds / len(mounts)


def _failing(fault: Call) -> Mount:
    fstype = load_filesystem(FILESYSTEM).fstype
    return Mount(fstype, fail=fault, any_errno=True, carries_on=True)


def price_table(price: Price) -> str:
    """For people."""
    rows = (
        ("in one task, no oracle: the floor", price.floor),
        ("with a verdict by kmemleak and the log", price.leaks),
        ("with a verdict by every default oracle", price.every),
    )
    lines = [f"{'a mount that is made to fail':44}{'ms':>9}{'a second':>10}{'floors':>8}"]
    lines += [
        f"{name:44}{seconds * 1000:9.2f}{1 / seconds:10.0f}{price.ratio(seconds):8.1f}"
        for name, seconds in rows
    ]
    return "\n".join(lines)
