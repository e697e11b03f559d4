"""`--until 06:00`: the next time that a clock shows that, as seconds from now."""

from __future__ import annotations

import datetime
import re

from errpath.errors import UsageError

__all__ = ["seconds_until"]


def seconds_until(text: str, now: datetime.datetime) -> float:
    """Seconds from `now` (local) until it is HH:MM, today or tomorrow; or for `+90m`, `+6h`.

    A clock that is put forward or back in between is taken into account.

    Raises:
        UsageError: it is neither.
    """
    if match := re.fullmatch(r"\+(\d+)([mh])", text):
        return float(int(match[1]) * (60 if match[2] == "m" else 3600))
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", text)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise UsageError(f"--until {text}: expected HH:MM, or +90m or +6h")
    wanted = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    if wanted <= now:
        wanted += datetime.timedelta(days=1)
    # Through the zone: naive differences ignore a change of the clock.
    return wanted.astimezone().timestamp() - now.astimezone().timestamp()
