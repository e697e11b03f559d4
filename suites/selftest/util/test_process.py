"""Host programs: blame by name, nothing left running, output kept."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from pathlib import Path

import pytest

from errpath.errors import InfrastructureError, ToolMissingError
from errpath.util import process
from errpath.util.deadline import Deadline
from errpath.util.process import ProgramError

_PYTHON = sys.executable


def _ended(pid: int) -> bool:
    """Whether a process has ended, or does so in a moment: SIGKILL is not waited for."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


def test_returns_what_was_printed() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); print(sys.stdin.read())"
    done = process.run([_PYTHON, "-c", code], stdin=b"in")
    assert done.text == "out\nin\n"
    assert done.stderr == b"err\n"
    assert done.returncode == 0
    assert done.argv[0] == _PYTHON


def test_a_missing_tool_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError) as caught:
        process.run(["qemu-system-x86_64", "-version"])
    assert str(caught.value) == (
        "qemu-system-x86_64: not found on PATH (Debian package qemu-system-x86; "
        "`errpath doctor --install` installs it)"
    )


def test_a_missing_tool_without_a_package_says_only_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match=r"^errpath-nothing: not found on PATH$"):
        process.find_program("errpath-nothing")


@pytest.mark.parametrize("kind", ["absent", "directory", "text"])
def test_a_path_that_cannot_be_run_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "tool"
    if kind == "directory":
        path.mkdir()
    elif kind == "text":
        path.write_text("no program\n")
    with pytest.raises(InfrastructureError, match=rf"^{path}: .*; expected a program$"):
        process.run([path])


def test_a_missing_working_directory_is_blamed_on_itself(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=rf"^{_PYTHON}: .*{tmp_path}/none"):
        process.run([_PYTHON, "-c", ""], cwd=tmp_path / "none")


def test_a_failure_tells_status_and_last_line() -> None:
    code = "import sys; print('first\\nlast', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ProgramError, match=r"failed with status 3: last$") as caught:
        process.run([_PYTHON, "-c", code])
    assert caught.value.completed.returncode == 3
    assert caught.value.completed.stderr == b"first\nlast\n"


def test_a_failure_without_words() -> None:
    with pytest.raises(ProgramError, match="failed with status 1: it printed nothing"):
        process.run([_PYTHON, "-c", "import sys; sys.exit(1)"])


def test_a_failure_may_be_wanted() -> None:
    assert process.run([_PYTHON, "-c", "raise SystemExit(3)"], check=False).returncode == 3


def test_the_log_is_appended_to_and_named(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    log.write_text("before\n")
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(1)"
    with pytest.raises(ProgramError, match=rf"status 1; see {log}$"):
        process.run([_PYTHON, "-c", code], log=log)
    assert log.read_text() == "before\nout\nerr\n"


def test_environment_is_added() -> None:
    code = "import os; print(os.environ['ERRPATH_X'], 'PATH' in os.environ)"
    assert process.run([_PYTHON, "-c", code], env={"ERRPATH_X": "1"}).text == "1 True\n"


# The child starts a grandchild, writes both ids, and both sleep far longer than the test.
_FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
print("said this", flush=True)
time.sleep(600)
"""


def _family(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()]


def test_the_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    written = threading.Event()

    def tick() -> None:
        if pids.exists():
            written.set()

    class Clock:
        """Time is up as soon as both processes are there."""

        def __call__(self) -> float:
            return 1e9 if written.is_set() else 0.0

    deadline = Deadline.after(30, "both to sleep", clock=Clock())
    with pytest.raises(ProgramError, match=r"timed out waiting for both to sleep \(30 s\)"):
        process.run([_PYTHON, "-c", _FAMILY, str(pids)], deadline=deadline, tick=tick)
    assert all(_ended(pid) for pid in _family(pids))


def test_a_deadline_without_a_tick(tmp_path: Path) -> None:
    deadline = Deadline.after(0.2, "sleep")
    with pytest.raises(ProgramError, match="timed out") as caught:
        process.run([_PYTHON, "-c", "import time; time.sleep(600)"], deadline=deadline)
    assert caught.value.completed.returncode == -signal.SIGKILL


def test_an_interrupt_ends_the_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def tick() -> None:
        if pids.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.run([_PYTHON, "-c", _FAMILY, str(pids)], tick=tick)
    assert all(_ended(pid) for pid in _family(pids))


def test_input_may_take_longer_than_a_tick(tmp_path: Path) -> None:
    """The program is still running at the second tick, when its input was sent at the first."""
    ticks = []
    go = tmp_path / "go"

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 3:
            go.touch()

    code = (
        "import pathlib, sys, time\n"
        "while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)\n"
        "print(len(sys.stdin.buffer.read()))"
    )
    done = process.run([_PYTHON, "-c", code, str(go)], stdin=b"x" * 200_000, tick=tick)
    assert done.text == "200000\n"


def test_passed_descriptors_stay_open() -> None:
    reader, writer = os.pipe()
    try:
        code = f"import os; os.write({writer}, b'held')"
        process.run([_PYTHON, "-c", code], pass_fds=(writer,))
        assert os.read(reader, 16) == b"held"
    finally:
        os.close(reader)
        os.close(writer)
