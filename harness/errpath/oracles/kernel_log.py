"""What the kernel said of itself, as failures with syzbot's titles.

In: reports found in the log (`errpath.kernel.log`), or the stack of a task that did not end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from errpath.cases.case import MountCase, Outcome
from errpath.kernel.log import Crash
from errpath.oracles.failure import (
    CORRUPTION,
    HANG,
    KILLED,
    LOCKDEP,
    OOPS,
    RESOURCE_LEAK,
    UNDEFINED,
    WARNING,
    Failure,
    Kind,
)
from errpath.oracles.frames import base_name, first_named, stack_frames
from errpath.oracles.steps import order_of
from errpath.oracles.titles import report_title

__all__ = ["LOG_KINDS", "hang_failure", "killed_failure", "log_failures", "speaks_once"]

# Kinds of the log's grammar, and of failures.
LOG_KINDS: dict[str, Kind] = {
    "panic": OOPS,
    "oops": OOPS,
    "bug": OOPS,
    "kasan": CORRUPTION,
    "kfence": CORRUPTION,
    "slab": CORRUPTION,
    "vfs": CORRUPTION,
    "corruption": CORRUPTION,
    "ubsan": UNDEFINED,
    "hang": HANG,
    "lockdep": LOCKDEP,
    "warning": WARNING,
}
# Behind its step, the first of two tasks waits for the second in a read.
_LEFT_STEP = re.compile(r"\b(?:anon_)?pipe_read\b")
_WHERE = re.compile(r"\b([\w./-]+\.[chS]:\d+)")


def speaks_once(crash: Crash) -> bool:
    """Whether the kernel has less to say after a report than before: lockdep switches itself off,
    UBSAN reports a place once, DEBUG_OBJECTS five times in a boot. What was said once for other
    reasons the agent has said again (`clear_warn_once`)."""
    return crash.kind in ("lockdep", "ubsan") or crash.title.startswith("ODEBUG: ")


def log_failures(crashes: Iterable[Crash]) -> tuple[Failure, ...]:
    """A failure for each report. What comes after a report that is fatal follows from it."""
    failures: list[Failure] = []
    lost = False
    for crash in crashes:
        failures.append(_failure(crash, follows=lost))
        lost = lost or crash.fatal
    return tuple(failures)


def _failure(crash: Crash, *, follows: bool) -> Failure:
    title = report_title(crash)
    where = _WHERE.search(crash.title)
    kind = LOG_KINDS[crash.kind]
    if "bjects remaining" in crash.title:
        kind = RESOURCE_LEAK
    return Failure(
        kind,
        title.text,
        signature=title.signature,
        functions=tuple(dict.fromkeys(title.functions)),
        where=where[1] if where is not None else "",
        detail=crash.title if crash.title != title.text else "",
        follows=follows,
        evidence=crash.text,
    )


def hang_failure(case: MountCase, outcome: Outcome, *, follows: bool = False) -> Failure:
    """A task that did not end in time. A frame of a module goes before built-in ones: a task that
    runs in circles can be caught in any helper's helper."""
    stack, who = _hung_task(case, outcome)
    frames = stack_frames(stack)
    named = next((frame.function for frame in frames if frame.module), "")
    functions = tuple(frame.function for frame in frames)
    named = base_name(named) or first_named(functions)
    return Failure(
        HANG,
        f"INFO: task hung in {named}" if named else "INFO: task hung",
        functions=tuple(dict.fromkeys(functions)),
        detail=who or _how_long(case, outcome),
        follows=follows,
        evidence=stack,
    )


def _hung_task(case: MountCase, outcome: Outcome) -> tuple[str, str]:
    """The stack of the task that hangs; and which it is, where there are two."""
    hung = next((item for item in outcome.second_tasks.items() if item[1].hung), None)
    if hung is None:
        return outcome.stack, ""
    number, second = hung
    step = case.steps[number]
    assert step.meanwhile is not None
    other = step.meanwhile.steps[min(len(second.steps), len(step.meanwhile.steps) - 1)]
    order = order_of(step, second)
    # The first waits for it behind its step, and hangs itself only where it is in the kernel.
    if not _LEFT_STEP.search(outcome.stack):
        both = f"{step.op} and, in the second task, {other.op} do not end"
        return outcome.stack or second.stack, f"{both}; {order}"
    return second.stack, f"the second task does not end, in {other.op}; {order}"


def _how_long(case: MountCase, outcome: Outcome) -> str:
    if not outcome.stood_still:
        return f"the task did not end within {case.seconds:g} s"
    asleep = f"the task slept for {outcome.stood_still:g} s without being woken"
    return f"{asleep}, and nothing else ran"


def killed_failure(signal: int) -> Failure:
    """A task that the kernel killed without a report."""
    return Failure(KILLED, f"the task was killed by signal {signal}")
