"""Every step on a mounted volume of a real kernel, and what the agent does after a case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount, Step, Umount
from errpath.cases.volume_steps import (
    AppendFile,
    Fallocate,
    Freeze,
    Fsync,
    GetXattr,
    ListXattr,
    Mkdir,
    ReadBack,
    Readdir,
    ReadFile,
    RemoveXattr,
    Rename,
    SetXattr,
    Statfs,
    Sync,
    Thaw,
    Truncate,
    Unlink,
    WriteFile,
)
from errpath.filesystems.mkfs import image
from errpath.images import Image
from errpath.runner.verdict import Status
from errpath.util.process import program_path, run
from suites.selftest.live_guests import RunCases

pytestmark = pytest.mark.qemu


def _case(name: str, *steps: Step) -> MountCase:
    return MountCase(f"ext4-{name}", "ext4", Device(image("ext4", "valid")), steps)


def _external_log(directory: Path) -> tuple[Image, Image]:
    """A volume of xfs, and its log on another device."""
    if (mkfs := program_path("mkfs.xfs")) is None:
        pytest.skip("mkfs.xfs: not found on PATH (Debian package xfsprogs)")
    volume, log = directory / "volume.img", directory / "log.img"
    for path, size in ((volume, 32 << 20), (log, 16 << 20)):
        with path.open("wb") as file:
            file.truncate(size)
    run([mkfs, "-q", "-f", "--unsupported", "-l", f"logdev={log},size=8m", volume])
    return Image.from_file(volume), Image.from_file(log)


def test_a_case_has_several_devices(run_cases: RunCases, tmp_path: Path) -> None:
    volume, log = (Device(image) for image in _external_log(tmp_path))

    def case(name: str, options: str, expect: str = "") -> MountCase:
        steps: tuple[Step, ...] = (Mount("xfs", options=options, expect=expect),)
        if not expect:
            steps += (WriteFile("file", "text"), Sync(), Umount())
        return MountCase(f"xfs-{name}", "xfs", volume, steps, devices=(replace(log, name="log"),))

    cases = [
        case("log", "logdev=/dev/errpath/log"),
        # Negative controls: the log is on no other device, and nowhere else.
        case("no-log", "", "EINVAL"),
        case("no-such-log", "logdev=/dev/errpath/none", "ENOENT"),
        case("wrong", "logdev=/dev/errpath/log", "EINVAL"),
    ]
    verdicts = {name: result.verdict for name, result in run_cases(cases).items()}
    wrong = verdicts.pop("xfs-wrong")
    assert wrong.status is Status.FAIL
    assert wrong.reasons == ("mount: mount: 0; expected -EINVAL",)
    assert {name: v.reasons for name, v in verdicts.items()} == dict.fromkeys(verdicts, ())


def test_steps_on_a_volume(run_cases: RunCases) -> None:
    steps = (
        *(Mount("ext4"), Statfs(), Mkdir("d"), WriteFile("d/a", "hello"), Rename("d/a", "b")),
        *(Fallocate("b", 65536), Fallocate("b", 4096, mode="punch-hole"), Readdir(), Readdir("d")),
        *(Sync(), Freeze(), Thaw(), Unlink("d"), Unlink("d", expect="ENOENT"), ReadBack()),
        *(WriteFile("a", "one"), AppendFile("a", " two"), Fsync("a"), ReadFile("a", "one two")),
        *(Truncate("a", 3), ReadFile("a", "one"), Truncate("no", 0, expect="ENOENT")),
        *(AppendFile("no", "x", expect="ENOENT"), Fsync("no", expect="ENOENT")),
        *(SetXattr("a", "user.b", "c"), SetXattr("a", "user.b", "d", "create", expect="EEXIST")),
        *(GetXattr("a", "user.b", "c"), GetXattr("a", "user.b", "d", expect="EBADMSG")),
        *(SetXattr("a", "user.no", "d", "replace", expect="ENODATA"), SetXattr("a", "user.c", "d")),
        *(ListXattr("a", ("user.b", "user.c")), ListXattr("a", ("user.b",), expect="EBADMSG")),
        *(ListXattr("a", ("user.b", "user.c", "user.d"), expect="EBADMSG"), ListXattr(".")),
        *(RemoveXattr("a", "user.b"), RemoveXattr("a", "user.b", expect="ENODATA")),
        *(WriteFile("e", "d" * 512, direct=True), AppendFile("e", "e" * 1024, direct=True)),
        ReadFile("e", "d" * 512 + "e" * 1024),
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
    assert b"lost+found" in outcome.entries
    assert b"b" in outcome.entries
