"""Which cases share a guest, and which batch begins first. Pure; pytest and `compare` use it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from errpath.cases.case import MountCase
from errpath.runner.subset import split_evenly

__all__ = ["BATCH_MAX", "Batch", "schedule"]

# Cases of one batch: a crash makes those before it run again, and kmemleak's scans get longer.
BATCH_MAX = 1024
# Fewer cases than these are done before a second guest is there.
_WORTH_A_GUEST = 64


# Compared by identity: a batch is a key, and to hash a thousand cases takes milliseconds.
@dataclass(frozen=True, eq=False)
class Batch:
    """Cases of one kernel that share a guest."""

    kernel: str
    # Another for every batch of a schedule.
    name: str
    cases: tuple[MountCase, ...]


def schedule(
    kernels: Mapping[str, Iterable[MountCase]], *, jobs: int, workers: int | None = None
) -> tuple[Batch, ...]:
    """Batches of the cases of each kernel, in the order in which they should begin.

    Args:
        jobs: guests at once, in this process.
        workers: processes between which the batches are divided; each has one guest.
    """
    batches = [
        batch
        for kernel, cases in kernels.items()
        for batch in _divide(kernel, cases, jobs, workers)
    ]
    # Cases that take guests down wait more than they work: they begin first, beside others.
    exclusive = [batch for batch in batches if batch.cases[0].exclusive]
    exclusive.sort(key=lambda batch: len(batch.cases), reverse=True)
    others = [batch for batch in batches if not batch.cases[0].exclusive]
    pairs = itertools.zip_longest(exclusive, others)
    return tuple(batch for pair in pairs for batch in pair if batch is not None)


def _divide(
    kernel: str, cases: Iterable[MountCase], jobs: int, workers: int | None
) -> Iterable[Batch]:
    groups: dict[str, list[MountCase]] = {}
    for case in cases:
        # With cases that take guests down, the others would have to run again.
        group = f"{case.batch}-exclusive" if case.exclusive else case.batch
        groups.setdefault(group, []).append(case)
    for group, members in groups.items():
        # Another function to fail costs the guest a walk over all that could be traced: cases that
        # fail the same one run one after another.
        members.sort(key=lambda case: case.fault.function if case.fault else "")
        # A named batch stays whole; the others are spread evenly.
        spread = workers or min(jobs, -(-len(members) // _WORTH_A_GUEST))
        guests = 1 if group else spread
        count = -(-len(members) // (BATCH_MAX * guests)) * guests
        for number, part in enumerate(split_evenly(members, count)):
            # xdist takes what follows an @ for the name of the group.
            yield Batch(kernel, f"{kernel}-{group}{number}".replace("@", "_"), part)
