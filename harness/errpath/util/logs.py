"""Logging: `errpath.*` loggers, silent unless `-v` or pytest's log options ask for them."""

from __future__ import annotations

import logging
import sys

__all__ = ["LOG_DATE_FORMAT", "LOG_FORMAT", "show_logs", "shown_level"]

LOG_FORMAT = "%(asctime)s.%(msecs)03d %(name)s: %(message)s"
LOG_DATE_FORMAT = "%H:%M:%S"

_ROOT = logging.getLogger("errpath")


def show_logs(level: int = logging.DEBUG) -> None:
    """Show what errpath logs from `level` on, on standard error; once is enough."""
    if level == logging.NOTSET or _ROOT.level == level:
        return
    _ROOT.setLevel(level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(LOG_FORMAT, LOG_DATE_FORMAT))
    _ROOT.addHandler(handler)


def shown_level() -> int:
    """The level that `show_logs` was given, for another process; `NOTSET` without it."""
    return _ROOT.level
