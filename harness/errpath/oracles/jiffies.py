"""Jiffies of a guest, which kmemleak's records have, as seconds of its monotonic clock.

/proc/timer_list gives both of one moment; how many jiffies a second has, the configuration alone
says (CONFIG_HZ, kernel/Kconfig.hz), so two moments are compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from errpath.errors import ErrpathError

__all__ = ["Moment", "read_moment", "seconds_at"]

_FILE = "/proc/timer_list"
_NOW = re.compile(r"^now at (\d+) nsecs$", re.MULTILINE)
_JIFFIES = re.compile(r"^\s*jiffies: (\d+)$", re.MULTILINE)
# Jiffies of a second that x86 and arm64 offer.
_RATES = (100, 250, 300, 1000)
# Two moments that are nearer than this say too little, seconds.
_LEAST = 0.05


class _Guest(Protocol):
    def read_file(self, path: str) -> bytes:
        """Content of a file in the guest."""
        ...


@dataclass(frozen=True)
class Moment:
    """One moment of a guest."""

    seconds: float
    jiffies: int


def read_moment(guest: _Guest) -> Moment | None:
    """The guest's time now; None where the kernel does not tell."""
    try:
        text = guest.read_file(_FILE).decode(errors="replace")
    except ErrpathError:
        return None
    now, jiffies = _NOW.search(text), _JIFFIES.search(text)
    if now is None or jiffies is None:
        return None
    return Moment(int(now[1]) / 1e9, int(jiffies[1]))


def seconds_at(jiffies: int, first: Moment, second: Moment) -> float | None:
    """When it was so many jiffies, in seconds of the monotonic clock, by two moments of the guest;
    None where these lie too near."""
    passed = second.seconds - first.seconds
    if passed < _LEAST:
        return None
    measured = (second.jiffies - first.jiffies) / passed
    rate = min(_RATES, key=lambda one: abs(one - measured))
    return second.seconds - (second.jiffies - jiffies) / rate
