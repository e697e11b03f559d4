"""Outcome, leaks and crashes → verdict. Pure.

PASS and FAIL are about the kernel, SKIP about what it does not have; ERROR is about the
infrastructure. The order matters: a crash beats everything, infrastructure that cannot be believed
beats the rest.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from errpath.cases.case import MountCase, Outcome
from errpath.kernel.log import Crash, find_crashes
from errpath.oracles.kmemleak import Record
from errpath.oracles.resources import ResourceLeak
from errpath.util.errnos import errno_name, errno_value

__all__ = ["Leak", "Status", "Verdict", "infrastructure_error", "judge", "left_out"]


class Status(enum.Enum):
    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    # The kernel has nothing that the case could try.
    SKIP = "skip"


@dataclass(frozen=True)
class Leak:
    """What a case left behind, after the second look."""

    records: tuple[Record, ...]
    # In `confirmed` of `repeats` further runs, alone in a fresh guest, the same leak was found.
    confirmed: int = 0
    repeats: int = 0


@dataclass(frozen=True)
class Verdict:
    """What is said of one case."""

    case: MountCase
    status: Status
    # One line each, the worst first: why it is not a pass.
    reasons: tuple[str, ...] = ()
    outcome: Outcome | None = None
    leak: Leak | None = None
    crashes: tuple[Crash, ...] = ()
    # What else the check of the same batch found: leaks that no case's task allocated.
    others: tuple[Record, ...] = ()
    # What repeats of the case did not give back, where that was counted.
    losses: tuple[ResourceLeak, ...] = ()
    # What was left at the end of all, where that was looked for.
    left: tuple[str, ...] = ()
    # What it read otherwise than it was written, though every step ended as expected.
    misread: tuple[str, ...] = ()


def infrastructure_error(case: MountCase, reason: str, outcome: Outcome | None = None) -> Verdict:
    """No verdict on the kernel: the infrastructure failed."""
    return Verdict(case, Status.ERROR, (reason,), outcome)


def left_out(case: MountCase, reason: str) -> Verdict:
    """No verdict on the kernel: it does not have what the case is about."""
    return Verdict(case, Status.SKIP, (reason,))


def judge(
    case: MountCase, outcome: Outcome, leak: Leak | None, *, others: Sequence[Record] = ()
) -> Verdict:
    """The verdict on a case whose check can be believed."""
    crashes = find_crashes(outcome.kmsg)
    failures = [f"kernel {crash.kind}: {crash.title}" for crash in crashes]
    if outcome.hung:
        failures.append(f"hang: the task did not end within {case.seconds:g} s")
    elif outcome.signal is not None and not crashes:
        failures.append(f"the task was killed by signal {outcome.signal}")
    # What the kernel did to itself is certain, whatever else is in doubt.
    certain = bool(failures)
    misread: tuple[str, ...] = ()
    if not failures:
        if outcome.status != 0:
            reason = f"the task could not try a step ({errno_name(outcome.status)})"
            return infrastructure_error(case, reason, outcome)
        if case.fault is not None and not outcome.fired:
            where = f"in {case.fault.function}" if case.fault.function else f"({case.fault.text})"
            reason = f"never reached: the fault {where} did not fire"
            # A leak that was found all the same is shown beside it.
            return replace(infrastructure_error(case, reason, outcome), leak=leak)
        failures += _wrong_errnos(case, outcome)
        found = [(check, check(outcome)) for check in case.checks]
        if not failures:
            misread = tuple(wrong for check, wrong in found if wrong and _reads(check))
        failures += [wrong for _, wrong in found if wrong]
    if leak is not None and leak.records and (leak.confirmed or not leak.repeats):
        failures.insert(0, _leak_line(leak))
    elif leak is not None and leak.records:
        reason = f"a suspected leak was confirmed in 0 of {leak.repeats} repeats"
        reasons = (*failures, reason) if certain else (reason, *failures)
        status = Status.FAIL if certain else Status.ERROR
        return Verdict(case, status, reasons, outcome, leak, crashes, tuple(others))
    if outcome.device_errno and not outcome.hung:
        failures.append(
            f"the block device is still held after the case ({errno_name(outcome.device_errno)})"
        )
    status = Status.FAIL if failures else Status.PASS
    reasons = tuple(failures)
    return Verdict(case, status, reasons, outcome, leak, crashes, tuple(others), misread=misread)


def _reads(check: Callable[[Outcome], str]) -> bool:
    """Whether a check is of what was read, not of what the kernel says about it."""
    return bool(getattr(check, "reads", False))


def _wrong_errnos(case: MountCase, outcome: Outcome) -> list[str]:
    wrong = []
    for step, got in zip(case.steps, outcome.steps, strict=False):
        want = errno_value(step.expected) if step.expected else 0
        if got.errno != want and not step.any_errno:
            expected = errno_name(want)
            wrong.append(f"{step.op}: {got}; expected {expected if want else 'success'}")
    ended = outcome.steps and case.steps[len(outcome.steps) - 1].any_errno
    if not wrong and not ended and len(outcome.steps) < len(case.steps):
        wrong.append(f"{case.steps[len(outcome.steps)].op}: not tried")
    return wrong


def _leak_line(leak: Leak) -> str:
    total = sum(record.size for record in leak.records)
    count = len(leak.records)
    objects = "1 unreferenced object" if count == 1 else f"{count} unreferenced objects"
    look = f", confirmed {leak.confirmed} of {leak.repeats}" if leak.repeats else ""
    return f"leak: {objects}, {total} bytes{look}"
