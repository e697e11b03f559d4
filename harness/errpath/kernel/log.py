"""Kernel log text → crashes. Pure.

Knows the first line of everything that the kernel prints when it noticed that something is wrong:
oopses, BUG, WARN, panics, hangs, stalls, sanitizers, lockdep, slab and VFS consistency checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Crash", "CrashReader", "find_crashes", "is_headline", "strip_prefix"]

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
        ("hang", r"INFO: task .* can't die", True),
        ("hang", r"BUG: soft lockup", True),
        ("hang", r"INFO: rcu\S* (?:self-)?detected", True),
        ("hang", r"BUG: workqueue lockup", True),
        ("lockdep", r"(?:WARNING|INFO): (?:possible|suspicious|inconsistent|bad unlock)", False),
        ("lockdep", r"(?:WARNING|INFO): .*-safe -> .*-unsafe lock order", False),
        (
            "lockdep",
            r"WARNING: Nested lock was not taken|INFO: trying to register non-static",
            False,
        ),
        (
            "lockdep",
            r"(?:WARNING|BUG): (?:lock held when returning to user space|held lock freed"
            r"|.*still has locks held|bad unlock balance|Invalid wait context)",
            False,
        ),
        (
            "oops",
            r"(?:Oops|general protection fault|stack segment|double fault|divide[ _]error)\b"
            r"|Internal error: ",
            True,
        ),
        (
            "oops",
            r"BUG: (?:unable to handle|kernel NULL pointer|Bad page|.*stack guard page)"
            r"|Unable to handle kernel ",
            True,
        ),
        ("bug", r"kernel BUG at ", True),
        ("slab", r"^\[.+ overwritten\] 0x[0-9a-f]+-0x", True),
        ("slab", r"BUG \S+ \((?:Not tainted|Tainted)", True),
        ("warning", r"^ODEBUG: ", False),
        ("bug", r"BUG: sleeping function called from invalid context", False),
        ("bug", r"BUG: ", True),
        ("warning", r"WARNING: ", False),
        ("vfs", r"VFS: Busy inodes after unmount|VFS: Close: file count is 0", False),
        ("corruption", r"list_(?:add|del) corruption|refcount_t: ", False),
        ("slab", r"Slab .* (?:Objects remaining|objects remaining)", False),
    )
)
# Lines that look like the first of a report and are advice, or a program's fault.
_NO_START = re.compile(
    r"WARNING: (?:Unprivileged eBPF|Unsupported flag value|See https|kernel not compiled with"
    r"|workqueue cpumask|[Tt]he mand mount|/etc/|fbcon: )|general protection fault .*error:\d+ in "
    r"|INFO: lockdep is turned off|BUG: no syscalls|EXT4-[Ff][Ss][ :(]|XFS \([\w-]+\): WARNING"
)
# One of these is in every first line: most lines of a long log need no other look.
_WORDS = (
    *("BUG", "WARNING:", "INFO: ", "UBSAN: ", "Kernel panic", "ODEBUG: ", "Oops", "overwritten"),
    *("general protection", "stack segment", "double fault", "divide", "nternal error: ", "Slab "),
    *("nable to handle", "VFS: ", "corruption", "refcount_t: "),
)
# A report longer than that goes on without a log's reader.
_LINES_MAX = 5000
# Characters of a line in which a report's first words are looked for.
_HEAD_MAX = 400
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


def is_headline(line: str) -> bool:
    """Whether a line, without its prefix, is one that begins a report."""
    return _start(line) is not None


def find_crashes(text: str) -> tuple[Crash, ...]:
    """The reports in `text`, console or log, in order."""
    reader = CrashReader()
    found = [reader.feed(line) for line in strip_prefix(text).splitlines()]
    return tuple(crash for crash in (*found, reader.close()) if crash is not None)


class CrashReader:
    """Lines without prefixes → reports, each as soon as it is whole.

    An oops begins with several such lines ("BUG: unable to handle …", "Oops: …"): lines up to the
    report's end belong to the first.
    """

    def __init__(self) -> None:
        self._report: _Report | None = None

    @property
    def open(self) -> bool:
        """Whether a report has begun and not ended."""
        return self._report is not None

    def feed(self, line: str) -> Crash | None:
        """Take the next line; the report that ends with it, or before it."""
        start, done = _start(line), None
        if start is not None and (self._report is None or self._report.ends_before(line)):
            done = self.close()
            self._report = _Report(start[0])
        if self._report is not None:
            self._report.add(line, fatal=start is not None and start[1])
            if _END.search(line):
                # One report at a time: the line that ends this one does not begin another.
                done = self.close()
        return done

    def close(self) -> Crash | None:
        """The report that is still open, as it is."""
        report, self._report = self._report, None
        return report.crash() if report is not None else None


class _Report:
    """A report that is being read."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._fatal = False
        self._traced = False
        self._lines: list[str] = []

    def ends_before(self, line: str) -> bool:
        """Whether a first line begins another report.

        The headline, "Oops: …" and "kernel BUG at …" lines of one oops stand together before its
        registers; after a call trace, a new start is a new report.
        """
        return self._traced and "Kernel panic" not in line

    def add(self, line: str, *, fatal: bool) -> None:
        self._fatal = self._fatal or fatal
        self._traced = self._traced or "Call Trace:" in line
        if len(self._lines) < _LINES_MAX:
            self._lines.append(line)

    def crash(self) -> Crash:
        lines = self._lines
        stacks = _object_stacks(lines)
        return Crash(self._kind, _title(lines), "\n".join(lines), self._fatal, **stacks)


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
    line = line[:_HEAD_MAX]
    if not any(word in line for word in _WORDS) or _NO_START.search(line):
        return None
    for kind, pattern, fatal in _STARTS:
        if pattern.search(line):
            return kind, fatal
    return None
