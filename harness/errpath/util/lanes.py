"""Work done ahead, a few pieces at a time, in threads; who wants a piece waits for just that one.

A guest keeps one processor busy, and a slow leak check none: with as many lanes as processors, one
process uses all of them. Threads do for that, because the work is QEMU's. What lanes have to show
goes through the thread that waits for them (`Progress.lend`), since pytest's capture belongs to it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from errpath.util.progress import Progress

__all__ = ["Lanes", "processors"]

Piece = TypeVar("Piece", bound=Hashable)

# Seconds that a piece which was told to stop may take to do so.
_STOP_SECONDS = 10.0


class Lanes(Generic[Piece]):
    """Runs pieces of work in the order in which they were given."""

    def __init__(
        self,
        pieces: Iterable[Piece],
        work: Callable[[Piece], None],
        *,
        count: int,
        progress: Progress,
    ) -> None:
        """`work` does one piece, in any thread; `count` is how many are done at once."""
        self._waiting = deque(pieces)
        self._work = work
        self._progress = progress
        self._lock = threading.Lock()
        # What has ended, with the error that ended it.
        self._ended: dict[Piece, BaseException | None] = {}
        self._known = frozenset(self._waiting)
        progress.lend()
        self._threads = [
            threading.Thread(target=self._run, name=f"lane-{number}", daemon=True)
            for number in range(min(count, len(self._waiting)))
        ]
        for thread in self._threads:
            thread.start()

    def __contains__(self, piece: Piece) -> bool:
        return piece in self._known

    def wait(self, piece: Piece) -> None:
        """Wait until `piece` is done; shows meanwhile what the lanes have to show.

        Raises:
            BaseException: what `work` raised for it.
        """
        self._progress.relay(lambda: piece in self._ended)
        error = self._ended[piece]
        if error is not None:
            raise error

    def stop(self) -> None:
        """Begin no further piece, and wait for those that are under way: whoever calls this has
        seen to it that they end."""
        with self._lock:
            self._waiting.clear()
        for thread in self._threads:
            thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                piece = self._waiting.popleft()
            error: BaseException | None = None
            try:
                self._work(piece)
            except BaseException as raised:
                error = raised
            self._ended[piece] = error
            self._progress.wake()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
