"""Timers and delayed work that cases have armed and that have not fired.

A timer in memory that was freed does no harm until it fires, which may be half a minute after the
case that armed it. What is armed is known (guests/modules/pending), so that there is no wait where
nothing is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from errpath.guest.channel import AgentError
from errpath.oracles.modules import PENDING

__all__ = ["PENDING_MAX", "Pending", "let_fire", "read_pending"]

# Seconds of guest time that what is armed gets. The longest that a filesystem sets are those of
# writeback, 30 s.
PENDING_MAX = 35.0
# Seconds for the work behind a timer; the kernel rounds long ones up as well.
_MARGIN = 0.25
_LINE = re.compile(r"(\d+) (.*) ([\w.]+(?: \[\w+\])?)$")


class PendingGuest(Protocol):
    """What is asked of a guest with the module."""

    def read_file(self, path: str, /) -> bytes: ...

    def sleep(self, seconds: float, /) -> None: ...


@dataclass(frozen=True)
class Pending:
    """One timer or delayed work."""

    # Until it is due, of guest time.
    seconds: float
    # Name of the task that armed it first.
    task: str
    # What it will call, with its module: "delayed_sync_fs [hfsplus]".
    function: str


def read_pending(guest: PendingGuest) -> tuple[Pending, ...]:
    """What is armed now; nothing where the kernel has no tracepoints to tell it by."""
    try:
        text = guest.read_file(PENDING.file).decode()
    except AgentError:
        return ()
    found = [match for line in text.splitlines() if (match := _LINE.match(line))]
    return tuple(Pending(int(one[1]) / 1000, one[2], one[3]) for one in found)


def let_fire(guest: PendingGuest, armed: tuple[Pending, ...]) -> None:
    """Wait, on the guest's clock, until nothing is armed that is due within `PENDING_MAX`.

    Raises:
        GuestPoisonedError: what fired took the guest down.
    """
    left = PENDING_MAX
    while due := [one.seconds for one in armed if one.seconds <= left]:
        seconds = max(due) + _MARGIN
        guest.sleep(seconds)
        left -= seconds
        armed = read_pending(guest)
