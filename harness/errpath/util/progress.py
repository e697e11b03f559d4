"""Progress of long work: a live line on a terminal, plain lines elsewhere.

Each long step says what it does, how far it is, and how long it may still take. On a terminal one
line is redrawn; into a file or a pipe, a line is printed when a step begins and ends and, between,
at most every ten seconds. Steps of several threads share the live line.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TextIO

from errpath.util.times import duration

__all__ = ["Progress", "Step", "silent"]

_PLAIN_SECONDS = 10.0
_LIVE_SECONDS = 0.1
# From what was done in so many seconds follows how long the rest takes.
_PACE_SECONDS = 15.0


class Step:
    """One long step. `update` may be called as often as the work likes."""

    def __init__(
        self,
        what: str,
        total: float | None,
        show: Callable[[Step, str], None],
        clock: Callable[[], float],
    ) -> None:
        self._what = what
        self._total = total
        self._show = show
        self._clock = clock
        self._began = clock()
        self._done = 0.0
        # (when, how much was done): the last of them that are older than _PACE_SECONDS, and since.
        self._marks = deque([(self._began, 0.0)])

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return self._clock() - self._began

    def update(self, done: float, *, total: float | None = None, note: str = "") -> None:
        """Say that `done` of `total` units are done; `note` is what is being worked on."""
        self._done = done
        now = self._clock()
        self._marks.append((now, done))
        while len(self._marks) > 1 and now - self._marks[1][0] >= _PACE_SECONDS:
            self._marks.popleft()
        if total is not None:
            self._total = total
        self._show(self, self._line(note))

    def _line(self, note: str) -> str:
        words = [self._what]
        if self._total:
            share = min(1.0, self._done / self._total)
            words.append(f"{share:4.0%}")
            (then, before), (now, done) = self._marks[0], self._marks[-1]
            # What was done long ago says little of what takes time now.
            if 0.02 < share < 1.0 and done > before:
                left = (self._total - done) * (now - then) / (done - before)
                words.append(f"about {duration(left)} left")
        words.append(f"[{duration(self.elapsed)}]")
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._guard = guard
        self._prefix = f"[{prefix}] " if prefix else ""
        self._width = 0
        # The steps under way, with what each shows, and when that was last printed.
        self._steps: dict[Step, str] = {}
        self._last: dict[Step | None, float] = {}
        # Once lent, only this thread writes; what others want written waits for it.
        self._writer: int | None = None
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def lend(self) -> None:
        """From now on other threads show their progress too: through this one, in `relay`."""
        self._writer = threading.get_ident()

    def relay(self, done: Callable[[], bool]) -> None:
        """Show what other threads have to show until `done()`; they call `wake` when that may have
        changed."""
        while not done():
            self._waiting.get()()
        self._catch_up()

    def _catch_up(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()()

    def wake(self) -> None:
        """Have `relay` look whether it is done."""
        self._waiting.put(lambda: None)

    @property
    def _out(self) -> TextIO:
        return self._stream if self._stream is not None else sys.stderr

    def say(self, text: str) -> None:
        """Print one whole line."""
        self._write(lambda: self._say(text))

    def _say(self, text: str) -> None:
        with self._guard():
            self._erase()
            print(self._prefix + text, file=self._out, flush=True)

    @contextmanager
    def step(self, what: str, *, total: float | None = None) -> Iterator[Step]:
        """A long step; its begin, course and end are shown."""
        step = Step(what, total, self._show, self._clock)
        self._show(step, f"{what} …")
        try:
            yield step
        except BaseException:
            self._end(step, f"{what}: stopped after {duration(step.elapsed)}")
            raise
        self._end(step, f"{what}: done in {duration(step.elapsed)}")

    def _end(self, step: Step, text: str) -> None:
        def end() -> None:
            self._steps.pop(step, None)
            self._last.pop(step, None)
            self._say(text)

        self._write(end)

    def _write(self, action: Callable[[], None]) -> None:
        if self._writer in (None, threading.get_ident()):
            self._catch_up()
            action()
        else:
            self._waiting.put(action)

    def _show(self, step: Step, line: str) -> None:
        self._write(lambda: self._draw(step, line))

    def _draw(self, step: Step, line: str) -> None:
        first = step not in self._steps
        self._steps[step] = line
        with self._guard():
            out = self._out
            live = out.isatty() and not self._prefix
            # One line is drawn for all steps; plain ones are printed for each.
            whose = None if live else step
            now = self._clock()
            pause = _LIVE_SECONDS if live else _PLAIN_SECONDS
            if not first and now - self._last.get(whose, 0.0) < pause:
                return
            self._last[whose] = now
            if not live:
                print(self._prefix + line, file=out, flush=True)
                return
            self._erase()
            # A line that wraps could not be wiped again.
            shown = "  |  ".join(self._steps.values())[: _columns(out) - 1]
            out.write(shown)
            out.flush()
            self._width = len(shown)

    def _erase(self) -> None:
        if self._width:
            self._out.write("\r" + " " * self._width + "\r")
            self._width = 0


class _Silent(Progress):
    def _say(self, text: str) -> None:
        pass

    def _draw(self, step: Step, line: str) -> None:
        pass


def silent() -> Progress:
    """Progress without output, for tests."""
    return _Silent()


def _columns(out: TextIO) -> int:
    """Width of a terminal; one that does not say has the usual 80."""
    try:
        return os.get_terminal_size(out.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
