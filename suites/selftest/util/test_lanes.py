"""Lanes: work ahead in threads, waited for piece by piece, shown by the thread that waits."""

from __future__ import annotations

import io
import threading

import pytest

from errpath.util.lanes import Lanes, processors
from errpath.util.progress import Progress, silent


def test_as_many_pieces_as_lanes_run_at_once() -> None:
    # Neither ends before both have begun: one lane would never come to an end.
    both = threading.Barrier(2, timeout=20)

    def work(piece: str) -> None:
        both.wait()

    lanes = Lanes(["a", "b"], work, count=2, progress=silent())
    for piece in ("a", "b"):
        lanes.wait(piece)
    lanes.stop()


def test_one_lane_keeps_the_order() -> None:
    done: list[int] = []
    lanes = Lanes(range(5), done.append, count=1, progress=silent())
    lanes.wait(4)
    assert done == list(range(5))
    assert 3 in lanes
    assert 5 not in lanes


def test_a_piece_that_fails_costs_only_itself() -> None:
    def work(piece: str) -> None:
        if piece == "bad":
            raise OSError("no room")

    lanes = Lanes(["bad", "good"], work, count=1, progress=silent())
    lanes.wait("good")
    for _ in range(2):
        with pytest.raises(OSError, match="no room"):
            lanes.wait("bad")


def test_nothing_begins_after_the_stop() -> None:
    begun: list[str] = []
    first, go_on = threading.Event(), threading.Event()

    def work(piece: str) -> None:
        begun.append(piece)
        first.set()
        assert go_on.wait(20)

    lanes = Lanes(["first", "second"], work, count=1, progress=silent())
    assert first.wait(20)
    # The lane is within its first piece, and is let out of it only while `stop` waits for it.
    threading.Timer(0.05, go_on.set).start()
    lanes.stop()
    assert begun == ["first"]


def test_only_the_waiting_thread_writes() -> None:
    writers: set[int] = set()

    class Watched(io.StringIO):
        def write(self, text: str) -> int:
            writers.add(threading.get_ident())
            return super().write(text)

    out = Watched()
    progress = Progress(out)

    def work(piece: str) -> None:
        with progress.step(f"{piece} cases", total=2) as step:
            step.update(1, note="half")
        progress.say(f"{piece} said")

    lanes = Lanes(["three", "four"], work, count=2, progress=progress)
    for piece in ("three", "four"):
        lanes.wait(piece)
    assert writers == {threading.get_ident()}
    lines = out.getvalue().splitlines()
    for piece in ("three", "four"):
        assert [line for line in lines if line.startswith(piece)][:1] == [f"{piece} cases …"]
        assert f"{piece} said" in lines


def test_there_is_a_processor() -> None:
    assert processors() >= 1
