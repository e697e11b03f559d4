"""What a case's steps gave, against what they must give: errnos, checks, the device afterwards."""

from __future__ import annotations

from errpath.cases.case import MountCase, Outcome
from errpath.oracles.failure import DEVICE_HELD, ERRNO, LOG, Failure, kind_named
from errpath.util.errnos import errno_name, errno_value

__all__ = ["check_failures", "device_failures", "errno_failures"]


def errno_failures(case: MountCase, outcome: Outcome) -> tuple[Failure, ...]:
    """A failure for each step that gave another errno, and for the first that was not tried."""
    wrong = []
    for step, got in zip(case.steps, outcome.steps, strict=False):
        want = errno_value(step.expected) if step.expected else 0
        if got.errno != want and not step.any_errno:
            expected = errno_name(want) if want else "success"
            wrong.append(Failure(ERRNO, f"{step.op}: {got}; expected {expected}"))
    ended = outcome.steps and case.steps[len(outcome.steps) - 1].any_errno
    if not wrong and not ended and len(outcome.steps) < len(case.steps):
        wrong.append(Failure(ERRNO, f"{case.steps[len(outcome.steps)].op}: not tried"))
    return tuple(wrong)


def check_failures(case: MountCase, outcome: Outcome) -> tuple[Failure, ...]:
    """A failure for each of the case's own checks that does not hold.

    A check says by its attribute `kind` what kind of failure it finds; without one, it is of what
    the kernel logged.
    """
    found = [(check, check(outcome)) for check in case.checks]
    return tuple(
        Failure(kind_named(getattr(check, "kind", LOG.name)), text) for check, text in found if text
    )


def device_failures(outcome: Outcome, *, follows: bool = False) -> tuple[Failure, ...]:
    """A failure where the case's device cannot be opened exclusively afterwards."""
    if not outcome.device_errno:
        return ()
    return (
        Failure(
            DEVICE_HELD,
            "the block device is still held after the case",
            detail=errno_name(outcome.device_errno),
            follows=follows,
        ),
    )
