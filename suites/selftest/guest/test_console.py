"""The console: every byte logged, every line seen, nothing left open."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from errpath.guest.console import Console
from errpath.util.deadline import Deadline


@dataclass
class _Serial:
    """The guest's end."""

    console: Console
    guest: socket.socket
    log: Path

    def say(self, data: bytes) -> None:
        self.guest.sendall(data)

    def end(self) -> None:
        self.guest.close()
        assert self.console.wait_end(_soon())


def _soon() -> Deadline:
    return Deadline.after(10, "the console")


@pytest.fixture
def serial(tmp_path: Path) -> Iterator[_Serial]:
    host, guest = socket.socketpair()
    console = Console(host, tmp_path / "console.log")
    yield _Serial(console, guest, tmp_path / "console.log")
    guest.close()
    console.close()


def test_the_log_is_whole_from_the_first_byte(serial: _Serial) -> None:
    said = b"\x00\xff\x1b[0mSeaBIOS\rone\r\ntwo\nthree\r\n\r\n" + bytes(range(256)) + b"no end"
    for at in range(0, len(said), 7):
        serial.say(said[at : at + 7])
    serial.end()
    assert serial.console.raw() == said
    assert serial.log.read_bytes() == said


def test_lines(serial: _Serial) -> None:
    serial.say(b"one\r\ntw")
    serial.say(b"o\r")
    serial.say(b"\nthr\xc3")
    serial.say(b"\xa9e\xff\n\r\nlast")
    serial.end()
    assert serial.console.text == "one\ntwo\nthrée\ufffd\n\nlast"
    assert serial.console.last_line == "last"
    assert serial.console.ended


def test_a_console_that_said_nothing(serial: _Serial) -> None:
    assert not serial.console.ended
    serial.end()
    assert serial.console.text == ""
    assert serial.console.last_line == "nothing was printed"
    assert serial.console.crashes() == ()


def test_crashes_are_seen_as_they_come(serial: _Serial) -> None:
    serial.say(b"[    1.000000] WARNING: fs/super.c:638 at f+0x1/0x2\r\nready\r\n")
    assert serial.console.wait("ready", _soon())
    assert [crash.kind for crash in serial.console.crashes()] == ["warning"]
    serial.say(b"[    2.000000] ---[ end trace 0000000000000000 ]---\r\n")
    serial.say(b"[    2.000000] Kernel panic - not syncing: VFS\r\n")
    serial.end()
    assert [crash.kind for crash in serial.console.crashes()] == ["warning", "panic"]


def test_the_last_words_need_no_newline(serial: _Serial) -> None:
    serial.say(b"Kernel panic - not syncing: cut o")
    serial.end()
    assert [crash.title for crash in serial.console.crashes()] == [
        "Kernel panic - not syncing: cut o"
    ]


def test_wait_finds_what_was_said_before_and_after(serial: _Serial) -> None:
    serial.say(b"Linux version 7.2\r\n")
    found = serial.console.wait(r"version (\S+)", _soon())
    assert found is not None
    assert found[1] == "7.2"
    timer = threading.Timer(0.05, lambda: serial.say(b"agent ready\r\n"))
    timer.start()
    assert serial.console.wait("ready", _soon()) is not None
    timer.join()


def test_wait_gives_up_in_time_and_at_the_end(serial: _Serial) -> None:
    assert serial.console.wait("never", Deadline.after(0.05, "never")) is None
    assert not serial.console.wait_end(Deadline.after(0.05, "the end"))
    serial.end()
    assert serial.console.wait("never", _soon()) is None


def test_typing_reaches_the_guest(serial: _Serial) -> None:
    serial.console.send(b"ls\n")
    assert serial.guest.recv(16) == b"ls\n"


def test_whoever_selects_is_woken(serial: _Serial) -> None:
    console = serial.console
    serial.say(b"x")
    assert select.select([console.wakeup], [], [], 10)[0]
    console.drain_wakeup()
    assert console.raw() == b"x"
    # A flood does not block the console's own thread on a full pipe.
    serial.say(b"y" * 300_000)
    serial.end()
    assert len(console.raw()) == 300_001
    assert select.select([console.wakeup], [], [], 10)[0]


def test_close_lets_go_of_everything(tmp_path: Path) -> None:
    def held() -> set[str]:
        # Open files by what they are, but for the listing's own.
        found = (f"/proc/self/fd/{fd.name}" for fd in Path("/proc/self/fd").iterdir())
        return {str(Path(fd).readlink()) for fd in found if Path(fd).is_symlink()}

    before = held()
    threads = threading.active_count()
    host, guest = socket.socketpair()
    console = Console(host, tmp_path / "console.log")
    # The guest is still there and silent: the reading thread must be woken, not waited for.
    console.close()
    guest.close()
    assert threading.active_count() == threads
    assert held() == before
    # Closing again closes nobody else's descriptors.
    console.close()


def test_a_full_disk_does_not_stop_the_watch() -> None:
    """The log is lost; the guest is not made to wait, and what it says is still seen."""
    host, guest = socket.socketpair()
    console = Console(host, Path("/dev/full"))
    guest.sendall(b"one\r\n" * 10_000 + b"Kernel panic - not syncing: x\r\n")
    assert console.wait("panic", _soon()) is not None
    assert not console.ended
    assert console.crashes()
    guest.close()
    assert console.wait_end(_soon())
    console.close()
