"""kmemleak: its record format and the protocols that make its silence mean something.

Format: mm/kmemleak.c, print_unreferenced(). Protocol facts (all from mm/kmemleak.c and measured):
the first scan that sees an object only notes its checksum, so two scans are needed; an object is
reported only when it was older than `jiffies_min_age` (5 s) at the start of a scan; one read()
returns about 4 KiB, so the file is read to its end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from errpath.errors import InfrastructureError
from errpath.guest.channel import AgentError

__all__ = [
    "MIN_AGE_SECONDS",
    "SCAN_FILE",
    "CallSite",
    "LeakGuest",
    "Record",
    "clear",
    "fast_check",
    "parse_records",
    "slow_check",
    "split_by_task",
]

SCAN_FILE = "/sys/kernel/debug/kmemleak"
# An object must be older than MSECS_MIN_AGE (5000 ms) when a scan begins; a tick more.
MIN_AGE_SECONDS = 5.05

_HEADER = re.compile(
    r"^unreferenced object(?: \((?:percpu|phys)\))? (0x[0-9a-f]+) \(size (\d+)\):$"
)
_TASK = re.compile(r'^  comm "(.*)", pid (-?\d+), jiffies (\d+)')
_FRAME = re.compile(
    r"^    (?:\[<[0-9a-f]+>\] )?([\w.]+)\+0x([0-9a-f]+)/0x[0-9a-f]+(?: \[([\w-]+)\])?$"
)
# Code that has been unloaded since.
_ADDRESS = re.compile(r"^    (?:\[<[0-9a-f]+>\] )?(0x[0-9a-f]+)$")


@dataclass(frozen=True)
class CallSite:
    """One frame of a backtrace, as the kernel prints it; a bare address where it has no name."""

    function: str
    # Bytes from the start of the function to the return address.
    offset: int
    # Module, or None for built-in code.
    module: str | None

    def __str__(self) -> str:
        if self.function.startswith("0x"):
            return self.function
        return f"{self.function}+{self.offset:#x}" + (f" [{self.module}]" if self.module else "")


@dataclass(frozen=True)
class Record:
    """One unreferenced object."""

    address: int
    # Bytes, of the slab cache's object.
    size: int
    # Task that allocated it.
    comm: str
    pid: int
    # When, in jiffies of the guest.
    jiffies: int
    # Innermost first.
    backtrace: tuple[CallSite, ...]
    # The kernel's own text.
    raw: str

    @property
    def signature(self) -> tuple[int, tuple[str, ...]]:
        """What makes two records the same leak: size, and functions without offsets."""
        return self.size, tuple(site.function for site in self.backtrace)


class LeakGuest(Protocol):
    """What a leak check needs of a guest."""

    def read_file(self, path: str) -> bytes:
        """The content of a file in the guest."""

    def write_file(
        self, path: str, data: bytes | str, *, mode: int | None = None, task: str | None = None
    ) -> None:
        """Write a file, in a task of that name; with `mode` it is created or truncated."""

    def sleep(self, seconds: float) -> None:
        """Let this many seconds pass in the guest."""

    def quiesce(self) -> None:
        """Let the kernel finish what it put off (guests/agent/system.c)."""


def parse_records(text: str) -> tuple[Record, ...]:
    """The records in kmemleak's text.

    Raises:
        InfrastructureError: a line fits no known form: better no verdict than a record overlooked.
    """
    records: list[Record] = []
    if text and not text.endswith("\n"):
        raise InfrastructureError(
            f"kmemleak: breaks off at {text.splitlines()[-1]!r}; expected a whole line"
        )
    for block in re.split(r"^(?=unreferenced object)", text, flags=re.MULTILINE):
        if block.strip():
            records.append(_parse(block))
    return tuple(records)


def _parse(block: str) -> Record:
    lines = block.rstrip("\n").split("\n")
    header = _HEADER.match(lines[0])
    task = _TASK.match(lines[1]) if len(lines) > 1 else None
    if header is None or task is None:
        raise InfrastructureError(
            f"kmemleak: cannot read {lines[0]!r}; expected an unreferenced object"
        )
    sites: list[CallSite] = []
    in_trace = False
    for line in lines[2:]:
        if line.startswith("  backtrace"):
            in_trace = True
        elif in_trace and line.strip():
            frame, address = _FRAME.match(line), _ADDRESS.match(line)
            if frame is not None:
                sites.append(CallSite(frame[1], int(frame[2], 16), frame[3]))
            elif address is not None:
                sites.append(CallSite(address[1], 0, None))
            else:
                raise InfrastructureError(
                    f"kmemleak: cannot read {line!r}; expected a frame of a backtrace"
                )
    if not in_trace:
        raise InfrastructureError(f"kmemleak: {lines[0]!r} ends early; expected its backtrace")
    return Record(
        address=int(header[1], 16),
        size=int(header[2]),
        comm=task[1],
        pid=int(task[2]),
        jiffies=int(task[3]),
        backtrace=tuple(sites),
        raw=block.rstrip("\n"),
    )


def _scan(guest: LeakGuest) -> None:
    try:
        guest.write_file(SCAN_FILE, "scan")
    except AgentError as error:
        # It cannot be turned on again: after a pool exhaustion, or kmemleak=off.
        raise InfrastructureError(
            f"kmemleak: scan refused ({error}); it has disabled itself"
        ) from None


def slow_check(guest: LeakGuest) -> tuple[Record, ...]:
    """The honest slow protocol: everything unreferenced now, except what was cleared before.

    Quiesce, scan, let every object come of age, scan, and scan once more: only what is still
    unreferenced in the last scan is returned.

    Task stacks are left out of these scans. A sleeping kernel thread's stack keeps what was in the
    registers of __schedule(), such as the task that ran next; that task dies, its memory is used
    again, and the stale pointer hides a leak: measured, up to one in ten objects of kmalloc-2k. In
    a guest at rest, nothing of a case that is over may hang on a thread's stack.

    Raises:
        InfrastructureError: kmemleak has disabled itself, or its text cannot be read.
    """
    guest.quiesce()
    guest.write_file(SCAN_FILE, "stack=off")
    _scan(guest)
    guest.sleep(MIN_AGE_SECONDS)
    _scan(guest)
    first = {record.address for record in _read(guest)}
    _scan(guest)
    return tuple(record for record in _read(guest) if record.address in first)


def fast_check(guest: LeakGuest) -> tuple[Record, ...]:
    """The same without the wait, for a guest whose minimum age is lowered to nothing.

    Quiesce and two scans: the first notes the checksum of what it has not seen before, the second
    reports. It finds all that `slow_check` would and perhaps what is only in flight: what it finds
    is a suspicion. In a guest with the kernel's own threshold it finds next to nothing, which the
    canary shows.

    Raises:
        InfrastructureError: kmemleak has disabled itself, or its text cannot be read.
    """
    guest.quiesce()
    guest.write_file(SCAN_FILE, "stack=off")
    _scan(guest)
    _scan(guest)
    return _read(guest)


def _read(guest: LeakGuest) -> tuple[Record, ...]:
    return parse_records(guest.read_file(SCAN_FILE).decode(errors="replace"))


def clear(guest: LeakGuest) -> None:
    """Forget what has been reported so far; new leaks are still seen."""
    guest.write_file(SCAN_FILE, "clear")


def split_by_task(
    records: Sequence[Record], tasks: Sequence[tuple[str, int]]
) -> tuple[dict[tuple[str, int], list[Record]], list[Record]]:
    """Records by the (name, pid) of the case's task, and those of other origin."""
    own: dict[tuple[str, int], list[Record]] = {task: [] for task in tasks}
    other: list[Record] = []
    for record in records:
        own.get((record.comm, record.pid), other).append(record)
    return own, other
