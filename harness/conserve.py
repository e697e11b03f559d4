"""What repeats of a case leave behind, counted in clones of the frozen guest.

Two passes. The first runs all cases once, so that every cache that grows with use has grown, and
then every chunk of neighbours six times, with a ledger before and after: most chunks are clean. The
second takes the cases of the other chunks one by one, sixteen times each: what grows by one with
every repeat is that case's loss. Whatever grew, grows again in twice as many repeats, or it was
chance. At the end the filesystems' modules must unload, with their caches empty.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness import targets
from harness.cases import MountCase
from harness.errors import GuestPoisonedError
from harness.executor import PreparedGuest, Result
from harness.guest.channel import AgentError
from harness.leaks.ledger import CACHE_ORACLES, Ledger, Loss, grown, read_ledger, read_traces
from harness.oops import find_crashes
from harness.progress import Progress
from harness.runcase import run_cases
from harness.verdict import Status

__all__ = ["Findings", "conserved", "examine"]

# Cases that share a ledger in the first pass.
CHUNK = 20
# Repeats of a chunk and of a case, and what must have grown to count. On a stock kernel, counts of
# pages, dentries and inodes move by up to 3 by chance: a chunk is suspected rather too often, a
# case is blamed only where hardly one repeat is missing.
CHUNK_REPEATS, CHUNK_LEAST = 6, 3
CASE_REPEATS, CASE_LEAST = 16, 14


@dataclass(frozen=True)
class Findings:
    """What was found."""

    # By the case's id; cases without a loss are not in it.
    losses: Mapping[str, tuple[Loss, ...]]
    # Modules that did not unload, or left objects in their caches, and why; in a guest in which all
    # cases ran that lost nothing else.
    unload: tuple[str, ...] = ()


def examine(
    boot: Callable[[], PreparedGuest], cases: Sequence[MountCase], progress: Progress
) -> Findings:
    """Count what `cases` leave behind. They must be cases that a guest survives.

    Raises:
        GuestPoisonedError: a guest did not survive them after all.
    """
    chunks = [tuple(cases[at : at + CHUNK]) for at in range(0, len(cases), CHUNK)]
    with progress.step(f"conservation of {len(cases)} cases", total=len(cases)) as step:
        prepared = boot()
        try:
            suspects: list[tuple[MountCase, tuple[Loss, ...]]] = []
            _warm(prepared, cases)
            for number, chunk in enumerate(chunks):
                step.update(number * CHUNK / 2, note="in chunks")
                found = _measure(prepared, chunk, CHUNK_REPEATS, CHUNK_LEAST, ())
                if found:
                    suspects += [(case, found) for case in chunk]
        finally:
            prepared.guest.close()
        losses: dict[str, tuple[Loss, ...]] = {}
        if suspects:
            done = len(cases) - len(suspects)
            losses = _singly(boot, suspects, lambda n: step.update(done + n, note="singly"))
        clean = [case for case in cases if case.id not in losses]
        unload = _unload(boot, clean)
    return Findings(losses, unload)


def conserved(
    boot: Callable[[], PreparedGuest], results: Mapping[str, Result], progress: Progress
) -> tuple[dict[str, Result], tuple[str, ...]]:
    """`results` with a FAIL for every pass that left something behind, and what no case is to blame
    for alone. A case that failed already keeps its verdict."""
    passed = [r.verdict.case for r in results.values() if r.verdict.status is Status.PASS]
    if not passed:
        return dict(results), ()
    findings = examine(boot, passed, progress)
    judged = dict(results)
    for case_id, losses in findings.losses.items():
        result = judged[case_id]
        reasons = tuple(f"not given back: {loss}" for loss in losses)
        verdict = replace(result.verdict, status=Status.FAIL, reasons=reasons)
        judged[case_id] = replace(result, verdict=verdict)
    return judged, findings.unload


def _singly(
    boot: Callable[[], PreparedGuest],
    suspects: Sequence[tuple[MountCase, tuple[Loss, ...]]],
    show: Callable[[float], None],
) -> dict[str, tuple[Loss, ...]]:
    """The losses of each case, of what its chunk lost."""
    prepared = boot()
    try:
        _warm(prepared, [case for case, _ in suspects])
        losses = {}
        for number, (case, of_chunk) in enumerate(suspects):
            show(number)
            caches = sorted(
                loss.holding.name for loss in of_chunk if loss.holding.oracle in CACHE_ORACLES
            )
            wanted = {(loss.holding.oracle, loss.holding.name) for loss in of_chunk}
            found = tuple(
                loss
                for loss in _measure(prepared, (case,), CASE_REPEATS, CASE_LEAST, caches)
                if (loss.holding.oracle, loss.holding.cache) in wanted
            )
            if found:
                losses[case.id] = found
        return losses
    finally:
        prepared.guest.close()


def _warm(prepared: PreparedGuest, cases: Sequence[MountCase]) -> None:
    _repeat(prepared, cases, 1)


def _measure(
    prepared: PreparedGuest,
    cases: Sequence[MountCase],
    repeats: int,
    least: int,
    caches: Sequence[str],
) -> tuple[Loss, ...]:
    """What grows with every repeat, and does so again; of `caches` by the allocating stack."""
    # Once more by itself: the fault's probe changes hands between neighbours.
    _repeat(prepared, cases, 1)
    found: tuple[Loss, ...] = ()
    before = _ledger(prepared, caches)
    for factor in (1, 2):
        times = repeats * factor
        _repeat(prepared, cases, times)
        after = _ledger(prepared, caches)
        last = {loss.holding for loss in found}
        found = grown(before, after, times, least=least * factor)
        if factor > 1:
            found = tuple(loss for loss in found if loss.holding in last)
        if not found:
            return ()
        before = after
    # The stacks say the same as their cache, and more.
    told = {loss.holding.cache for loss in found if loss.holding.cache != loss.holding.name}
    return tuple(loss for loss in found if loss.holding.name not in told)


def _repeat(prepared: PreparedGuest, cases: Sequence[MountCase], times: int) -> None:
    for outcome in run_cases(prepared.guest, [(case, "errpath-repeat") for case in cases] * times):
        if isinstance(outcome, AgentError):
            raise outcome


def _ledger(prepared: PreparedGuest, caches: Sequence[str]) -> Ledger:
    return {**read_ledger(prepared.guest), **read_traces(prepared.guest, caches)}


def _unload(boot: Callable[[], PreparedGuest], cases: Sequence[MountCase]) -> tuple[str, ...]:
    """Run `cases` and unload what they used: why a module stays, or what it left."""
    if not cases:
        return ()
    prepared = boot()
    guest = prepared.guest
    try:
        _warm(prepared, cases)
        guest.quiesce()
        # The injection targets point into the modules.
        guest.call("fault.clear")
        with contextlib.suppress(AgentError):
            guest.unload_module(targets.MODULE)
        names = dict.fromkeys(name for modules in prepared.modules.values() for name in modules)
        said = len(guest.dmesg())
        problems = []
        for name in reversed(names):
            try:
                guest.unload_module(name)
            except AgentError as error:
                problems.append(f"module {name} does not unload: {error}")
        problems += [
            f"unloading: kernel {crash.kind}: {crash.title}"
            for crash in find_crashes(guest.dmesg()[said:])
        ]
        return tuple(problems)
    except GuestPoisonedError as error:
        return (f"unloading took the guest down: {error}",)
    finally:
        guest.close()
