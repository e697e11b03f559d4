"""Outcome, leaks and what the oracles found → verdict. Pure.

PASS and FAIL are about the kernel, SKIP about what it does not have; ERROR is about the
infrastructure. The order matters: a crash beats everything, an infrastructure error
beats the rest.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from errpath.cases.case import MountCase, Outcome
from errpath.kernel.log import find_crashes
from errpath.oracles.failure import (
    DATA_MISMATCH,
    NOT_AVAILABLE,
    Failure,
    infrastructure,
    join_signatures,
)
from errpath.oracles.kernel_log import hang_failure, killed_failure, log_failures
from errpath.oracles.kmemleak import Record
from errpath.oracles.leaks import leak_failures
from errpath.oracles.messages import late_failures, message_failures
from errpath.oracles.steps import (
    NOT_REACHED,
    check_failures,
    device_failures,
    errno_failures,
    unordered,
)
from errpath.oracles.volume import volume_failures
from errpath.util.errnos import errno_name

__all__ = [
    "NOT_REACHED",
    "Leak",
    "Status",
    "Verdict",
    "first_failure",
    "infrastructure_error",
    "judge",
    "left_out",
]


class Status(enum.Enum):
    """How a case ended."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    # The kernel has nothing that the case could try.
    SKIP = "skip"


@dataclass(frozen=True)
class Leak:
    """What a case left behind, after the confirmation run."""

    records: tuple[Record, ...]
    # In `confirmed` of `repeats` further runs, alone in a fresh guest, the same leak was found.
    confirmed: int = 0
    repeats: int = 0


@dataclass(frozen=True)
class Verdict:
    """What is said of one case."""

    case: MountCase
    status: Status
    # Why it is not a pass, the worst first. An ERROR has one of the kind infrastructure.
    failures: tuple[Failure, ...] = ()
    outcome: Outcome | None = None
    leak: Leak | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """The failures for readers, one line each."""
        return tuple(failure.line for failure in self.failures)

    @property
    def signature(self) -> str:
        """What makes two verdicts the same failure; empty for a pass."""
        return join_signatures(self.failures)


def first_failure(verdict: Verdict) -> str:
    """What is printed of the first FAIL of a run before its report; `errpath bench --broken` looks
    for it."""
    return f"first failure: {verdict.case.id}: {verdict.failures[0].line}"


def infrastructure_error(case: MountCase, reason: str, outcome: Outcome | None = None) -> Verdict:
    """No verdict on the kernel: the infrastructure failed."""
    return Verdict(case, Status.ERROR, (infrastructure(reason),), outcome)


def left_out(case: MountCase, reason: str) -> Verdict:
    """No verdict on the kernel: it does not have what the case is about."""
    return Verdict(case, Status.SKIP, (Failure(NOT_AVAILABLE, reason),))


def judge(case: MountCase, outcome: Outcome, leak: Leak | None) -> Verdict:
    """The verdict on a case whose check can be believed."""
    crashes = find_crashes(outcome.kmsg)
    fatal = any(crash.fatal for crash in crashes)
    failures = [*log_failures(crashes)]
    if outcome.hung:
        failures.append(hang_failure(case, outcome, follows=fatal))
    elif not crashes:
        signals = (outcome.signal, *(second.signal for second in outcome.second_tasks.values()))
        failures += [killed_failure(signal) for signal in signals if signal is not None]
    # What the kernel did to itself is certain, whatever else is in doubt.
    certain = bool(failures)
    if not failures:
        untried = next(filter(None, (outcome.status, *_statuses(outcome))), 0)
        if untried:
            reason = f"the task could not try a step ({errno_name(untried)})"
            return infrastructure_error(case, reason, outcome)
        disorder = unordered(case, outcome)
        if disorder:
            return Verdict(case, Status.ERROR, (infrastructure(disorder),), outcome, leak)
        missed = case.missed(outcome)
        if missed is not None:
            where = f"in {missed.function}" if missed.function else f"({missed.text})"
            reason = f"{NOT_REACHED}: the fault {where} did not fire"
            # A leak that was found all the same is shown beside it.
            return Verdict(case, Status.ERROR, (infrastructure(reason),), outcome, leak)
        failures += errno_failures(case, outcome)
        # What could not be mounted cannot be read: no mismatch of its own.
        mounted = not failures
        checked = check_failures(case, outcome)
        failures += [one for one in checked if mounted or one.kind is not DATA_MISMATCH]
    failures += message_failures(case, outcome, crashes)
    failures += late_failures(case, outcome) if not fatal else ()
    if leak is not None and leak.records and (leak.confirmed or not leak.repeats):
        found = leak_failures(leak.records, confirmed=leak.confirmed, repeats=leak.repeats)
        failures = [*found, *failures]
    elif leak is not None and leak.records:
        doubt = infrastructure(f"a suspected leak was confirmed in 0 of {leak.repeats} repeats")
        if not certain:
            return Verdict(case, Status.ERROR, (doubt, *failures), outcome, leak)
        # Not among the failures: it is none of the kernel's.
        return Verdict(case, Status.FAIL, tuple(failures), outcome, leak)
    if not outcome.hung:
        failures += device_failures(outcome, follows=fatal)
    if not fatal:
        failures += volume_failures(case, outcome)
    if not failures and outcome.kmsg_lost:
        lost = f"{outcome.kmsg_lost} messages of the kernel log were overwritten unread"
        return infrastructure_error(case, lost, outcome)
    if not failures and outcome.unchecked:
        return infrastructure_error(case, outcome.unchecked, outcome)
    status = Status.FAIL if failures else Status.PASS
    return Verdict(case, status, tuple(failures), outcome, leak)


def _statuses(outcome: Outcome) -> tuple[int, ...]:
    return tuple(second.status for second in outcome.second_tasks.values())
