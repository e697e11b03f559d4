"""What repeats of cases leave behind, counted in clones of the frozen guest.

All cases run together, over and over, with a ledger before and after: what grows with every pass is
lost by one of them. Most runs end there, without a loss. Only then it is looked for whose it is
(`errpath.runner.attribution`). At the end no superblock may be listed any more, and the
filesystems' modules must unload, with their caches empty.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from errpath.cases.case import MountCase
from errpath.errors import ErrpathError, GuestPoisonedError
from errpath.faults import injection_list
from errpath.filesystems import load_filesystem
from errpath.guest.channel import AgentError
from errpath.kernel.log import find_crashes
from errpath.oracles.failure import RESOURCE_LEAK, Failure
from errpath.oracles.kernel_log import log_failures
from errpath.oracles.leaks import resource_failures, together_failures
from errpath.oracles.resources import ResourceLeak, grown, read_ledger
from errpath.oracles.superblocks import supers_left
from errpath.runner.attribution import Clock, attribute_leaks, growth, repeat
from errpath.runner.guests import Boot, PreparedGuest, retried
from errpath.runner.result import Result
from errpath.runner.subset import smallest_subset
from errpath.runner.verdict import Status, infrastructure_error
from errpath.util.progress import Progress

__all__ = ["Findings", "check_resources", "examine"]

# Passes over all cases between two ledgers, and twice as many where so little has grown that it may
# be chance: in a guest that has settled, a count seldom moves by itself, and one of references to
# modules never does.
PASSES = 2
CHANCE = 16


@dataclass(frozen=True)
class Findings:
    """What was found."""

    # By the case's id; cases without a loss are not in it.
    losses: Mapping[str, tuple[ResourceLeak, ...]]
    # What is left at the end, though no count has grown: superblocks that are still listed, modules
    # that do not unload or leave objects in their caches. By the ids of the fewest cases that do.
    remains: Mapping[tuple[str, ...], tuple[Failure, ...]]
    # What grows with all the cases together and with none alone.
    together: tuple[ResourceLeak, ...] = ()


def examine(
    boot: Boot,
    cases: Sequence[MountCase],
    progress: Progress,
    *,
    clock: Clock = time.monotonic,
) -> Findings:
    """Count what `cases` leave behind. They must be cases that a guest survives.

    By `clock` it is decided whether a leak is looked for by halving or case by case.

    Raises:
        GuestPoisonedError: a guest did not survive them after all.
    """
    losses: dict[str, tuple[ResourceLeak, ...]] = {}
    together: tuple[ResourceLeak, ...] = ()
    whose = ", ".join(dict.fromkeys(case.filesystem for case in cases))
    label = f"counting resources of {len(cases)} cases of {whose}"
    with progress.step(label, total=len(cases)) as step:
        prepared = boot()
        try:
            repeat(prepared, cases, 1)
            step.update(len(cases) // 4, note="counting")
            lost = _lost(prepared, cases)
            if lost:

                def show(done: int, note: str) -> None:
                    step.update(len(cases) // 2 + done // 2, note=note)

                losses, together = attribute_leaks(prepared, cases, lost, show, clock)
            else:
                step.update(len(cases) // 2, note="unloading")
                left = _left(prepared)
        finally:
            prepared.guest.close()
        clean = [case for case in cases if case.id not in losses]
        if lost:
            left = _left_by(boot, clean)
        remains = {}
        if left:
            step.update(len(cases) // 2, note=f"searching for the case: {left[0].title}")
            culprits = smallest_subset(clean, lambda some: bool(_left_by(boot, some)))
            remains[tuple(case.id for case in culprits)] = left
    return Findings(losses, remains, together)


def check_resources(
    boot: Boot, results: Mapping[str, Result], progress: Progress
) -> tuple[dict[str, Result], tuple[str, ...]]:
    """`results` with a FAIL for every pass that left something behind, and what no case is to blame
    for alone. A case that failed already keeps its verdict; where counting failed, the passes are
    errors."""
    passed = [r.verdict.case for r in results.values() if r.verdict.status is Status.PASS]
    if not passed:
        return dict(results), ()
    judged = dict(results)
    try:
        findings = retried(lambda: examine(boot, passed, progress))
    except ErrpathError as error:
        for case in passed:
            verdict = infrastructure_error(
                case, f"what it leaves behind could not be counted: {error}"
            )
            judged[case.id] = replace(judged[case.id], verdict=verdict)
        return judged, ()
    for case_id, losses in findings.losses.items():
        judged[case_id] = _failed(judged[case_id], resource_failures(losses))
    for case_ids, left in findings.remains.items():
        found = left
        if len(case_ids) > 1:
            among = f"one of {len(case_ids)} cases"
            found = tuple(
                replace(x, detail="; ".join(filter(None, (x.detail, among)))) for x in left
            )
        for case_id in case_ids:
            judged[case_id] = _failed(judged[case_id], found)
    return judged, tuple(failure.line for failure in together_failures(findings.together))


def _failed(result: Result, failures: tuple[Failure, ...]) -> Result:
    return replace(result, verdict=replace(result.verdict, status=Status.FAIL, failures=failures))


def _lost(prepared: PreparedGuest, cases: Sequence[MountCase]) -> tuple[ResourceLeak, ...]:
    """What grows with every pass over the cases."""
    # The first one costs the agent a few pages of its own.
    read_ledger(prepared.guest)
    before = read_ledger(prepared.guest)
    repeat(prepared, cases, PASSES)
    after = read_ledger(prepared.guest)
    # Chance may have taken one away.
    suspected = grown(before, after, PASSES, least=PASSES - 1)
    if all(
        loss.more >= PASSES and loss.holding.oracle == "module references" for loss in suspected
    ):
        return suspected
    again = PASSES if max(loss.more for loss in suspected) > CHANCE else 2 * PASSES
    return growth(prepared, cases, again, after, {loss.holding for loss in suspected})


# -- what is left at the end ---------------------------------------------------------------------


def _left(prepared: PreparedGuest) -> tuple[Failure, ...]:
    """Unload what the cases used, in the guest where they ran: what stays, or what was left."""
    guest = prepared.guest
    try:
        guest.quiesce()
        fstypes = {load_filesystem(name).fstype for name in prepared.modules}
        left = list(supers_left(guest, fstypes))
        # The injection targets point into the modules.
        guest.call("fault.clear")
        with contextlib.suppress(AgentError):
            guest.unload_module(injection_list.MODULE)
        names = dict.fromkeys(name for modules in prepared.modules.values() for name in modules)
        said = len(guest.dmesg())
        for name in reversed(names):
            try:
                guest.unload_module(name)
            except AgentError as error:
                left.append(
                    Failure(
                        RESOURCE_LEAK,
                        f"module {name} does not unload",
                        resource=f"modules: {name}",
                        detail=str(error),
                    )
                )
        return (*left, *log_failures(find_crashes(guest.dmesg()[said:])))
    except GuestPoisonedError as error:
        crashes = guest.console.crashes() if guest.console is not None else ()
        return log_failures(crashes) or (
            Failure(RESOURCE_LEAK, "unloading took the guest down", detail=str(error)),
        )


def _left_by(boot: Boot, cases: Sequence[MountCase]) -> tuple[Failure, ...]:
    if not cases:
        return ()
    prepared = boot()
    try:
        repeat(prepared, cases, 1)
        return _left(prepared)
    finally:
        prepared.guest.close()
