"""A shell on the console, driven by pexpect: a real sh on a terminal in the place of a guest's."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pexpect
import pytest

from errpath.errors import InfrastructureError, UsageError
from errpath.guest.console import Console
from errpath.guest.console_session import PROMPT, ConsoleSession


def _pump(source: int, target: int) -> None:
    with suppress(OSError):
        while data := os.read(source, 4096):
            os.write(target, data)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[ConsoleSession]:
    """Over a console whose other end is an interactive shell."""
    host, guest = socket.socketpair()
    ours, theirs = pty.openpty()
    programs = tmp_path / "bin"
    programs.mkdir()
    # Of busybox only its stty is called.
    (programs / "busybox").write_text('#!/bin/sh\nexec "$@"\n')
    (programs / "busybox").chmod(0o755)
    shell = subprocess.Popen(
        ["sh", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "PS1": PROMPT.decode()},
        start_new_session=True,
    )
    os.close(theirs)
    console = Console(host, tmp_path / "console.log")

    def printed() -> None:
        _pump(ours, guest.fileno())
        # The shell has ended, and with it the guest.
        guest.shutdown(socket.SHUT_RDWR)

    threads = [threading.Thread(target=printed)]
    threads.append(threading.Thread(target=_pump, args=(guest.fileno(), ours)))
    for thread in threads:
        thread.start()
    yield ConsoleSession(console)
    shell.kill()
    shell.wait()
    for thread in threads:
        thread.join()
    console.close()
    guest.close()
    os.close(ours)


@pytest.mark.parametrize(
    ("command", "status", "output"),
    [
        ("true", 0, b""),
        ("echo one; echo two", 0, b"one\ntwo\n"),
        ("printf 'no end'; (exit 7)", 7, b"no end"),
        ("for n in 1 2 3\ndo echo $n\ndone", 0, b"1\n2\n3\n"),
        ("echo 'errpath# errpath-status $?'", 0, b"errpath# errpath-status $?\n"),
    ],
)
def test_a_command(session: ConsoleSession, command: str, status: int, output: bytes) -> None:
    assert session.run(command) == (status, output)


def test_a_guest_that_ends(session: ConsoleSession) -> None:
    with pytest.raises(InfrastructureError, match=r"console has ended before 'exit 3' was done"):
        session.run("exit 3")


def test_a_line_that_no_terminal_takes(session: ConsoleSession) -> None:
    with pytest.raises(UsageError, match=r"-c: expected lines of at most 4000 bytes"):
        session.run("echo " + "x" * 4000)


def test_silence_is_a_timeout(tmp_path: Path) -> None:
    host, guest = socket.socketpair()
    console = Console(host, tmp_path / "console.log")
    session = ConsoleSession(console)
    guest.sendall(b"login")
    with pytest.raises(pexpect.TIMEOUT):
        session.expect_exact([b"login:"], timeout=0.05)
    guest.sendall(b": ")
    session.expect_exact([b"login: "], timeout=10)
    guest.close()
    with pytest.raises(pexpect.EOF):
        session.expect_exact([b"more"], timeout=10)
    console.close()
