"""Every step on a mounted volume of a real kernel, and what the agent does after a case."""

from __future__ import annotations

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount, Step, Umount
from errpath.cases.volume_steps import (
    Fallocate,
    Freeze,
    Mkdir,
    ReadBack,
    Readdir,
    Rename,
    Statfs,
    Sync,
    Thaw,
    Unlink,
    WriteFile,
)
from errpath.filesystems.mkfs import image
from errpath.runner.verdict import Status
from suites.selftest.live_guests import RunCases

pytestmark = pytest.mark.qemu


def _case(name: str, *steps: Step) -> MountCase:
    return MountCase(f"ext4-{name}", "ext4", Device(image("ext4", "valid")), steps)


def test_steps_on_a_volume(run_cases: RunCases) -> None:
    steps = (
        *(Mount("ext4"), Statfs(), Mkdir("d"), WriteFile("d/a", "hello"), Rename("d/a", "b")),
        *(Fallocate("b", 65536), Fallocate("b", 4096, mode="punch-hole"), Readdir(), Readdir("d")),
        *(Sync(), Freeze(), Thaw(), Unlink("d"), Unlink("d", expect="ENOENT"), ReadBack()),
        *(WriteFile("no/such", "x", expect="ENOENT"), Umount()),
    )
    cases = [
        _case("steps", *steps),
        # Thawed by the agent: otherwise it could not be unmounted, and its device stayed held.
        _case("left-frozen", Mount("ext4"), Freeze()),
        _case("many-steps", *(Mount("ext4"), Umount()) * 64),
        # A negative control: each of these gives another errno than success.
        _case("wrong", Mount("ext4"), Mkdir("no/such"), Umount()),
    ]
    verdicts = {name: result.verdict for name, result in run_cases(cases).items()}
    wrong = verdicts.pop("ext4-wrong")
    assert wrong.status is Status.FAIL
    assert wrong.reasons[0] == "mkdir: mkdir: -ENOENT; expected success"
    assert {name: v.reasons for name, v in verdicts.items()} == dict.fromkeys(verdicts, ())
    outcome = verdicts["ext4-steps"].outcome
    assert outcome is not None
    assert b"lost+found" in outcome.walk
    assert b"b" in outcome.walk
