"""Work done ahead in threads; a result is waited for by itself.

A guest keeps one processor busy, and a slow leak check none: with as many threads as processors,
one process uses all of them. Threads do for that, because the work is QEMU's. What they have to
show goes through the thread that waits for them (`Progress.lend`), since pytest's capture belongs
to it.
"""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from errpath.util.progress import Progress

__all__ = ["Background", "processors"]

Task = TypeVar("Task", bound=Hashable)

# Seconds that work may take to stop.
_STOP_SECONDS = 10.0


class Background(Generic[Task]):
    """Does tasks in the order in which they were given."""

    def __init__(
        self,
        tasks: Iterable[Task],
        work: Callable[[Task], None],
        *,
        jobs: int,
        progress: Progress,
    ) -> None:
        """`work` does one task, in any thread; `jobs` is how many are done at once."""
        self._progress = progress
        progress.lend()
        self._pool = concurrent.futures.ThreadPoolExecutor(jobs, thread_name_prefix="background")
        self._futures: dict[Task, concurrent.futures.Future[None]] = {}
        for task in tasks:
            future = self._pool.submit(work, task)
            future.add_done_callback(lambda _: progress.wake())
            self._futures[task] = future

    def __contains__(self, task: Task) -> bool:
        return task in self._futures

    def wait(self, task: Task, until: Callable[[], bool] = lambda: False) -> None:
        """Wait until `task` is done, or `until` holds, which may be whenever the progress is woken;
        shows meanwhile what the threads have to show.

        Raises:
            BaseException: what `work` raised for it.
        """
        future = self._futures[task]
        self._progress.relay(lambda: until() or future.done())
        if not until():
            future.result()

    def stop(self) -> None:
        """Begin no further task, and wait for those that are under way: the caller has seen to it
        that they end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        concurrent.futures.wait(self._futures.values(), timeout=_STOP_SECONDS)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
