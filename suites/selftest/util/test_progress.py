"""Progress: a live line on a terminal, whole lines elsewhere."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import struct
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from errpath.util.progress import Progress, silent


class _Time:
    """The clock of a test: it moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Time:
    return _Time()


@contextlib.contextmanager
def _terminal(columns: int) -> Iterator[tuple[TextIO, int]]:
    """A terminal of a given width: the side to print to, and the side to read."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    stream = os.fdopen(slave, "w")
    try:
        yield stream, master
    finally:
        stream.close()
        os.close(master)


def _printed(stream: TextIO, master: int) -> str:
    """Everything up to the end: a terminal hands it out in pieces."""
    stream.close()
    data = b""
    with contextlib.suppress(OSError):
        while piece := os.read(master, 1 << 16):
            data += piece
    return data.decode()


def test_plain_lines_are_few(clock: _Time) -> None:
    out = io.StringIO()
    with Progress(out, clock=clock).step("building", total=100) as step:
        for done in range(1, 101):
            clock.now += 0.5
            step.update(done, note=f"file{done}.o")
    lines = out.getvalue().splitlines()
    assert lines[0] == "building …"
    assert lines[-1] == "building: done in 50 s"
    # 50 seconds, one line in ten, beside the first and the last.
    assert len(lines) == 7
    assert lines[2] == "building   40%  about 30 s left  [20 s]  file40.o"
    assert "\r" not in out.getvalue()


def test_a_failed_step_says_so(clock: _Time) -> None:
    out = io.StringIO()

    def work() -> None:
        with Progress(out, clock=clock).step("building"):
            clock.now += 75
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert out.getvalue().splitlines()[-1] == "building: stopped after 1 min 15 s"


def test_a_prefix_makes_lines_plain_on_a_terminal_too(clock: _Time) -> None:
    with _terminal(80) as (stream, master):
        with Progress(stream, prefix="gw1", clock=clock).step("building", total=2) as step:
            clock.now += 1
            step.update(1)
        text = _printed(stream, master)
    assert text.splitlines() == ["[gw1] building …", "[gw1] building: done in 1.0 s"]


def test_a_terminal_gets_one_line_that_is_redrawn(clock: _Time) -> None:
    with _terminal(200) as (stream, master):
        with Progress(stream, clock=clock).step("building", total=4) as step:
            clock.now += 1
            step.update(1, note="one.o")
            clock.now += 0.01
            step.update(2, note="too-soon.o")
            clock.now += 1
            step.update(3, note="three.o")
        text = _printed(stream, master)
    assert text.count("\n") == 1
    assert text.endswith("building: done in 2.0 s\r\n")
    assert "one.o" in text
    assert "three.o" in text
    assert "too-soon.o" not in text
    # Each state is wiped before the next is drawn.
    assert text.count("\r") - text.count("\r\n") == 2 * 3


@pytest.mark.parametrize("columns", [20, 80, 300])
def test_a_live_line_never_wraps(clock: _Time, columns: int) -> None:
    """A line that wraps cannot be wiped with a carriage return."""
    with _terminal(columns) as (stream, master):
        with Progress(stream, clock=clock).step("w" * 400, total=1):
            pass
        text = _printed(stream, master)
    live = text.split("\r")[0]
    assert 10 < len(live) < columns


def test_every_write_is_guarded() -> None:
    depth = []

    @contextlib.contextmanager
    def guard() -> Iterator[None]:
        depth.append(1)
        yield
        depth.append(-1)

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            assert sum(depth) == 1
            return super().write(text)

    stream = Stream()
    with Progress(stream, guard=guard).step("x"):
        pass
    assert stream.getvalue() == "x …\nx: done in 0.0 s\n"


def test_silent_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    quiet = silent()
    quiet.say("x")
    with quiet.step("y", total=1) as step:
        step.update(1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (10.4, "10 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s")],
)
def test_durations_read_well(clock: _Time, seconds: float, words: str) -> None:
    out = io.StringIO()
    with Progress(out, clock=clock).step("x"):
        clock.now += seconds
    assert out.getvalue().splitlines()[-1] == f"x: done in {words}"
