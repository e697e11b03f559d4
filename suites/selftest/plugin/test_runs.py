"""Whole runs, as a user starts them: green, red, in parallel, interrupted, killed."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from errpath.filesystems import load_filesystem
from errpath.runner.known_issue_files import load_known_issues
from errpath.util.deadline import Deadline
from suites.hfs import test_mount
from suites.selftest.interrupts import interruptible
from suites.selftest.paths import ROOT

pytestmark = pytest.mark.qemu

PATCH = "guests/patches/hfs-kill-sb-leak.patch"
# The points at which the superblock owns s_fs_info and neither put_super nor an error path of
# fill_super runs: what the old bug loses.
LEAKING_POINTS = {
    "setup_bdev_super",
    "readonly_device",
    "held_device",
    "no_driver",
    *(load_filesystem(name).fill_super for name in ("hfs", "hfsplus")),
}


def pytest_argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]


def run(argv: list[str], *, seconds: float = 600.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )


def outcomes(junit: Path) -> dict[str, str]:
    """Status of each case by id, from pytest's own JUnit file."""
    found = {}
    for case in ET.parse(junit).iter("testcase"):
        name = case.attrib["name"].partition("[")[2].rstrip("]")
        children = {child.tag for child in case}
        assert children <= {"failure", "error", "skipped", "properties", "system-out"}, children
        found[name] = next(iter(children & {"failure", "error", "skipped"}), "passed")
    return found


def test_old_bug_is_red_in_exactly_the_cases_that_it_breaks(tmp_path: Path) -> None:
    junit, artefacts = tmp_path / "junit.xml", tmp_path / "artefacts"
    done = run(
        pytest_argv(
            "suites/hfs/test_mount.py",
            *("-q", "--patch", PATCH, f"--junitxml={junit}", f"--artefacts={artefacts}"),
        )
    )
    assert done.returncode == 1, done.stderr
    known = load_known_issues(ROOT / "suites" / "known-issues.yaml").issues
    expected = {
        case.id: "failure"
        if case.point in LEAKING_POINTS
        else "skipped"  # as JUnit has expected failures
        if any(fnmatchcase(case.id, name) for issue in known for name in issue.cases)
        else "passed"
        for case in test_mount.CASES
    }
    got = {name: status for name, status in outcomes(junit).items() if name in expected}
    assert got == expected

    (report,) = artefacts.glob("*/*/hfs-setup_bdev_super-EIO-fsopen-rw/report.txt")
    text = report.read_text()
    for part in (
        "hfs-setup_bdev_super-EIO-fsopen-rw: FAIL",
        "confirmed 2 of 2",
        "forced     setup_bdev_super = -EIO (fired 1 times)",
        "unreferenced object 0x",
        "include/linux/slab.h:",
        "[inline]",
        "hfs_init_fs_context",
        "fs/hfs/super.c:",
        "given up   fc->s_fs_info, in sget_fc (fs/super.c:",
        "teardown   deactivate_locked_super -> kill_block_super",
        "look at    kill_sb of hfs",
        f"artefacts  {report.parent}",
    ):
        assert part in text, part
    assert {path.name for path in report.parent.iterdir()} >= {
        "console.log",
        "host.log",
        "image.img",
        "kmemleak.decoded",
        "kmemleak.raw",
        "outcome.json",
        "plan.json",
        "qemu.argv",
        "report.txt",
    }
    # The command that the report gives runs that case, and it is red again.
    (line,) = [line for line in text.splitlines() if line.startswith("  rerun ")]
    words = shlex.split(line)[1:]
    assert words[0] == "errpath"
    rerun = [sys.executable, "-m", "errpath.cli.main", *words[1:], f"--artefacts={artefacts}"]
    again = run(rerun)
    assert again.returncode == 1, again.stderr
    assert "1 failed" in again.stdout
    assert "memory leak in " in again.stdout


def test_two_workers_give_the_same_as_one(tmp_path: Path) -> None:
    chosen = "context or remount"
    words = ["suites/hfs/test_mount.py", "-q", "-m", chosen, f"--artefacts={tmp_path}"]
    found = []
    for number, more in enumerate(([], ["-n", "2"])):
        junit = tmp_path / f"{number}.xml"
        done = run(pytest_argv(*words, *more, f"--junitxml={junit}"))
        assert done.returncode == 0, done.stdout
        found.append(outcomes(junit))
    assert found[0] == found[1]
    wanted = {case.id for case in test_mount.CASES if case.point in ("context", "remount")}
    assert set(found[0]) == wanted != set()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], int]]]:
    """Starts a run and waits until its guest's QEMU is there; gives both."""
    runs: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], int]:
        (tmp_path / "tmp").mkdir()
        child = subprocess.Popen(
            pytest_argv("suites/hfs/test_mount.py", "-q", f"--artefacts={tmp_path / 'artefacts'}"),
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=interruptible,
        )
        runs.append(child)
        deadline = Deadline.after(120, "QEMU to start")
        while not (found := qemu_children(child.pid)):
            assert child.poll() is None, child.communicate()[0]
            assert not deadline.expired, str(deadline)
            # /proc has no event for a grandchild's exec.
            time.sleep(0.05)
        return child, found[0]

    yield start
    for child in runs:
        child.kill()
        child.communicate()


def qemu_children(pid: int) -> list[int]:
    """Children of a process that run QEMU."""
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += [int(word) for word in (task / "children").read_text().split()]
    return [child for child in children if "qemu-system" in command(child)]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except FileNotFoundError:
        return ""


def wait_end(pid: int, seconds: float) -> bool:
    """Whether the process ends in time; it need not be a child of ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(
    started: Callable[[], tuple[subprocess.Popen[str], int]],
    ending: signal.Signals,
    tmp_path: Path,
) -> None:
    child, qemu = started()
    os.kill(child.pid, ending)
    output, _ = child.communicate(timeout=60)
    assert wait_end(qemu, 10), "QEMU outlived the run"
    assert list((tmp_path / "tmp").iterdir()) == []
    assert "Traceback" not in output
    if ending is signal.SIGINT:
        assert "KeyboardInterrupt" in output
