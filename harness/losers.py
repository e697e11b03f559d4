"""Whose loss it is: of cases that together leave something behind, those that do so alone.

First what can be seen at once: references to modules, read after each case. What is not explained
then is looked for by halving. Every suspect is convicted alone: what it loses grows by one with
each of twelve repeats, and again with each of 24.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from harness.cases import MountCase
from harness.executor import PreparedGuest
from harness.guest.channel import AgentError
from harness.leaks.ledger import (
    CACHE_ORACLES,
    Holding,
    Ledger,
    Loss,
    grown,
    read_ledger,
    read_modules,
    read_traces,
)
from harness.runcase import run_cases

__all__ = ["find_losers", "repeat"]

# Cases of the largest block that is halved: for more, a ledger costs little beside the runs.
BLOCK = 64
BLOCK_REPEATS = 2
# Of one case, and how many of them must be missing: the count of pages moves by up to four by
# chance, such as a task's stack that is on its way back.
CASE_REPEATS, CASE_LEAST = 12, 8

# Takes how many of the cases are done, and what is being done.
Show = Callable[[int, str], None]


def find_losers(
    prepared: PreparedGuest,
    cases: Sequence[MountCase],
    lost: Sequence[Loss],
    show: Show,
) -> tuple[dict[str, tuple[Loss, ...]], tuple[Loss, ...]]:
    """What each case loses of what is `lost` by all of them together, by id, and what of `lost`
    they do not explain."""
    found: dict[str, tuple[Loss, ...]] = {}
    tried: set[str] = set()

    def convict(suspects: Iterator[MountCase]) -> None:
        for case in suspects:
            if case.id not in tried:
                tried.add(case.id)
                losses = _alone(prepared, case, lost)
                if losses:
                    found[case.id] = losses

    modules = {loss.holding.name for loss in lost if loss.holding.oracle == "module references"}
    if modules:
        show(0, "watching references to modules")
        convict(iter(_watched(prepared, cases, modules)))
    missing = _unexplained(lost, found)
    if missing:
        for at in range(0, len(cases), BLOCK):
            show(at, "halving")
            convict(_halved(prepared, cases[at : at + BLOCK], {x.holding for x in missing}))
        missing = _unexplained(lost, found)
    return found, missing


def repeat(prepared: PreparedGuest, cases: Sequence[MountCase], times: int) -> None:
    """Run cases that have run before, so many times over.

    Raises:
        AgentError: the rig cannot run one of them any more.
    """
    for outcome in run_cases(prepared.guest, [(case, "errpath-repeat") for case in cases] * times):
        if isinstance(outcome, AgentError):
            raise outcome


def _unexplained(lost: Sequence[Loss], found: dict[str, tuple[Loss, ...]]) -> tuple[Loss, ...]:
    """Of what all cases lost with every pass, what these cases' losses do not come up to."""
    told: Counter[tuple[str, str]] = Counter()
    for losses in found.values():
        for loss in losses:
            told[loss.holding.oracle, loss.holding.cache] += round(loss.more / loss.repeats)
    return tuple(
        loss
        for loss in lost
        # By less than one a pass, chance was at work as well.
        if told[loss.holding.oracle, loss.holding.cache] < loss.more // loss.repeats
        or not told[loss.holding.oracle, loss.holding.cache]
    )


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


def _halved(
    prepared: PreparedGuest, cases: Sequence[MountCase], wanted: set[Holding]
) -> Iterator[MountCase]:
    """Every case that may have to do with the growth of `wanted`."""
    if len(cases) > 1:
        # Once more by itself: the fault's probe changes hands between neighbours.
        repeat(prepared, cases, 1)
        before = read_ledger(prepared.guest)
        repeat(prepared, cases, BLOCK_REPEATS)
        after = read_ledger(prepared.guest)
        least = BLOCK_REPEATS - 1
        grew = {loss.holding for loss in grown(before, after, BLOCK_REPEATS, least=least)}
        if not grew & wanted:
            return
        half = len(cases) // 2
        yield from _halved(prepared, cases[:half], grew & wanted)
        yield from _halved(prepared, cases[half:], grew & wanted)
    else:
        yield from cases


def _alone(prepared: PreparedGuest, case: MountCase, lost: Sequence[Loss]) -> tuple[Loss, ...]:
    """What of `lost` grows with every repeat of one case, and does so again; objects of a slab
    cache by the stack that allocated them."""
    caches = sorted(loss.holding.name for loss in lost if loss.holding.oracle in CACHE_ORACLES)
    wanted = {(loss.holding.oracle, loss.holding.name) for loss in lost}
    repeat(prepared, (case,), 1)
    found: tuple[Loss, ...] = ()
    before = _ledger(prepared, caches)
    for factor in (1, 2):
        times = CASE_REPEATS * factor
        repeat(prepared, (case,), times)
        after = _ledger(prepared, caches)
        last = {loss.holding for loss in found}
        found = tuple(
            loss
            for loss in grown(before, after, times, least=CASE_LEAST * factor)
            if (loss.holding.oracle, loss.holding.cache) in wanted
            and (factor == 1 or loss.holding in last)
        )
        if not found:
            return ()
        before = after
    # The stacks say the same as their cache, and more.
    told = {loss.holding.cache for loss in found if loss.holding.cache != loss.holding.name}
    return tuple(loss for loss in found if loss.holding.name not in told)


def _ledger(prepared: PreparedGuest, caches: Sequence[str]) -> Ledger:
    return {**read_ledger(prepared.guest), **read_traces(prepared.guest, caches)}
