"""Progress of long work: a live line on a terminal, plain lines elsewhere.

Each long step says what it does, how far it is, and how long it may still take. On a terminal one
line is redrawn; into a file or a pipe, a line is printed when a step begins and ends and, between,
at most every ten seconds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TextIO

__all__ = ["Progress", "Step", "silent"]

_PLAIN_SECONDS = 10.0
_LIVE_SECONDS = 0.1


class Step:
    """One long step. `update` may be called as often as the work likes."""

    def __init__(self, what: str, total: float | None, show: Callable[[str, bool], None]) -> None:
        self._what = what
        self._total = total
        self._show = show
        self._began = time.monotonic()
        self._done = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._began

    def update(self, done: float, *, total: float | None = None, note: str = "") -> None:
        """Say that `done` of `total` units are done; `note` is what is being worked on."""
        self._done = done
        if total is not None:
            self._total = total
        self._show(self._line(note), False)

    def _line(self, note: str) -> str:
        words = [self._what]
        if self._total:
            share = min(1.0, self._done / self._total)
            words.append(f"{share:4.0%}")
            if 0.02 < share < 1.0:
                words.append(f"about {_clock(self.elapsed * (1 - share) / share)} left")
        words.append(f"[{_clock(self.elapsed)}]")
        if note:
            words.append(note)
        return "  ".join(words)


class Progress:
    """Where progress goes. `guard` wraps each write (pytest must lift its capture for it); with a
    `prefix`, several processes share one terminal and print plain lines."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        prefix: str = "",
        guard: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._stream = stream
        self._guard = guard
        self._prefix = f"[{prefix}] " if prefix else ""
        self._last = 0.0
        self._width = 0

    @property
    def _out(self) -> TextIO:
        return self._stream if self._stream is not None else sys.stderr

    def say(self, text: str) -> None:
        """Print one whole line."""
        with self._guard():
            self._erase()
            print(self._prefix + text, file=self._out, flush=True)

    @contextmanager
    def step(self, what: str, *, total: float | None = None) -> Iterator[Step]:
        """A long step; its begin, course and end are shown."""
        step = Step(what, total, self._show)
        self._show(f"{what} …", True)
        try:
            yield step
        except BaseException:
            self.say(f"{what}: stopped after {_clock(step.elapsed)}")
            raise
        self.say(f"{what}: done in {_clock(step.elapsed)}")

    def _show(self, line: str, first: bool) -> None:
        with self._guard():
            out = self._out
            live = out.isatty() and not self._prefix
            now = time.monotonic()
            if not first and now - self._last < (_LIVE_SECONDS if live else _PLAIN_SECONDS):
                return
            self._last = now
            if not live:
                print(self._prefix + line, file=out, flush=True)
                return
            self._erase()
            # A line that wraps could not be wiped again.
            shown = line[: _columns(out) - 1]
            out.write(shown)
            out.flush()
            self._width = len(shown)

    def _erase(self) -> None:
        if self._width:
            self._out.write("\r" + " " * self._width + "\r")
            self._width = 0


class _Silent(Progress):
    def say(self, text: str) -> None:
        pass

    def _show(self, line: str, first: bool) -> None:
        pass


def silent() -> Progress:
    """Progress that nobody sees, for tests."""
    return _Silent()


def _columns(out: TextIO) -> int:
    """Width of a terminal; one that does not say has the usual 80."""
    try:
        return os.get_terminal_size(out.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _clock(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
