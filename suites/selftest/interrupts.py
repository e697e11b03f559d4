"""Signals of programs that tests start."""

from __future__ import annotations

import signal

__all__ = ["interruptible"]


def interruptible() -> None:
    """SIGINT as a terminal's programs have it; a shell's background jobs ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
