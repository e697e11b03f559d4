"""Times and durations as text."""

from __future__ import annotations

import time

__all__ = ["duration", "local_minute", "local_stamp"]


def duration(seconds: float) -> str:
    """A length of time: "3.2 s", "41 s", "2 min 05 s", "3 h 07 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def local_minute(seconds: float) -> str:
    """Local date and time, to the minute, of seconds since the epoch."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def local_stamp(seconds: float) -> str:
    """Local date and time in the form that names of directories have."""
    return time.strftime("%Y%m%dT%H%M%S", time.localtime(seconds))
