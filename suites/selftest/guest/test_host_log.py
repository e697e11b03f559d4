"""The host's side of a guest: what is kept of every exchange, and what is shown."""

from __future__ import annotations

import logging
import shutil
import socket
import threading
from pathlib import Path

import pytest

from errpath.errors import InfrastructureError
from errpath.guest.channel import SocketChannel
from errpath.guest.definition import load_guest
from errpath.guest.host_log import AGENT, QMP, HostLog
from errpath.guest.qemu import QEMU
from errpath.guest.qmp import Qmp
from errpath.guest.start import boot
from errpath.util.deadline import Deadline
from suites.selftest.guest.test_channel import _frame, _take
from suites.selftest.runner.fakes import FakeMonitor


def _soon() -> Deadline:
    return Deadline.after(10, "the fake")


def test_every_exchange_with_the_agent_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    host, guest = socket.socketpair()

    def answer() -> None:
        with guest:
            _take(guest)
            guest.sendall(_frame({"id": 1, "ok": True}, b"12345"))

    thread = threading.Thread(target=answer)
    thread.start()
    log = HostLog("guest-7")
    channel = SocketChannel(host, log)
    with caplog.at_level(logging.DEBUG, "errpath"):
        channel.call("file.read", {"path": "/x"}, blob=b"abc", deadline=_soon())
    channel.close()
    thread.join(10)
    sent, received = (line.split(maxsplit=3) for line in log.lines())
    assert sent[2:] == ["agent", '> {"id": 1, "verb": "file.read", "path": "/x"} and 3 bytes']
    assert received[2:] == ["agent", '< {"id": 1, "ok": true} and 5 bytes']
    assert 0 <= float(sent[1]) <= float(received[1])
    assert [record.name for record in caplog.records] == ["errpath.guest.agent"] * 2
    assert caplog.messages[0].startswith('guest-7 > {"id": 1')


def test_every_exchange_with_qemu_is_kept() -> None:
    log = HostLog()
    Qmp(FakeMonitor().ours, log).command("stop", deadline=_soon())
    lines = [line.split(maxsplit=2)[2] for line in log.lines()]
    assert lines[0].startswith('qmp   < {"QMP"')
    assert lines[-3:] == [
        'qmp   > {"execute": "stop"}',
        'qmp   < {"event": "NOISE", "data": {}}',
        'qmp   < {"return": {}}',
    ]


def test_nothing_is_shown_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "errpath"):
        HostLog().sent(QMP, b"x")
    assert not caplog.records


def test_only_the_last_is_kept_and_cut_short() -> None:
    log = HostLog()
    for number in range(2100):
        log.sent(AGENT, f"{number} ".encode() + b"y" * 10_000)
    first, second, *_, last = log.lines()
    assert first == "(100 earlier exchanges were dropped)"
    assert "> 100 yyy" in second
    assert "> 2099 yyy" in last
    assert last.endswith("y…")
    assert len(last) < 600


def test_the_file(tmp_path: Path) -> None:
    log = HostLog("g", tmp_path / "host.log")
    log.sent(AGENT, b"ping")
    log.write()
    assert (tmp_path / "host.log").read_text().endswith("agent > ping\n")


def test_a_full_disk_is_a_warning_and_a_directory_that_is_gone_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (Path("/dev/full"), tmp_path / "gone" / "host.log"):
        log = HostLog("g", path)
        log.sent(AGENT, b"ping")
        log.write()
    assert caplog.messages == ["/dev/full: No space left on device"]


@pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"no {QEMU}")
def test_a_guest_whose_logs_have_no_room_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "guest-1"
    with pytest.raises(InfrastructureError) as caught:
        boot(load_guest("microvm"), tmp_path / "no-kernel", artefacts=place)
    assert str(caught.value) == f"{place}: Not a directory; expected room for a guest's logs"
