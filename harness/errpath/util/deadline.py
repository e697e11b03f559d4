"""Monotonic deadlines: every wait takes one, so that nested waits cannot add up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Deadline"]


@dataclass(frozen=True)
class Deadline:
    """A point in monotonic time by which something must have happened."""

    # What is waited for, in words that end "timed out waiting for …".
    what: str
    # Seconds allowed in all, for messages.
    seconds: float
    # Monotonic clock reading at which time is up.
    at: float
    # The clock, in seconds; tests pass a fake.
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    @classmethod
    def after(
        cls, seconds: float, what: str, *, clock: Callable[[], float] = time.monotonic
    ) -> Deadline:
        """A deadline `seconds` from now.

        Raises:
            ValueError: `seconds` is negative or not a number.
        """
        if math.isnan(seconds) or seconds < 0:
            raise ValueError(f"deadline for {what}: expected seconds >= 0, got {seconds!r}")
        return cls(what, seconds, clock() + seconds, clock)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock())

    @property
    def expired(self) -> bool:
        """Whether the point has passed."""
        return self.clock() >= self.at

    def __str__(self) -> str:
        return f"{self.what} ({self.seconds:g} s)"
