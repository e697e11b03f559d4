"""A job as units: what runs, in what order, at what cost. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from errpath.nightly.job import Job, JobKernel
from errpath.results.records import TrackRecord

__all__ = ["KERNEL_SUITE", "Limits", "Unit", "confirm_unit", "plan"]

# The suite of a kernel's own results: whether it builds, whether it boots.
KERNEL_SUITE = "kernel"
# MiB beside a guest's RAM: QEMU's own, and a Python that runs it.
_BESIDE_MIB = 300
# MiB of a kernel build, for each compiler.
_COMPILER_MIB = 600


@dataclass(frozen=True)
class Limits:
    """What all running units may use together."""

    cores: int
    memory_mib: int


@dataclass(frozen=True)
class Unit:
    """The smallest thing that is run, recorded and resumed."""

    # Unique in its run, the same every night, fit for a directory.
    id: str
    # "kernel", "suite" or "confirm".
    kind: str
    track: TrackRecord
    kernel: JobKernel
    # Units that must have ended well before.
    needs: tuple[str, ...]
    cores: int
    memory_mib: int
    # Seconds after which it is given up.
    seconds: float
    # "2/4", or "none".
    shard: str = "none"
    # From 1: a deadline should cut repeats before it cuts what has not run at all.
    repeat: int = 1
    # Case ids to run; None for all.
    cases: tuple[str, ...] | None = None


def plan(job: Job, limits: Limits, memory_mib: Mapping[str, int]) -> tuple[Unit, ...]:
    """All units but the confirmations. `memory_mib` is the RAM of each guest."""
    units = []
    for kernel in job.kernels:
        for guest in job.guests:
            first = Unit(
                id=_name(kernel.name, guest, KERNEL_SUITE),
                kind="kernel",
                track=TrackRecord(job.name, kernel.name, guest, KERNEL_SUITE),
                kernel=kernel,
                needs=(),
                # A build takes every core; one that is in the cache is over at once.
                cores=limits.cores,
                memory_mib=min(limits.memory_mib, limits.cores * _COMPILER_MIB),
                seconds=job.build_minutes * 60.0,
            )
            units.append(first)
            workers = max(1, job.workers)
            for suite in job.suites:
                for repeat in range(1, job.repeats + 1):
                    for part in range(1, job.parts + 1):
                        place = _name(kernel.name, guest, suite)
                        unit = Unit(
                            id=f"{place}.r{repeat}" + (f".p{part}" if job.parts > 1 else ""),
                            kind="suite",
                            track=TrackRecord(job.name, kernel.name, guest, suite),
                            kernel=kernel,
                            needs=(first.id,),
                            cores=workers,
                            memory_mib=workers * (memory_mib[guest] + _BESIDE_MIB),
                            seconds=job.part_minutes * 60.0,
                            shard=f"{part}/{job.parts}" if job.parts > 1 else "none",
                            repeat=repeat,
                        )
                        units.append(unit)
    return tuple(units)


def confirm_unit(model: Unit, number: int, cases: tuple[str, ...]) -> Unit:
    """A further attempt at some cases of the track of `model`, each in fresh guests."""
    track = model.track
    return Unit(
        id=f"{_name(track.kernel, track.guest, track.suite)}.confirm{number}",
        kind="confirm",
        track=track,
        kernel=model.kernel,
        needs=(),
        cores=model.cores,
        memory_mib=model.memory_mib,
        seconds=model.seconds,
        cases=cases,
    )


def _name(*parts: str) -> str:
    return ".".join(re.sub(r"[^\w-]+", "-", part) for part in parts)
