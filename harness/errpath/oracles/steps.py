"""What a case's steps gave, against what they must give: errnos, checks, the device afterwards."""

from __future__ import annotations

from errpath.cases.case import MountCase, Outcome, SecondTask, StepOutcome
from errpath.cases.steps import Step
from errpath.oracles.failure import DEVICE_HELD, ERRNO, LOG, Failure, kind_named
from errpath.util.errnos import errno_name, errno_value

__all__ = [
    "NOT_REACHED",
    "NO_WAIT",
    "check_failures",
    "device_failures",
    "errno_failures",
    "order_of",
    "orders_of",
    "unordered",
]

# How the reason begins where a case did not come to the place that it is about.
NOT_REACHED = "never reached"
# The same where it came there and may not sleep.
NO_WAIT = "no task can wait"


def errno_failures(case: MountCase, outcome: Outcome) -> tuple[Failure, ...]:
    """A failure for each step that gave another errno, and for the first that was not tried."""
    wrong: list[Failure] = []
    for number, (step, got) in enumerate(zip(case.steps, outcome.steps, strict=False)):
        wrong += _wrong_errno(step, got)
        if number in outcome.second_tasks:
            wrong += _wrong_second(step, outcome.second_tasks[number])
    ended = outcome.steps and case.steps[len(outcome.steps) - 1].any_errno
    if not wrong and not ended and len(outcome.steps) < len(case.steps):
        wrong.append(Failure(ERRNO, f"{case.steps[len(outcome.steps)].op}: not tried"))
    return tuple(wrong)


def _wrong_errno(step: Step, got: StepOutcome, detail: str = "") -> tuple[Failure, ...]:
    want = errno_value(step.expected) if step.expected else 0
    if got.errno == want or step.any_errno:
        return ()
    expected = errno_name(want) if want else "success"
    return (Failure(ERRNO, f"{step.op}: {got}; expected {expected}", detail=detail),)


def _wrong_second(step: Step, second: SecondTask) -> tuple[Failure, ...]:
    """The same for the steps of a second task, with the order of events."""
    assert step.meanwhile is not None
    detail = order_of(step, second)
    pairs = zip(step.meanwhile.steps, second.steps, strict=False)
    wrong = [failure for one, got in pairs for failure in _wrong_errno(one, got, detail)]
    untried = step.meanwhile.steps[len(second.steps) :]
    if not wrong and untried:
        wrong.append(Failure(ERRNO, f"{untried[0].op}: not tried", detail=detail))
    return tuple(wrong)


def order_of(step: Step, second: SecondTask) -> str:
    """The order of events in which a step and the second task met, in words."""
    assert step.meanwhile is not None
    others = [" ".join(filter(None, (one.op, one.subject))) for one in step.meanwhile.steps]
    events = [f"{step.op} waits at {step.meanwhile.at}"]
    events += [f"{one} ends" for one in others[: second.before]]
    if second.waited and second.before < len(others):
        events.append(f"{others[second.before]} waits for {step.op}")
    events.append(f"{step.op} goes on")
    return "; ".join(events)


def orders_of(case: MountCase, outcome: Outcome) -> tuple[str, ...]:
    """The order of each step that waited."""
    return tuple(
        order_of(case.steps[number], second) for number, second in outcome.second_tasks.items()
    )


def unordered(case: MountCase, outcome: Outcome) -> str:
    """Why a case's two tasks did not run in the order that it asks for; "" where they did."""
    if not outcome.no_wait:
        return ""
    places = ", ".join(case.places)
    if outcome.no_wait == "atomic":
        return f"{NO_WAIT} at {places}: it is called where it may not sleep"
    return f"{NOT_REACHED}: no task came to {places}, where it was to wait"


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
