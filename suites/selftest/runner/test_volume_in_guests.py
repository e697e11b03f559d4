"""What is written to a volume that nobody may write to, in a real kernel; and what fsck refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount, Step, Umount
from errpath.cases.volume_steps import WriteFile
from errpath.filesystems import load_filesystem
from errpath.filesystems.fsck import complaint, missing_checker
from errpath.filesystems.mkfs import image, use_own_image
from errpath.images import Image
from errpath.images.crafted.catalogue import base_image
from errpath.images.crafted.fields import write_fields
from errpath.oracles.failure import VOLUME
from errpath.oracles.modules import HOLD
from errpath.runner.verdict import Status
from suites.selftest.live_guests import RunCases

pytestmark = pytest.mark.qemu


def _case(name: str, *steps: Step, volume: Image | None = None) -> MountCase:
    return MountCase(name, "hfs", Device(volume or image("hfs")), steps)


def test_who_writes_without_a_right_to_is_found(run_cases: RunCases) -> None:
    writes = WriteFile(HOLD.file, "write hfs")
    read_only = Mount("hfs", flags=("ro",))
    results = run_cases(
        [
            _case("read-only", read_only, writes, Umount()),
            _case("nothing", read_only, Umount()),
            _case("broken", Mount("hfs"), writes, Umount()),
            _case("written", Mount("hfs"), WriteFile("f", "x"), Umount()),
        ],
        plants=[HOLD.name],
    )
    verdicts = {name: result.verdict for name, result in results.items()}
    failure = verdicts["read-only"].failures[0]
    assert failure.kind is VOLUME
    assert failure.title == "a read-only mount changed the volume"
    assert "sector 3 differs" in failure.detail
    assert verdicts["nothing"].status is Status.PASS
    assert verdicts["written"].status is Status.PASS, verdicts["written"].reasons
    if not missing_checker(load_filesystem("hfs")):
        broken = verdicts["broken"].failures[0]
        assert broken.title == "the volume is not valid after a clean mount"
        assert broken.detail.startswith("fsck.hfs: status ")


def test_a_volume_of_the_users_may_be_invalid_before(run_cases: RunCases, tmp_path: Path) -> None:
    if missing := missing_checker(load_filesystem("hfs")):
        pytest.skip(missing)
    volume = tmp_path / "volume"
    volume.write_bytes(write_fields(image("hfs"), {"mdb.drFilCnt": 77}).to_bytes())
    use_own_image(volume)
    try:
        assert not complaint(load_filesystem("hfs"), base_image("hfs"))
        assert complaint(load_filesystem("hfs"), image("hfs"))
        results = run_cases([_case("own", Mount("hfs"), WriteFile("f", "x"), Umount())])
    finally:
        use_own_image(None)
    assert results["own"].verdict.status is Status.PASS, results["own"].verdict.reasons


def test_a_mount_that_fails_and_marks_the_volume_clean_is_found(run_cases: RunCases) -> None:
    dirty = write_fields(image("hfs"), {"mdb.drAtrb": 0})
    fails = Mount("hfs", options="part=9006", expect="EIO")
    refused = Mount("hfs", options="type=x", expect="EINVAL")
    results = run_cases(
        [_case("clean", fails, volume=dirty), _case("refused", refused, volume=dirty)],
        patches=["hfs-misbehave.patch"],
    )
    (failure,) = results["clean"].verdict.failures
    assert failure.kind is VOLUME
    assert failure.title == "a mount that failed changed the volume"
    assert failure.detail == "1 sector from byte 1024 on: mdb.drAtrb = 0x0100 (256), was 0x0000"
    assert results["refused"].verdict.status is Status.PASS
