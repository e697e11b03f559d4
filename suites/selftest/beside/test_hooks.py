"""The hooks of docs/leakcheck.md, as they stand there, over a program of given statuses.

The real runners are tried by hand: ERRPATH_RUNNERS is a directory with checkouts `xfstests`,
`blktests`, `kirk` and `linux`. With errpath-leakcheck itself: test_hooks_in_guests.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from suites.selftest.beside.hooks import hook, real_runner


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with an errpath-leakcheck that notes its words; `end` and `run` give the status
    in the file of that name. With `--ktap` it reads standard input, as a test may."""
    program = tmp_path / "bin" / "errpath-leakcheck"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/words\n'
        '[ "$1" != --ktap ] || cat > /dev/null\n'
        f'case "$1" in end | run) echo "BUG: told"; exit $(cat {tmp_path}/status) ;; esac\n'
    )
    program.chmod(0o755)
    (tmp_path / "status").write_text("0")
    return tmp_path


def _run(directory: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    path = f"{directory / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        argv,
        cwd=directory,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _words(directory: Path) -> list[str]:
    return (directory / "words").read_text().splitlines()


@pytest.mark.parametrize("status", [0, 1, 2])
def test_pytest(directory: Path, status: int) -> None:
    (directory / "conftest.py").write_text(hook("pytest"))
    (directory / "test_it.py").write_text(
        "import pytest\n\n@pytest.mark.leakcheck\ndef test_leaky(): pass\n\n"
        "def test_other(): pass\n"
    )
    (directory / "status").write_text(str(status))
    pytest_words = ("-p", "no:errpath", "--strict-markers", "-q")
    done = _run(directory, sys.executable, "-m", "pytest", *pytest_words)
    assert _words(directory) == ["begin test_leaky", "end"]
    assert done.returncode == int(status != 0)
    assert ("BUG: told" in done.stdout) == (status != 0)


def test_xfstests(directory: Path) -> None:
    """A loop as that of `check`, with the two lines that the hook takes hold of."""
    check = directory / "check"
    check.write_text(
        "run()\n{\n"
        "\tfor seqnum in a/1 a/2; do\n\t\tseqres=result; tc_status=pass\n"
        '\t\ttest_start_time="$(date)"\n'
        '\t\t_check_kmemleak || tc_status="fail"\n'
        '\t\techo "$seqnum $tc_status"\n\tdone\n}\nrun\n'
    )
    sed = hook("xfstests").rpartition("./check")[0]
    assert _run(directory, "sh", "-ec", sed).returncode == 0
    assert _run(directory, "bash", "check").stdout == "a/1 pass\na/2 pass\n"
    assert _words(directory) == ["begin a/1", "end", "begin a/2", "end"]
    (directory / "status").write_text("1")
    assert _run(directory, "bash", "check").stdout == "a/1 fail\na/2 fail\n"
    assert (directory / "result.kmemleak").read_text() == "BUG: told\n"


@pytest.mark.parametrize("status", [0, 1, 2])
def test_blktests(directory: Path, status: int) -> None:
    """In the order of its `check`: its own functions, the configuration, a test."""
    (directory / "config").write_text(hook("blktests"))
    (directory / "status").write_text(str(status))
    (directory / "results").mkdir()
    script = """
RESULTS_DIR=results TEST_NAME=one
_check_dmesg() { echo "own check of $1"; }
. ./config
$LOGGER_PROG "run blktests $TEST_NAME"
_check_dmesg marker && echo passed || echo failed
"""
    done = _run(directory, "bash", "-c", script)
    assert done.stdout == f"own check of marker\n{'failed' if status else 'passed'}\n"
    assert (directory / "results" / "one.dmesg").read_text() == "BUG: told\n"
    assert _words(directory) == ["begin run blktests one", "end"]


def test_ltp(directory: Path) -> None:
    (directory / "runtest").mkdir()
    (directory / "runtest" / "fs").write_text("# a comment\n\ngf01 growfiles -b -e 1\nrwtest\tx\n")
    sed = hook("LTP, kirk").splitlines()[0]
    assert _run(directory, "sh", "-ec", sed).returncode == 0
    assert (directory / "runtest" / "fs-leaks").read_text() == (
        "# a comment\n\ngf01 errpath-leakcheck run gf01 -- growfiles -b -e 1\n"
        "rwtest errpath-leakcheck run rwtest -- x\n"
    )


def test_kselftest(directory: Path) -> None:
    (directory / "kselftest-list.txt").write_text("fs:one\nfs:two\n")
    assert _run(directory, "sh", "-ec", hook("kselftest")).returncode == 0
    assert _words(directory) == [
        f"--ktap run fs:{name} -- ./run_kselftest.sh -t fs:{name}" for name in ("one", "two")
    ]


@pytest.mark.by_hand
def test_the_check_of_xfstests_has_both_lines(directory: Path) -> None:
    """Each `sed` of the hook changes one line of the real `check`, and it stays a script."""
    real = (real_runner("xfstests") / "check").read_text()
    check = directory / "check"
    check.write_text(real)
    sed = hook("xfstests").rpartition("./check")[0]
    assert _run(directory, "sh", "-ec", sed).returncode == 0
    new = [line for line in check.read_text().splitlines() if "errpath-leakcheck" in line]
    assert [line.split()[:2] for line in new] == [
        ["errpath-leakcheck", "begin"],
        ["errpath-leakcheck", "end"],
    ]
    assert _run(directory, "bash", "-n", "check").returncode == 0


@pytest.mark.by_hand
@pytest.mark.parametrize("status", [0, 1, 2])
def test_the_check_of_blktests(directory: Path, status: int) -> None:
    """Its meta/001 does nothing, and wants no device."""
    tree = directory / "blktests"
    shutil.copytree(real_runner("blktests"), tree, ignore=shutil.ignore_patterns(".git", "results"))
    (tree / "config").write_text(hook("blktests"))
    (directory / "status").write_text(str(status))
    done = _run(directory, "sh", "-c", "cd blktests && ./check meta/001")
    assert _words(directory) == ["begin run blktests meta/001", "end"]
    assert done.returncode == int(status != 0)
    assert ("BUG: told" in done.stdout) == (status != 0)


@pytest.mark.by_hand
@pytest.mark.parametrize("status", [0, 1, 2])
def test_kirk(directory: Path, status: int) -> None:
    kirk = real_runner("kirk") / "kirk"
    (directory / "testcases" / "bin").mkdir(parents=True)
    (directory / "runtest").mkdir()
    (directory / "runtest" / "fs").write_text("gf01 true\n")
    (directory / "status").write_text(str(status))
    sed = hook("LTP, kirk").splitlines()[0]
    run = f"{sys.executable} {kirk} --tmp-dir {directory} --run-suite fs-leaks"
    done = _run(directory, "sh", "-ec", f"export LTPROOT=$PWD; {sed}; {run}")
    assert _words(directory) == ["run gf01 -- true"]
    passed = re.search(r"Passed:\s+(\d+)", done.stdout)
    assert passed is not None, done.stdout + done.stderr
    assert int(passed[1]) == int(status == 0)


@pytest.mark.by_hand
def test_the_runner_of_kselftest(directory: Path) -> None:
    """A test that reads standard input leaves the others their turn."""
    selftests = real_runner("linux") / "tools" / "testing" / "selftests"
    shutil.copy(selftests / "run_kselftest.sh", directory)
    shutil.copytree(selftests / "kselftest", directory / "kselftest")
    tests = directory / "mine"
    tests.mkdir()
    for name in ("one", "two"):
        (tests / name).write_text("#!/bin/sh\ncat > /dev/null\n")
        (tests / name).chmod(0o755)
    (directory / "kselftest-list.txt").write_text("mine:one\nmine:two\n")
    program = directory / "bin" / "errpath-leakcheck"
    program.write_text('#!/bin/sh\nshift 4\nexec "$@"\n')
    done = _run(directory, "sh", "-ec", hook("kselftest"))
    assert re.findall(r"(?m)^ok .*: (\w+)$", done.stdout) == ["one", "two"]
