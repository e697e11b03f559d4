"""What cases did in one guest, and what its oracles found after all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from errpath.cases.case import MountCase, Outcome
from errpath.cases.run import run_cases
from errpath.errors import GuestPoisonedError, KernelError
from errpath.guest.channel import AgentError
from errpath.kernel.log import find_crashes
from errpath.oracles import canary, kmemleak
from errpath.oracles.kmemleak import Record
from errpath.runner.guest_loss import is_guest_unusable
from errpath.runner.guests import CurrentGuest, PreparedGuest
from errpath.runner.verdict import judge

__all__ = ["Leaks", "check_late_crashes", "find_leaks", "observe", "repeat_cases"]


@dataclass(frozen=True)
class Leaks:
    """What a leak check found."""

    # By the name of the case's task.
    own: dict[str, list[Record]] = field(default_factory=dict)
    # Allocated by other tasks, such as kernel threads.
    others: tuple[Record, ...] = ()
    # Why what was not found may have been leaked all the same; empty where a canary was found.
    blind: str = ""


def observe(
    current: CurrentGuest, prepared: PreparedGuest, cases: Sequence[MountCase]
) -> Iterator[tuple[MountCase, Outcome | AgentError]]:
    """Run cases one after another, each in a task of its own name.

    Raises:
        GuestPoisonedError: the guest went away with the case that comes next.
    """
    outcomes = run_cases(prepared.guest, [(case, current.task()) for case in cases])
    yield from zip(cases, outcomes, strict=True)


def repeat_cases(
    current: CurrentGuest, prepared: PreparedGuest, cases: Sequence[MountCase]
) -> list[tuple[MountCase, Outcome]]:
    """Outcomes of cases that have run before in another guest.

    Raises:
        AgentError: the guest cannot run one of them any more.
        GuestPoisonedError: one of them took the guest down, which it did not do before.
    """
    runs = []
    for case, outcome in observe(current, prepared, cases):
        if isinstance(outcome, AgentError):
            raise outcome
        if is_guest_unusable(outcome):
            current.close()
            reason = judge(case, outcome, None).failures[0].title
            raise GuestPoisonedError(f"guest is unusable after {case.id}, run again: {reason}")
        runs.append((case, outcome))
    return runs


def find_leaks(prepared: PreparedGuest, outcomes: Sequence[Outcome]) -> Leaks:
    """What a check finds beside its canary.

    Raises:
        InfrastructureError: the check could not be made.
    """
    checked = canary.check_beside_canary(prepared.guest, prepared.check)
    own, others = kmemleak.split_by_task(checked.records, [(o.task, o.pid) for o in outcomes])
    named = {task: found for (task, _), found in own.items()}
    return Leaks(named, tuple(others), checked.blind)


def check_late_crashes(current: CurrentGuest, outcomes: Sequence[Outcome]) -> None:
    """See that every crash on the console was logged while a case ran.

    Raises:
        KernelError: one came later, from a kernel thread say: no case can be blamed for it.
    """
    prepared = current.get()
    current.reported |= {
        crash.title for outcome in outcomes for crash in find_crashes(outcome.kmsg)
    }
    console = prepared.guest.console
    for crash in console.crashes() if console is not None else ():
        if crash.title not in current.reported:
            raise KernelError(
                f"kernel {crash.kind} outside of every case: {crash.title}; see "
                f"{prepared.artefacts / 'console.log'} (--isolation=case finds the case)"
            )
