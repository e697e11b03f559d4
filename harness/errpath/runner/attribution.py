"""Attribute resource leaks found over a batch to individual cases.

First what can be seen at once: references to modules, read after each case. What is not explained
then is looked for by halving, or case by case where cases take longer than ledgers. Every suspect
is confirmed by itself: what it loses grows by one with each of twelve repeats, and again with each
of 24; or it grows with each of two, twice, by more than chance could do.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from errpath.cases.case import MountCase
from errpath.cases.run import run_cases
from errpath.guest.channel import AgentError
from errpath.oracles.resources import (
    CACHE_ORACLES,
    Resource,
    ResourceCounts,
    ResourceLeak,
    grown,
    read_ledger,
    read_modules,
    read_traces,
)
from errpath.runner.guests import PreparedGuest
from errpath.runner.subset import halve

__all__ = ["Clock", "attribute_leaks", "growth", "repeat"]

# Cases of the largest block that is halved: for more, a ledger costs little beside the runs.
BLOCK = 64
BLOCK_REPEATS = 2
# Of the cases that lose nothing alone.
TOGETHER_REPEATS = 4
# Of one case, and how many of them must be missing: the count of pages moves by up to four by
# chance, such as a task's stack that is on its way back.
CASE_REPEATS, CASE_LEAST = 12, 8
# Where as much is missing after so few of them already, and once more, no more are needed.
FEW_REPEATS = 2

# Takes how many of the cases are done, and what is being done.
Show = Callable[[int, str], None]
# Seconds that have passed, from any start.
Clock = Callable[[], float]


def attribute_leaks(
    prepared: PreparedGuest,
    cases: Sequence[MountCase],
    lost: Sequence[ResourceLeak],
    show: Show,
    clock: Clock = time.monotonic,
) -> tuple[dict[str, tuple[ResourceLeak, ...]], tuple[ResourceLeak, ...]]:
    """What each case loses of what is `lost` by all of them together, by id, and what of `lost` the
    others still lose together."""
    found: dict[str, tuple[ResourceLeak, ...]] = {}
    tried: set[str] = set()

    def confirm(suspects: Iterable[MountCase]) -> None:
        for case in suspects:
            if case.id not in tried:
                tried.add(case.id)
                losses = _alone(prepared, case, lost)
                if losses:
                    found[case.id] = losses

    modules = {loss.holding.name for loss in lost if loss.holding.oracle == "module references"}
    if modules:
        show(0, "watching references to modules")
        confirm(_watched(prepared, cases, modules))
    missing = _unexplained(lost, found)
    if not missing:
        return found, ()
    for at in range(0, len(cases), BLOCK):
        show(at, "halving")
        block = cases[at : at + BLOCK]
        confirm(
            halve(block, frozenset(x.holding for x in missing), partial(_grew, prepared, clock))
        )
    rest = [case for case in cases if case.id not in found]
    return found, _together(prepared, rest, lost)


def repeat(prepared: PreparedGuest, cases: Sequence[MountCase], times: int) -> None:
    """Run cases that have run before, so many times over.

    Raises:
        AgentError: the guest cannot run one of them any more.
    """
    for outcome in run_cases(prepared.guest, [(case, "errpath-repeat") for case in cases] * times):
        if isinstance(outcome, AgentError):
            raise outcome


def _unexplained(
    lost: Sequence[ResourceLeak], found: dict[str, tuple[ResourceLeak, ...]]
) -> tuple[ResourceLeak, ...]:
    """Of what all cases lost with every pass, what these cases' losses do not come up to."""
    explained: Counter[tuple[str, str]] = Counter()
    for losses in found.values():
        for loss in losses:
            explained[loss.holding.oracle, loss.holding.cache] += round(loss.more / loss.repeats)
    return tuple(
        loss
        for loss in lost
        # By less than one a pass, chance was at work as well.
        if explained[loss.holding.oracle, loss.holding.cache] < loss.more // loss.repeats
        or not explained[loss.holding.oracle, loss.holding.cache]
    )


def _together(
    prepared: PreparedGuest, cases: Sequence[MountCase], lost: Sequence[ResourceLeak]
) -> tuple[ResourceLeak, ...]:
    """What of `lost` still grows with every pass over cases that lose nothing alone."""
    if not cases:
        return ()
    # Once more by itself: some of them have new neighbours.
    repeat(prepared, cases, 1)
    before = read_ledger(prepared.guest)
    return growth(prepared, cases, TOGETHER_REPEATS, before, {loss.holding for loss in lost})


def growth(
    prepared: PreparedGuest,
    cases: Sequence[MountCase],
    times: int,
    before: ResourceCounts,
    wanted: Collection[Resource],
) -> tuple[ResourceLeak, ...]:
    """What of `wanted` grows with every one of so many passes over cases; chance may have taken one
    away."""
    repeat(prepared, cases, times)
    more = grown(before, read_ledger(prepared.guest), times, least=times - 1)
    return tuple(loss for loss in more if loss.holding in wanted)


def _watched(
    prepared: PreparedGuest, cases: Sequence[MountCase], modules: set[str]
) -> list[MountCase]:
    """The cases after which one of `modules` has more references than before. Some may have been on
    their way back, from this case or from the one before."""
    suspects = []
    last = read_modules(prepared.guest)
    for case in cases:
        repeat(prepared, (case,), 1)
        now = read_modules(prepared.guest)
        if any(now.get(name, 0) > last.get(name, 0) for name in modules):
            suspects.append(case)
        last = now
    return suspects


def _grew(
    prepared: PreparedGuest,
    clock: Clock,
    cases: Sequence[MountCase],
    wanted: frozenset[Resource],
) -> tuple[frozenset[Resource], bool]:
    """What of `wanted` grows with every pass over some cases; whether to halve them is quicker than
    to go through them one by one."""
    # Once more by itself: the fault's probe changes hands between neighbours.
    started = clock()
    repeat(prepared, cases, 1)
    seconds = (clock() - started) / len(cases)
    started = clock()
    before = read_ledger(prepared.guest)
    ledger_seconds = clock() - started
    grew = growth(prepared, cases, BLOCK_REPEATS, before, wanted)
    # Each level of halving runs every case again, and so does going through them one by one, which
    # needs a ledger for each as well.
    levels = math.log2(len(cases))
    quick = (levels - 1) * (1 + BLOCK_REPEATS) * seconds <= ledger_seconds
    return frozenset(loss.holding for loss in grew), quick


def _alone(
    prepared: PreparedGuest, case: MountCase, lost: Sequence[ResourceLeak]
) -> tuple[ResourceLeak, ...]:
    """What of `lost` grows with every repeat of one case, and does so again; objects of a slab
    cache by the stack that allocated them."""
    caches = sorted(loss.holding.name for loss in lost if loss.holding.oracle in CACHE_ORACLES)
    wanted = {(loss.holding.oracle, loss.holding.name) for loss in lost}
    repeat(prepared, (case,), 1)
    before = _ledger(prepared, caches)
    found: tuple[ResourceLeak, ...] = ()

    def grew(times: int, least: int) -> tuple[ResourceLeak, ...]:
        nonlocal before
        repeat(prepared, (case,), times)
        last, before = before, _ledger(prepared, caches)
        return tuple(
            loss
            for loss in grown(last, before, times, least=least)
            if (loss.holding.oracle, loss.holding.cache) in wanted
        )

    def also(
        more: tuple[ResourceLeak, ...], found: tuple[ResourceLeak, ...]
    ) -> tuple[ResourceLeak, ...]:
        last = {loss.holding for loss in found}
        return tuple(loss for loss in more if loss.holding in last)

    first = grew(FEW_REPEATS, FEW_REPEATS - 1)
    if not first:
        return ()
    if _most(first) >= CASE_LEAST:
        found = also(grew(FEW_REPEATS, FEW_REPEATS), first)
    if _most(found) < CASE_LEAST:
        found = grew(CASE_REPEATS, CASE_LEAST)
        found = found and also(grew(2 * CASE_REPEATS, 2 * CASE_LEAST), found)
    # The stacks say the same as their cache, and more.
    by_stack = {loss.holding.cache for loss in found if loss.holding.cache != loss.holding.name}
    return tuple(loss for loss in found if loss.holding.name not in by_stack)


def _most(losses: Sequence[ResourceLeak]) -> int:
    return max((loss.more for loss in losses), default=0)


def _ledger(prepared: PreparedGuest, caches: Sequence[str]) -> ResourceCounts:
    return {**read_ledger(prepared.guest), **read_traces(prepared.guest, caches)}
