"""Units as real processes: commands, and that nothing outlives them or us."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from errpath.nightly.job import load_job
from errpath.nightly.launch import ProcessLauncher, _Process, unit_argv
from errpath.nightly.machine import available_mib
from errpath.nightly.plan import Limits, confirm_unit, plan
from errpath.util.resources import ROOT

_JOB = """
name: hfs
kernels:
  - {name: next, kernel: "debian:7.2", patches: [fix.patch], append: ["a b"]}
suites: [suites/hfs]
filesystems: [hfs]
parts: 2
workers: 2
keyword: remount
conservation: true
directory: pages
"""
# A unit that starts something which does not care for signals, and says who that is.
_STUBBORN = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(1000)"])
print(child.pid, flush=True)
time.sleep(1000)
"""


def _launcher(tmp_path: Path, script: str) -> tuple[ProcessLauncher, Path]:
    """One that runs a script of ours instead of pytest."""
    (tmp_path / "fix.patch").write_text("x")
    path = tmp_path / "job.yaml"
    path.write_text(_JOB)
    job = load_job(path)
    return ProcessLauncher(job, tmp_path / "run", tmp_path / "d.json", lambda _: script), path


def test_commands(tmp_path: Path) -> None:
    _, path = _launcher(tmp_path, "")
    job = load_job(path)
    kernel, first, second = plan(job, Limits(4, 8000), {"microvm": 256})
    words = unit_argv(job, kernel, "debian:7.2", tmp_path, tmp_path / "d.json")
    assert words[1:3] == ["-m", "errpath.nightly.kernel_step"]
    assert words[words.index("--patch") + 1] == str(tmp_path / "fix.patch")
    assert words[words.index("--append") + 1] == "a b"
    words = unit_argv(job, second, "debian:7.2", tmp_path, tmp_path / "d.json")
    assert words[words.index("--kernel") + 1] == "next=debian:7.2"
    assert words[words.index("--shard") + 1] == "2/2"
    assert words[words.index("--durations-from") + 1] == str(tmp_path / "d.json")
    assert words[words.index("-k") + 1] == "remount"
    assert words[words.index("-n") + 1] == "2"
    assert "--resource-leaks" in words
    again = confirm_unit(first, 1, ("a",))
    words = unit_argv(job, again, "debian:7.2", tmp_path, tmp_path / "d.json")
    assert words[words.index("--shard") + 1] == "none", "CI variables must not divide it"
    assert words[words.index("--cases-from") + 1] == str(tmp_path / "cases")


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while _alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_stop_ends_the_whole_group(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = _Process([sys.executable, "-c", _STUBBORN], log)
    deadline = time.monotonic() + 20
    while not log.exists() or not log.read_text().endswith("\n"):
        assert time.monotonic() < deadline, "the program has not begun"
        time.sleep(0.02)
    grandchild = int(log.read_text())
    assert _alive(grandchild)
    process.stop()
    assert _gone(grandchild)


def test_the_descriptor_tells_the_end(tmp_path: Path) -> None:
    process = _Process([sys.executable, "-c", "raise SystemExit(1)"], tmp_path / "log")
    readable, _, _ = select.select([process], [], [], 30)
    assert readable
    assert process.result() == 1


def test_units_die_with_us(tmp_path: Path) -> None:
    """kill -9 of whoever runs the night."""
    script = f"""
import sys, time
from pathlib import Path
from errpath.nightly.launch import _Process
_Process([sys.executable, "-c", "import time; time.sleep(1000)"], Path({str(tmp_path / "log")!r}))
time.sleep(1000)
"""
    us = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    try:
        children = Path(f"/proc/{us.pid}/task/{us.pid}/children")
        deadline = time.monotonic() + 30
        found: list[str] = []
        while time.monotonic() < deadline:
            # Not before it is itself: setpriv has done its work then.
            found = [
                pid
                for pid in children.read_text().split()
                if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2:3]
                == [b"import time; time.sleep(1000)"]
            ]
            if found:
                break
            time.sleep(0.05)
        assert found
    finally:
        os.kill(us.pid, signal.SIGKILL)
        us.wait()
    assert _gone(int(found[0]))


def test_memory(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4194304 kB\n")
    assert available_mib(tmp_path, tmp_path / "none") == 4096
    (tmp_path / "memory.max").write_text("2147483648\n")
    (tmp_path / "memory.current").write_text("1073741824\n")
    assert available_mib(tmp_path, tmp_path) == 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert available_mib(tmp_path, tmp_path) == 4096
