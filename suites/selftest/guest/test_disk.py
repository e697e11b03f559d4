"""Disks: what QEMU inherits, and what the guest finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from errpath.errors import InfrastructureError
from errpath.guest.definition import load_guest
from errpath.guest.disk import Disk, open_disk
from errpath.guest.qemu import Launch, qemu_argv


@pytest.mark.parametrize(
    "wrong",
    [
        {"serial": "", "size": 1},
        {"serial": "a" * 21, "size": 1},
        {"serial": "a"},
        {"serial": "a", "path": Path("/x"), "size": 1},
    ],
)
def test_a_disk_is_a_file_or_a_size(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Disk(**wrong)  # type: ignore[arg-type]


def test_an_empty_disk_is_nobodys_file() -> None:
    with open_disk(Disk("test", size=1 << 30)) as file:
        assert Path(f"/proc/self/fd/{file.fileno()}").stat().st_size == 1 << 30
        assert Path(f"/proc/self/fd/{file.fileno()}").stat().st_blocks == 0


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="expected a disk"):
        open_disk(Disk("root", path=tmp_path / "none"))


def test_qemu_is_told_of_each(tmp_path: Path) -> None:
    guest = load_guest("microvm")
    disks = (Disk("root", path=tmp_path / "root"), Disk("test", size=512))
    with_disks = guest.with_disks(disks).with_boot_args(("quiet",))
    # What one copy has the next one keeps.
    assert (with_disks.name, with_disks.disks) == ("microvm", disks)
    launch = Launch(tmp_path, tmp_path, "tcg", console_fd=1, agent_fd=2, disk_fds=(7, 8))
    words = " ".join(qemu_argv(with_disks, launch))
    assert "file=/proc/self/fd/7,file.locking=off,readonly=on" in words
    assert "file=/proc/self/fd/8,file.locking=off,readonly=off" in words
    assert words.count("virtio-blk-device,drive=") == 2
    with pytest.raises(ValueError, match="zip"):
        qemu_argv(with_disks, replace(launch, disk_fds=(7,)))
