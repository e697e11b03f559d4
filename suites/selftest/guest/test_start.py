"""QEMU processes that the host does not start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from errpath.errors import GuestLostError
from errpath.guest.definition import load_guest
from errpath.guest.qemu import QEMU
from errpath.guest.qemu_process import QemuProcess, Start
from errpath.guest.ram import GuestRam
from errpath.guest.start import boot
from errpath.runner.guests import retried
from errpath.util.deadline import Deadline
from errpath.util.process import find_program


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with QEMU and a setpriv that no kernel can execute."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / QEMU).symlink_to(find_program(QEMU))
    broken = programs / "setpriv"
    broken.write_bytes(b"\0 not a program")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return programs


@pytest.mark.usefixtures("programs")
def test_a_qemu_that_is_not_started_is_a_lost_guest_in_one_line(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(GuestLostError) as caught:
        boot(load_guest("microvm"), tmp_path / "bzImage", artefacts=tmp_path / "artefacts")
    expected = f"guest is lost: {QEMU} was not started: {tmp_path}/bin/setpriv: Exec format error"
    assert str(caught.value) == expected
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_it_is_tried_again(programs: Path, tmp_path: Path) -> None:
    setpriv = find_program("setpriv")
    assert setpriv == str(programs / "setpriv")
    start = Start(load_guest("microvm"), tmp_path / "bzImage", tmp_path / "artefacts", "tcg", ())
    ram = GuestRam(1 << 20)

    def work() -> QemuProcess:
        try:
            return QemuProcess(start, ram)
        except GuestLostError:
            # It was wrong for a moment.
            (programs / "setpriv").unlink()
            raise

    qemu = retried(work)
    qemu.console.wait_end(Deadline.after(20.0, "the end of QEMU"))
    # QEMU itself speaks.
    assert qemu.printed().startswith(f"{QEMU}: backing store size 0x100000 does not match")
    qemu.end()
