"""The `errpath` command: one line and a status for whatever is wrong, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from errpath.cli import doctor, main
from errpath.errors import (
    BootError,
    ErrpathError,
    InfrastructureError,
    PatchError,
    ToolMissingError,
    UsageError,
)
from suites.selftest.cli.one_command import run_command
from suites.selftest.interrupts import interruptible
from suites.selftest.paths import ROOT

_ROOT = ROOT


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv("ERRPATH_CACHE", str(path))
    return path


def _main(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The status, and the one line on standard error."""
    return main.main(words), _line(capfd)


def _failing(capfd: pytest.CaptureFixture[str], error: BaseException) -> tuple[int, str]:
    """The same of a command that ends so."""

    def fail() -> tuple[doctor.Need, ...]:
        raise error

    status = run_command(doctor.add_parser, "doctor", host=doctor.Host(fail))
    return status, _line(capfd)


def _line(capfd: pytest.CaptureFixture[str]) -> str:
    err = capfd.readouterr().err
    assert err.startswith("errpath: ")
    assert err.count("\n") == 1
    return err.removeprefix("errpath: ").rstrip("\n")


def test_an_unknown_kernel(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, line = _main(capfd, "kernel", "build", str(tmp_path / "none"))
    assert status == 2
    assert line.startswith(f"{tmp_path}/none: no such kernel (expected debian:X.Y, ")


def test_a_directory_that_is_no_kernel(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, line = _main(capfd, "shell", "--kernel", str(tmp_path))
    if "busybox" in line:
        pytest.skip("no static busybox on this host (package busybox-static)")
    assert status == 2
    assert line.startswith(f"{tmp_path}: not a kernel tree")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shell", "--patch", "none.patch"], "--patch none.patch: no such file; expected a mail"),
        (["shell", "--guest", "none"], "guest none: no file "),
        (["shell", "--append", "a 'b"], "--append a 'b: No closing quotation; expected "),
        (["shell", "--kernel", "a=x", "--kernel", "a=y"], "--kernel a=y: name 'a' is taken"),
        (["shell", "--kernel", "x", "--kernel", "y"], "shell: expected one --kernel"),
        (["kernel", "rm"], "kernel rm: expected keys"),
    ],
)
def test_bad_input(capfd: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    status, line = _main(capfd, *words)
    assert status == 2
    assert line.startswith(message)


def test_a_guest_whose_yaml_is_wrong(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("description: x\nmachine: [\n")
    status, line = _main(capfd, "shell", "--guest", str(path))
    assert status == 2
    assert line.startswith(f"{path}:3: ")
    assert line.endswith("expected valid YAML")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bogus"], "argument COMMAND: invalid choice: 'bogus' (choose from "),
        ([], "the following arguments are required: COMMAND (see `errpath --help`)"),
        (["shell", "--bogus"], "shell: --bogus: unrecognized argument (see `errpath shell "),
        (["kernel"], "kernel: the following arguments are required: ACTION (see `errpath kernel"),
        (["kernel", "list", "x"], "kernel list: x: unrecognized argument (see `errpath ker"),
        (["kernel", "build", "--jobs", "x"], "kernel build: argument --jobs: invalid int value"),
        (["shell", "--accel", "x"], "shell: argument --accel: invalid choice: 'x' (choose from "),
        # What has no meaning for a command, it does not take.
        (["shell", "--conservation"], "shell: --conservation: unrecognized argument"),
        (["shell", "--isolation=boot"], "shell: --isolation=boot: unrecognized argument"),
        (["bench", "--leak-check", "slow"], "bench: --leak-check: unrecognized argument"),
        (["coverage", "hfs", "--resource-leaks"], "coverage: --resource-leaks: unrecognized arg"),
        (["audit", "t", "--kernel", "x"], "audit: --kernel: unrecognized argument"),
        (["audit", "t", "--event", "a"], "audit: --event: unrecognized argument"),
        (["nightly", "bisect", "c", "--kernel=x"], "nightly bisect: --kernel=x: unrecognized arg"),
    ],
)
def test_unknown_words(capfd: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    status, line = _main(capfd, *words)
    assert status == 2
    assert line.startswith(message)


@pytest.mark.parametrize("words", [["bisect", "--bogus"], ["compare", "--bogus"]])
def test_wrong_words_are_no_verdict_on_a_revision(
    capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """git bisect run takes every status below 128 but 0 and 125 for a bad revision."""
    status, line = _main(capfd, *words)
    assert (status, line.partition(": ")[2][:24]) == (125, "--bogus: unrecognized ar")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("x: wrong; expected y"), 2),
        (PatchError("a.patch: fs/x.c: hunk 1"), 2),
        (BootError("kernel x: did not reach the agent"), 1),
        (InfrastructureError("disk full"), 125),
        (ToolMissingError("qemu-system-x86_64: not found on PATH"), 125),
        (ErrpathError("x"), 125),
    ],
)
def test_the_status_says_whose_fault_it_is(
    capfd: pytest.CaptureFixture[str],
    error: ErrpathError,
    status: int,
) -> None:
    assert _failing(capfd, error) == (status, str(error))


def test_an_interrupt(capfd: pytest.CaptureFixture[str]) -> None:
    assert _failing(capfd, KeyboardInterrupt()) == (130, "interrupted")


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "errpath.cli", *words]


def test_a_reader_that_has_gone() -> None:
    """`errpath --help | true`: no complaint at exit."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(
            _command("kernel", "list"), cwd=_ROOT, stdout=out, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"")


_WAIT = """
import sys, threading
from errpath.cli import doctor, main
from suites.selftest.cli.one_command import run_command
def wait():
    print("ready", flush=True)
    threading.Event().wait(60)
sys.exit(run_command(doctor.add_parser, "doctor", host=doctor.Host(wait)))
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_in_one_line(ending: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WAIT],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=interruptible,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(ending)
        _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (130, b"errpath: interrupted\n")


def test_no_qemu_is_said_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = subprocess.run(
        _command("run", "hfs-none-mount-rw", "--artefacts", str(tmp_path / "results")),
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 125
    assert done.stdout.count("qemu-system-x86_64: not found on PATH (Debian package") == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert not (cache / "builds").exists()


def test_an_unknown_case() -> None:
    done = subprocess.run(
        _command("run", "no-such-case"), cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
    assert lines == ["ERROR: --case no-such-case: no such case; expected a case's id"]
