"""Work ahead in threads: waited for task by task, shown by the thread that waits."""

from __future__ import annotations

import io
import os
import threading

import pytest

from errpath.util.background import Background, processors
from errpath.util.progress import Progress, silent


def test_as_many_tasks_as_jobs_run_at_once() -> None:
    # Neither ends before both have begun: one thread would never come to an end.
    both = threading.Barrier(2, timeout=20)

    def work(task: str) -> None:
        both.wait()

    background = Background(["a", "b"], work, jobs=2, progress=silent())
    for task in ("a", "b"):
        background.wait(task)
    background.stop()


def test_one_job_keeps_the_order() -> None:
    done: list[int] = []
    background = Background(range(5), done.append, jobs=1, progress=silent())
    background.wait(4)
    assert done == list(range(5))
    assert 3 in background
    assert 5 not in background


def test_a_task_that_fails_costs_only_itself() -> None:
    def work(task: str) -> None:
        if task == "bad":
            raise OSError("no room")

    background = Background(["bad", "good"], work, jobs=1, progress=silent())
    background.wait("good")
    for _ in range(2):
        with pytest.raises(OSError, match="no room"):
            background.wait("bad")


def test_nothing_begins_after_the_stop() -> None:
    begun: list[str] = []
    first, go_on = threading.Event(), threading.Event()

    def work(task: str) -> None:
        begun.append(task)
        first.set()
        assert go_on.wait(20)

    background = Background(["first", "second"], work, jobs=1, progress=silent())
    assert first.wait(20)
    # The thread is within its first task, and is let out of it only while `stop` waits for it.
    threading.Timer(0.05, go_on.set).start()
    background.stop()
    assert begun == ["first"]


def test_only_the_waiting_thread_writes() -> None:
    writers: set[int] = set()

    class Watched(io.StringIO):
        def write(self, text: str) -> int:
            writers.add(threading.get_ident())
            return super().write(text)

    out = Watched()
    progress = Progress(out)

    def work(task: str) -> None:
        with progress.step(f"{task} cases", total=2) as step:
            step.update(1, note="half")
        progress.say(f"{task} said")

    background = Background(["three", "four"], work, jobs=2, progress=progress)
    for task in ("three", "four"):
        background.wait(task)
    assert writers == {threading.get_ident()}
    lines = out.getvalue().splitlines()
    for task in ("three", "four"):
        assert [line for line in lines if line.startswith(task)][:1] == [f"{task} cases …"]
        assert f"{task} said" in lines


def test_processors_that_are_not_ours_are_not_counted() -> None:
    ours = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(ours)})
        assert processors() == 1
    finally:
        os.sched_setaffinity(0, ours)
