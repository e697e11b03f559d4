"""Which filesystems have a case of ordinary files, and what it does to their volumes."""

from __future__ import annotations

import pytest

from errpath.cases.case import MountCase
from errpath.cases.files import file_cases
from errpath.cases.volume_steps import AppendFile, ReadFile
from errpath.errors import InfrastructureError
from errpath.filesystems.mkfs import volume_image
from errpath.images import Image


def _one(filesystem: str) -> MountCase:
    (case,) = file_cases((filesystem,))
    return case


def test_a_larger_volume_has_larger_files() -> None:
    turns = {}
    for name in ("bfs", "exfat"):
        case = _one(name)
        assert case.id == f"killsb-{name}-files"
        appended = sum(isinstance(step, AppendFile) for step in case.steps)
        turns[name] = appended // 2
        read = [step for step in case.steps if isinstance(step, ReadFile)]
        assert len(read[-1].data) == 1024 * turns[name]
    assert turns == {"bfs": 3, "exfat": 6}


@pytest.mark.parametrize("name", ["hfs", "hfsplus", "isofs", "cramfs"])
def test_what_cannot_be_written_to_has_none(name: str) -> None:
    assert list(file_cases((name,))) == []


def test_a_volume_that_cannot_be_made_costs_no_other() -> None:
    def volume(name: str, which: str) -> Image:
        if name == "bfs":
            raise InfrastructureError("mkfs.bfs: no space")
        return volume_image(name, which)

    found = file_cases(("bfs", "exfat"), volume=volume)
    assert [case.filesystem for case in found] == ["exfat"]
