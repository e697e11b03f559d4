"""Which QEMU it is, asked of a QEMU that the host kills."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.guest.snapshot import qemu_identity
from errpath.util.process import ProgramError


def _qemu(directory: Path, first: str, times: int = 3) -> str:
    """A program that does something else the first few times."""
    path, asked = directory / "qemu", directory / "asked"
    early = f"[ $(wc -l < {asked}) -gt {times} ] || {first}"
    path.write_text(f"#!/bin/sh\necho >> {asked}\n{early}\necho QEMU 9.9\n")
    path.chmod(0o755)
    return str(path)


def test_one_that_is_killed_is_asked_again(tmp_path: Path) -> None:
    name = _qemu(tmp_path, "kill -9 $$")
    assert qemu_identity(name).startswith(f"QEMU 9.9 {name} ")


def test_one_that_is_always_killed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="failed with status -9"):
        qemu_identity(_qemu(tmp_path, "kill -9 $$", times=9))


def test_one_that_does_not_run_is_not_asked_for_ever(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="failed with status 3"):
        qemu_identity(_qemu(tmp_path, "exit 3", times=9))
    assert len((tmp_path / "asked").read_text().splitlines()) == 2
