"""What the kernel said of itself, as failures with syzbot's titles.

In: reports found in the log (`errpath.kernel.log`), or the stack of a task that did not end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

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
from errpath.oracles.frames import base_name, first_named, is_helper, stack_frames

__all__ = ["LOG_KINDS", "hang_failure", "killed_failure", "log_failures"]

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
_RIP = re.compile(r"^RIP: [0-9a-f]+:([A-Za-z_][\w.]*)\+", re.MULTILINE)
_WHERE = re.compile(r"\b([\w./-]+\.[chS]:\d+)")
# "at f+0x1/0x2" of a warning; without "at" up to 6.16, behind file and line.
_AT = re.compile(r"(?:\bat |:\d+ )([A-Za-z_][\w.]*)\+0x")
_IN = re.compile(r" in ([A-Za-z_][\w.]*)\+0x")
_ACCESS = re.compile(r"^(Read|Write) of size ", re.MULTILINE)
_SLAB = re.compile(r"BUG (\S+) \([^)]*\): (.*)")
_SUFFIXES = re.compile(r"\s*(?:\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?)?(?: \[[\w-]+\])?$")

# First line (searched), title; {f} is the function that names the report, and groups of the first
# line are {0}, {1}, … The first that matches.
_TITLES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), title)
    for pattern, title in (
        (r"BUG: KASAN: (\S+)", "KASAN: {0}{access} in {f}"),
        (r"BUG: KFENCE: (.+?) in ", "KFENCE: {0} in {f}"),
        (r"UBSAN: (\S+)", "UBSAN: {0} in {f}"),
        (r"Kernel panic - not syncing: (.*)", "kernel panic: {0}"),
        (r"kernel NULL pointer dereference", "{null} in {f}"),
        (r"unable to handle page fault", "BUG: unable to handle kernel paging request in {f}"),
        (r"general protection fault", "general protection fault in {f}"),
        (r"(stack segment|double fault|divide error)", "{0} in {f}"),
        (r"kernel BUG at ", "kernel BUG in {f}"),
        (r"^Oops\b", "Oops in {f}"),
        (r"^INFO: task .* blocked", "INFO: task hung in {f}"),
        (r"BUG: soft lockup", "BUG: soft lockup in {f}"),
        (r"rcu: INFO: rcu\S* ", "INFO: rcu detected stall in {f}"),
        (r"possible (?:circular|recursive|irq lock|deadlock)", "possible deadlock in {f}"),
        (r"suspicious RCU usage", "WARNING: suspicious RCU usage in {f}"),
        (r"inconsistent lock state", "inconsistent lock state in {f}"),
        (r"bad unlock balance", "WARNING: bad unlock balance in {f}"),
        (r"(lock held when returning to user space)", "WARNING: {0} in {f}"),
        (r"refcount_t: ", "WARNING: refcount bug in {f}"),
        (r"list_(?:add|del) corruption", "BUG: corrupted list in {f}"),
        (r"BUG: sleeping function called", "BUG: sleeping function called from {sleeping} in {f}"),
        (r"VFS: Busy inodes after unmount of \S+ (\(.*\))", "VFS: Busy inodes after unmount {0}"),
        (r"^WARNING: ", "WARNING in {f}"),
    )
)
_NULL = "BUG: unable to handle kernel NULL pointer dereference"
_SLEEPING = "invalid context"
# Shown where the report has no stack.
_NOWHERE = "?"


def log_failures(crashes: Iterable[Crash]) -> tuple[Failure, ...]:
    """A failure for each report. What comes after a report that is fatal follows from it."""
    failures: list[Failure] = []
    lost = False
    for crash in crashes:
        failures.append(_failure(crash, follows=lost))
        lost = lost or crash.fatal
    return tuple(failures)


def _failure(crash: Crash, *, follows: bool) -> Failure:
    rip = _RIP.findall(crash.text)[:1]
    functions = (*rip, *(frame.function for frame in stack_frames(crash.text)))
    where = _WHERE.search(crash.title)
    kind = LOG_KINDS[crash.kind]
    if "bjects remaining" in crash.title:
        kind = RESOURCE_LEAK
    title = _title(crash, functions)
    return Failure(
        kind,
        title,
        functions=tuple(dict.fromkeys(functions)),
        where=where[1] if where is not None else "",
        detail=crash.title if crash.title != title else "",
        follows=follows,
        evidence=crash.text,
    )


def _title(crash: Crash, functions: Sequence[str]) -> str:
    slab = _SLAB.search(crash.title)
    if slab is not None:
        return f"{slab[2]} in slab {slab[1]}"
    access = _ACCESS.search(crash.text)
    for pattern, title in _TITLES:
        found = pattern.search(crash.title)
        if found is not None:
            text = title.format(
                *found.groups(),
                f=_named(crash, functions),
                access=f" {access[1]}" if access is not None else "",
                null=_NULL,
                sleeping=_SLEEPING,
            )
            return text.removesuffix(f" in {_NOWHERE}")
    return _SUFFIXES.sub("", crash.title)


def _named(crash: Crash, functions: Sequence[str]) -> str:
    """The function of the first line, else the one where the processor stood, else the stack's."""
    for pattern in (_IN, _AT):
        found = pattern.search(crash.title)
        if found is not None and not is_helper(found[1]):
            return base_name(found[1])
    return first_named(functions) or _NOWHERE


def hang_failure(case: MountCase, outcome: Outcome, *, follows: bool = False) -> Failure:
    """A task that did not end in time. A frame of a module goes before built-in ones: a task that
    runs in circles can be caught in any helper's helper."""
    frames = stack_frames(outcome.stack)
    named = next((frame.function for frame in frames if frame.module), "")
    functions = tuple(frame.function for frame in frames)
    named = base_name(named) or first_named(functions)
    return Failure(
        HANG,
        f"INFO: task hung in {named}" if named else "INFO: task hung",
        functions=tuple(dict.fromkeys(functions)),
        detail=f"the task did not end within {case.seconds:g} s",
        follows=follows,
        evidence=outcome.stack,
    )


def killed_failure(signal: int) -> Failure:
    """A task that the kernel killed without a report."""
    return Failure(KILLED, f"the task was killed by signal {signal}")
