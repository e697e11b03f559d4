"""The reading of a run on a broken kernel: when it was red first, and what it counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from errpath.analysis.broken import BROKEN, broken_table, read_run
from errpath.util.resources import GUESTS

_PATH = b"suites/hfs/test_mount.py::test_mount"
# (seconds until the line, line)
_RUN: tuple[tuple[float, bytes | int], ...] = (
    (2.0, b"collected 2 items\n"),
    (5.0, _PATH + b"[FAILED-in-name] PASSED [ 50%]\n"),
    (7.5, _PATH + b"[hfs-a] FAILED [100%]\n"),
    (8.0, _PATH + b"[hfs-b] FAILED [100%]\n"),
    (9.0, b"====== 2 failed, 1 passed, 1 error in 9.00s ======\n"),
    (9.5, 1),
)


def _clocked(run: tuple[tuple[float, bytes | int], ...], now: list[float]) -> Iterator[bytes | int]:
    for seconds, line in run:
        now[0] = seconds
        yield line


def test_the_first_failure_and_the_counts() -> None:
    now = [0.0]
    found = read_run("every mount hangs", _clocked(_RUN, now), lambda: now[0])
    assert (found.first, found.whole, found.status) == (7.5, 9.5, 1)
    assert found.outcomes == {"failed": 2, "passed": 1, "error": 1}
    assert "7.5 s" in broken_table([found])
    assert "2 failed, 1 passed, 1 error" in broken_table([found])


def test_a_session_that_ends_for_its_kernel_is_red() -> None:
    now = [0.0]
    ended = ((4.0, b"!!! _pytest.outcomes.Exit: kernel panicked while it booted !!!\n"), (4.5, 125))
    found = read_run("does not boot", _clocked(ended, now), lambda: now[0])
    assert (found.first, found.status) == (4.0, 125)
    assert "exit status 125" in broken_table([found])


def test_a_green_run_was_never_red() -> None:
    now = [0.0]
    green = ((3.0, b"====== 3 passed in 3.00s ======\n"), (3.5, 0))
    found = read_run("sound", _clocked(green, now), lambda: now[0])
    assert found.first is None
    assert " none " in broken_table([found])


def test_patches_of_broken_kernels_are_there() -> None:
    paths = [Path(words[1]) for words in BROKEN.values() if words[0] == "--patch"]
    assert len(paths) == 3
    for path in paths:
        assert path.parent == GUESTS / "patches"
        assert "a/fs/hfs/super.c" in path.read_text()
