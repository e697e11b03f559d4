"""What cases did in one guest, and what its oracles found after all of them."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from errpath.cases.case import MountCase, Outcome
from errpath.cases.run import run_cases
from errpath.errors import ErrpathError, GuestPoisonedError
from errpath.filesystems import load_filesystem
from errpath.filesystems.fsck import complaint
from errpath.guest.channel import AgentError
from errpath.kernel.log import Crash, find_crashes
from errpath.oracles import canary, kmemleak
from errpath.oracles.jiffies import read_moment, seconds_at
from errpath.oracles.kmemleak import Record
from errpath.oracles.volume import asks_changes, is_to_be_checked
from errpath.runner.crashed_again import CrashedAgainError
from errpath.runner.guest_loss import is_guest_unusable
from errpath.runner.guests import CurrentGuest, PreparedGuest
from errpath.runner.usual import PATIENCE
from errpath.runner.verdict import Status, judge

__all__ = [
    "Leaks",
    "Show",
    "find_leaks",
    "late_crashes",
    "observe",
    "ran_at",
    "repeat_cases",
    "with_late_messages",
]


# Takes what is being done.
Show = Callable[[str], None]


@dataclass(frozen=True)
class Leaks:
    """What a leak check found."""

    # By the name of the case's task.
    own: dict[str, list[Record]] = field(default_factory=dict)
    # Allocated by other tasks, such as kernel threads.
    others: tuple[Record, ...] = ()
    # Why what was not found may have been leaked all the same; empty where a canary was found.
    blind: str = ""
    # When each of `others` was allocated, seconds of the guest's monotonic clock; empty where the
    # kernel does not tell.
    times: tuple[float, ...] = ()


def observe(
    current: CurrentGuest,
    prepared: PreparedGuest,
    cases: Sequence[MountCase],
    *,
    count: bool = False,
    settle: bool = False,
    patience: float = PATIENCE,
    over: Callable[[], bool] = lambda: False,
    changes: Callable[[MountCase], bool] = asks_changes,
) -> Iterator[tuple[MountCase, Outcome | AgentError]]:
    """Run cases one after another, each in a task of its own name; with `count`, each reports what
    it has changed of what the kernel counts. `settle` and `patience` are `MountCase.as_request`'s,
    `over` and `changes` are `run_cases`'s.

    Raises:
        GuestPoisonedError: the guest went away with the case that comes next.
    """
    work = [(case, current.task()) for case in cases]
    outcomes = run_cases(
        prepared.guest,
        work,
        count=count,
        settle=settle,
        patience=patience,
        over=over,
        changes=changes,
    )
    for case, outcome in zip(cases, outcomes, strict=False):
        yield case, outcome if isinstance(outcome, AgentError) else _checked(case, outcome)


def _checked(case: MountCase, outcome: Outcome) -> Outcome:
    """The outcome with what the filesystem's checker has against the volume."""
    before = case.device.content
    if before is None or not is_to_be_checked(case, outcome):
        return outcome
    after = before.patched_all(outcome.changed)
    filesystem = load_filesystem(case.filesystem)
    try:
        found = complaint(filesystem, after)
        # A volume of the user's may have been so before.
        if found and complaint(filesystem, before):
            found = ""
        return replace(outcome, fsck=found)
    except ErrpathError as error:
        return replace(outcome, unchecked=str(error))


def repeat_cases(
    current: CurrentGuest,
    prepared: PreparedGuest,
    cases: Sequence[MountCase],
    *,
    count: bool = False,
    settle: bool = False,
    changes: Callable[[MountCase], bool] = lambda case: False,
) -> list[tuple[MountCase, Outcome]]:
    """Outcomes of cases that have run before in another guest. What they do to their volumes they
    have told then; `changes` says of which it is asked again.

    Raises:
        AgentError: the guest cannot run one of them any more.
        CrashedAgainError: the kernel reported a crash of one of them, which it did not before.
        GuestPoisonedError: one of them took the guest down in another way.
    """
    runs = []
    repeated = observe(current, prepared, cases, count=count, settle=settle, changes=changes)
    for case, outcome in repeated:
        if isinstance(outcome, AgentError):
            raise outcome
        if is_guest_unusable(outcome):
            current.close()
            verdict = judge(case, outcome, None)
            reason = f"guest is unusable after {case.id}, run again: {verdict.failures[0].title}"
            if any(failure.kind.certain for failure in verdict.failures):
                raise CrashedAgainError(reason, verdict)
            raise GuestPoisonedError(reason)
        runs.append((case, outcome))
        if settle and any(crash.fatal for crash in find_crashes(outcome.kmsg_before)):
            _raise_reported_between(current, runs[-2:])
    return runs


def _raise_reported_between(
    current: CurrentGuest, runs: Sequence[tuple[MountCase, Outcome]]
) -> None:
    """Raise for what the kernel reported after the first of two cases, when reclaim looked at what
    it left. Reclaim would look at it again after each other case, with as many reports."""
    case, outcome = with_late_messages(runs)[0]
    verdict = judge(case, outcome, None)
    if len(runs) > 1 and verdict.status is Status.FAIL:
        current.close()
        reason = f"report after {case.id}, run again: {verdict.failures[0].title}"
        raise CrashedAgainError(reason, verdict)


def find_leaks(prepared: PreparedGuest, outcomes: Sequence[Outcome]) -> Leaks:
    """What a check finds beside its canary.

    Raises:
        InfrastructureError: the check could not be made.
    """
    before = read_moment(prepared.guest)
    checked = canary.check_beside_canary(prepared.guest, prepared.check)
    tasks = [(one.task, pid) for one in outcomes for pid in one.pids]
    own, others = kmemleak.split_by_task(checked.records, tasks)
    named: dict[str, list[Record]] = {}
    for (task, _), found in own.items():
        named.setdefault(task, []).extend(found)
    after = read_moment(prepared.guest) if others else None
    times: list[float] = []
    if before is not None and after is not None:
        found_at = (seconds_at(record.jiffies, before, after) for record in others)
        times = [seconds for seconds in found_at if seconds is not None]
    return Leaks(named, tuple(others), checked.blind, tuple(times))


def ran_at(
    runs: Sequence[tuple[MountCase, Outcome]], times: Iterable[float]
) -> tuple[MountCase, ...]:
    """The cases that were under way, or over and the next not begun, at some times of the guest's
    monotonic clock; `runs` are all of the guest's, in order."""
    began = [outcome.began for _, outcome in runs]
    places = {bisect.bisect_right(began, seconds) - 1 for seconds in times}
    return tuple(runs[place][0] for place in sorted(places) if place >= 0)


def with_late_messages(
    runs: Sequence[tuple[MountCase, Outcome]],
) -> list[tuple[MountCase, Outcome]]:
    """Cases that ran one after another in a guest, each with what the kernel printed between it and
    the next: work that it left behind may speak up late."""
    late = []
    for at, (case, outcome) in enumerate(runs):
        if at + 1 < len(runs):
            after = runs[at + 1][1]
            outcome = replace(
                outcome, kmsg_after=after.kmsg_before, kmsg_after_levels=after.kmsg_before_levels
            )
        late.append((case, outcome))
    return late


def late_crashes(
    current: CurrentGuest, prepared: PreparedGuest, outcomes: Sequence[Outcome]
) -> tuple[Crash, ...]:
    """What the console shows that was logged neither while a case ran nor before the next."""
    current.reported |= {
        crash.title
        for outcome in outcomes
        for crash in (*find_crashes(outcome.kmsg), *find_crashes(outcome.kmsg_after))
    }
    console = prepared.guest.console
    crashes = console.crashes() if console is not None else ()
    return tuple(crash for crash in crashes if crash.title not in current.reported)
