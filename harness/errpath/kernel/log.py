"""Kernel log text → crashes. Pure.

Knows the first line of everything that the kernel prints when it noticed that something is wrong:
oopses, BUG, WARN, panics, hangs, stalls, sanitizers, lockdep, slab and VFS consistency checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Crash", "find_crashes", "strip_prefix"]

# "[   12.345678][  T123] " of the console.
_TIME = r"\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])? "
# The ring buffer as syslog(2) gives it has the level in front, "<4>".
_PREFIX = re.compile(rf"^(?:<\d+>(?:{_TIME})?|{_TIME})", re.MULTILINE)

# (kind, first line, whether the guest is unusable). The first that matches a line names it.
_STARTS: tuple[tuple[str, re.Pattern[str], bool], ...] = tuple(
    (kind, re.compile(pattern), fatal)
    for kind, pattern, fatal in (
        ("panic", r"Kernel panic - not syncing", True),
        ("kasan", r"BUG: KASAN: ", True),
        ("kfence", r"BUG: KFENCE: ", True),
        ("ubsan", r"UBSAN: ", False),
        ("hang", r"INFO: task .* blocked (?:for more than|in I/O wait)", True),
        ("hang", r"watchdog: BUG: soft lockup", True),
        ("hang", r"rcu: INFO: rcu\S* (?:self-)?detected", True),
        ("lockdep", r"(?:WARNING|INFO): (?:possible|suspicious|inconsistent|bad unlock)", False),
        ("lockdep", r"WARNING: lock held when returning to user space", False),
        (
            "oops",
            r"(?:Oops|general protection fault|stack segment|double fault|divide error)\b",
            True,
        ),
        ("oops", r"BUG: (?:unable to handle|kernel NULL pointer|Bad page|stack guard page)", True),
        ("bug", r"kernel BUG at ", True),
        ("slab", r"^\[.+ overwritten\] 0x[0-9a-f]+-0x", True),
        ("slab", r"BUG \S+ \((?:Not tainted|Tainted)", True),
        ("warning", r"^ODEBUG: ", False),
        ("bug", r"BUG: (?!workqueue lockup)", True),
        ("warning", r"WARNING: ", False),
        ("vfs", r"VFS: Busy inodes after unmount", False),
        ("corruption", r"list_(?:add|del) corruption|refcount_t: ", False),
        ("slab", r"Slab .* (?:Objects remaining|objects remaining)", False),
    )
)
# What SLUB has found, in a line before the report's own since 6.17: "[Poison overwritten] 0x…".
_OVERWRITTEN = re.compile(r"^\[(.+ overwritten)\] 0x")
_SLAB_BUG = re.compile(r"^(BUG \S+ \([^)]*\)): Object corrupt$")
# The head of an object's stack: "Allocated in f+0x1/0x2 age=…", "Freed by task 7:".
_TRACK = re.compile(r"^\s*(allocated|freed) (?:in ([\w.]+)\+0x|by task \d+)", re.IGNORECASE)
_FRAME = re.compile(r"^\s*([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+")
# A report ends here, at the next report, or at the end of the text.
_END = re.compile(r"---\[ end (?:trace|Kernel panic)")


@dataclass(frozen=True)
class Crash:
    """One report of the kernel about itself."""

    # "oops", "bug", "warning", "hang", "panic", …
    kind: str
    # Its first line, without the time stamp.
    title: str
    # All its lines.
    text: str
    # Whether the guest can no longer be trusted.
    fatal: bool
    # Where the report is about an object: the functions that allocated and last freed it, innermost
    # first (SLUB, KASAN, KFENCE).
    allocated: tuple[str, ...] = ()
    freed: tuple[str, ...] = ()


def strip_prefix(text: str) -> str:
    """Console or syslog text without levels and time stamps."""
    return _PREFIX.sub("", text)


def find_crashes(text: str) -> tuple[Crash, ...]:
    """The reports in `text`, console or log, in order.

    An oops begins with several such lines ("BUG: unable to handle …", "Oops: …"): lines up to the
    report's end belong to the first.
    """
    crashes: list[Crash] = []
    open_lines: list[str] = []
    opened: tuple[str, bool] | None = None

    def close() -> None:
        nonlocal opened
        if opened is not None:
            kind, fatal = opened
            stacks = _object_stacks(open_lines)
            text = "\n".join(open_lines)
            crashes.append(Crash(kind, _title(open_lines), text, fatal, **stacks))
        opened = None
        open_lines.clear()

    for line in strip_prefix(text).splitlines():
        start = _start(line)
        if opened is None and start is None:
            continue
        if opened is None or (start is not None and _new_report(open_lines, line)):
            close()
            opened = start
        open_lines.append(line)
        if start is not None and opened is not None and start[1]:
            opened = (opened[0], True)
        if _END.search(line):
            close()
    close()
    return tuple(crashes)


def _title(lines: Sequence[str]) -> str:
    """The first line; of SLUB's, the one with the cache, and what was overwritten in it."""
    overwritten = _OVERWRITTEN.match(lines[0])
    for line in lines[1:] if overwritten is not None else ():
        if (bug := _SLAB_BUG.match(line)) is not None and overwritten is not None:
            return f"{bug[1]}: {overwritten[1]}"
    return lines[0]


def _object_stacks(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The stacks of the first object of a report, by their names in `Crash`."""
    found: dict[str, list[str]] = {}
    # The function that the head names, where no stack follows it.
    heads: dict[str, str] = {}
    stack: list[str] | None = None
    for line in lines:
        if (head := _TRACK.match(line)) is not None:
            name = head[1].lower()
            # Later ones repeat the first, or are of another object.
            stack = found.setdefault(name, []) if name not in found else None
            heads.setdefault(name, head[2] or "")
        elif (frame := _FRAME.match(line)) is not None and stack is not None:
            stack.append(frame[1])
        else:
            stack = None
    return {
        name: tuple(stack) or ((heads[name],) if heads[name] else ())
        for name, stack in found.items()
    }


def _start(line: str) -> tuple[str, bool] | None:
    for kind, pattern, fatal in _STARTS:
        if pattern.search(line):
            return kind, fatal
    return None


def _new_report(so_far: Iterable[str], line: str) -> bool:
    """Whether a starting line inside an open report begins another one.

    The headline, "Oops: …" and "kernel BUG at …" lines of one oops stand together before its
    registers; after a call trace, a new start is a new report.
    """
    return any("Call Trace:" in seen for seen in so_far) and "Kernel panic" not in line
