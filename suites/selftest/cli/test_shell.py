"""`errpath shell`: typed at, as a person would."""

from __future__ import annotations

import socket
import subprocess
import sys

import pexpect
import pytest

from errpath.errors import InfrastructureError
from suites.selftest.paths import ROOT

pytestmark = pytest.mark.qemu


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_an_interactive_guest_with_gdb() -> None:
    port = free_port()
    argv = ["-m", "errpath.cli", "shell", "--fs", "hfs", "--gdb", str(port)]
    shell = pexpect.spawn(sys.executable, argv, cwd=str(ROOT), timeout=120, encoding="utf-8")
    try:
        shell.expect(r"kernel +debian:7\.2 \(7\.2\.\d+-\S+\)")
        shell.expect(f"target remote :{port}")
        # The prompt of the guest's own shell; what is typed is echoed by it.
        shell.expect("errpath# ")
        shell.sendline("grep -c '^hfs ' /proc/modules")
        shell.expect(r"\n1\r")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as stub:
            # "Why did you stop?": the remote serial protocol answers with a stop reply packet.
            stub.sendall(b"$?#3f")
            answer = b""
            while b"#" not in answer:
                answer += stub.recv(64)
            assert b"$T" in answer
        shell.send("\x1d")
        shell.expect(pexpect.EOF)
        shell.wait()
        assert shell.exitstatus == 0
    finally:
        shell.close(force=True)


def test_a_command_instead_of_a_terminal() -> None:
    argv = [
        "shell",
        "--fs",
        "hfs",
        "-c",
        "echo one; echo 'two # words'\n\ngrep -c '^hfs ' /proc/modules; (exit 7)",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "errpath.cli", *argv],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 7, done.stdout + done.stderr
    assert done.stdout == "one\ntwo # words\n1\n"


def test_a_guest_that_ends_before_the_command() -> None:
    argv = [sys.executable, "-m", "errpath.cli", "shell", "-c", "reboot -f"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == InfrastructureError.exit_status, done.stdout + done.stderr
    assert "shell: the console has ended before 'reboot -f' was done" in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_words_are_one_line() -> None:
    argv = [
        "-m",
        "errpath.cli",
        "shell",
        "--kernel",
        "a=debian:7.2",
        "--kernel",
        "b=debian:7.2",
    ]
    done = subprocess.run(
        [sys.executable, *argv], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("", "errpath: shell: expected one --kernel\n")
    assert done.returncode == 2
