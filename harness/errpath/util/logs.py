"""Logging: `errpath.*` loggers, silent unless `-v` or pytest's log options ask for them."""

from __future__ import annotations

import logging
import sys

__all__ = ["LOG_DATE_FORMAT", "LOG_FORMAT", "show_logs"]

LOG_FORMAT = "%(asctime)s.%(msecs)03d %(name)s: %(message)s"
LOG_DATE_FORMAT = "%H:%M:%S"

_ROOT = logging.getLogger("errpath")


def show_logs() -> None:
    """Show what errpath logs on standard error; twice shows it once."""
    if _ROOT.level == logging.DEBUG:
        return
    _ROOT.setLevel(logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(LOG_FORMAT, LOG_DATE_FORMAT))
    _ROOT.addHandler(handler)
