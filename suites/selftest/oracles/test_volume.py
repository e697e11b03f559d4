"""What a case may do to its volume, and what is said where it did something else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from errpath.cases.case import Device, MountCase, Outcome, StepOutcome
from errpath.cases.steps import FsOpen, Mount, Remount, Step, Umount
from errpath.cases.volume_steps import Keep
from errpath.filesystems import load_filesystem
from errpath.filesystems.mkfs import image
from errpath.oracles.failure import VOLUME
from errpath.oracles.volume import asks_changes, is_to_be_checked, volume_failures
from errpath.runner.verdict import Status, judge

_RO = Mount("hfs", flags=("ro",))
_RW = Mount("hfs")
_FAILS = Mount("hfs", expect="EINVAL")
_OK = StepOutcome(0, "mount")
_EINVAL = StepOutcome(22, "mount")
# drAtrb of the MDB: the volume is not cleanly unmounted any more.
_MDB = image("hfs").read(1024, 512)
_CHANGED = ((1024, _MDB[:10] + b"\0\0" + _MDB[12:]),)


def _case(*steps: Step, **more: object) -> MountCase:
    return replace(MountCase("c", "hfs", Device(image("hfs")), steps), **more)  # type: ignore[arg-type]


def _outcome(*steps: StepOutcome) -> Outcome:
    return Outcome("t", 1, steps=steps, changed=_CHANGED)


@pytest.mark.parametrize(
    ("step", "got", "title"),
    [
        (_RO, _OK, "a read-only mount changed the volume"),
        (FsOpen("hfs", flags=("ro",)), _OK, "a read-only mount changed the volume"),
        (_RW, _OK, ""),
        # There was a superblock, that nothing could be done with.
        (FsOpen("hfs", expect="EINVAL"), StepOutcome(22, "fsmount"), ""),
    ],
)
def test_who_may_write(step: Step, got: StepOutcome, title: str) -> None:
    failures = volume_failures(_case(step), _outcome(got))
    assert [one.title[: len(title)] for one in failures] == ([title] if title else [])


def test_changes_are_decoded() -> None:
    (failure,) = volume_failures(_case(_RO, Umount()), _outcome(_OK, _OK))
    assert failure.kind is VOLUME
    assert failure.detail == ("1 sector from byte 1024 on: mdb.drAtrb = 0x0000, was 0x0100 (256)")
    assert judge(_case(_RO, Umount()), _outcome(_OK, _OK), None).status is Status.FAIL


def test_a_reconfigure_gives_the_right_to_write() -> None:
    assert not volume_failures(_case(_RO, Remount()), _outcome(_OK, StepOutcome(0, "mount")))


def test_what_a_file_permits_is_no_failure() -> None:
    permits = replace(load_filesystem("hfs"), writes={"readonly": "a journal"}, writes_only="")
    assert not volume_failures(_case(_RO), _outcome(_OK), load=lambda name: permits)
    assert volume_failures(_case(_FAILS), _outcome(_EINVAL), load=lambda name: permits)


def test_what_only_a_fault_may_write() -> None:
    permits = replace(load_filesystem("hfs"), writes={"fault": "its error"}, writes_only="")
    outcome = _outcome(_OK)
    assert volume_failures(_case(_RO), outcome, load=lambda name: permits)
    fired = replace(outcome, fired=1)
    assert not volume_failures(_case(_RO), fired, load=lambda name: permits)


def test_a_failed_mount_of_hfs_may_mark_the_volume_as_mounted_and_no_more() -> None:
    outcome = _outcome(_EINVAL)
    assert not volume_failures(_case(_FAILS), outcome)
    clean = ((1024, _MDB[:10] + b"\3\0" + _MDB[12:]),)
    assert volume_failures(_case(_FAILS), replace(outcome, changed=clean))
    counted = ((1024, _CHANGED[0][1][:12] + b"\0\7" + _MDB[14:]),)
    assert volume_failures(_case(_FAILS), replace(outcome, changed=counted))
    elsewhere = (*_CHANGED, (1536, bytes(512)))
    assert volume_failures(_case(_FAILS), replace(outcome, changed=elsewhere))


def test_only_what_is_of_interest_is_asked() -> None:
    assert asks_changes(_case(_RO))
    assert asks_changes(_case(_FAILS))
    assert asks_changes(_case(replace(_RW, any_errno=True)))
    # Valid, and written: the checker is asked.
    assert asks_changes(_case(_RW, Umount()))
    assert not asks_changes(_case(_RW, device=Device(image("hfs"), pieces=((0, b"x"),))))
    assert not asks_changes(_case(_RO, Keep()))
    assert not asks_changes(_case(_RO, device=Device()))


@pytest.mark.parametrize(
    ("change", "checked"),
    [
        ({}, True),
        ({"fired": 1}, False),
        ({"hung": True}, False),
        ({"signal": 9}, False),
        ({"device_errno": 16}, False),
        ({"changed": ()}, False),
        ({"changed_cut": True}, False),
        ({"steps": (_OK,)}, False),
    ],
)
def test_when_the_checker_should_pass(change: dict[str, object], checked: bool) -> None:
    outcome = replace(_outcome(_OK, _OK), **change)  # type: ignore[arg-type]
    assert is_to_be_checked(_case(_RW, Umount()), outcome) is checked
    assert not is_to_be_checked(_case(_RO, Umount()), outcome)


def test_what_the_checker_minds_is_a_failure() -> None:
    outcome = replace(_outcome(_OK, _OK), fsck="fsck.hfs: status 8: wrong")
    (failure,) = volume_failures(_case(_RW, Umount()), outcome)
    assert failure.title == "the volume is not valid after a clean mount"
    assert failure.detail == "fsck.hfs: status 8: wrong"


def test_the_reply_holds_code_and_changes() -> None:
    values = {"pid": 1, "entries": 2, "coverage": 1, "changed": [[512, 3], [1024, 1]]}
    outcome = Outcome.from_reply("t", values, b"ee" + bytes(7) + b"\x05" + b"abcd")
    assert outcome.entries == b"ee"
    assert outcome.coverage == (5,)
    assert outcome.changed == ((512, b"abc"), (1024, b"d"))


def test_a_checker_that_cannot_be_run_is_no_pass() -> None:
    outcome = replace(_outcome(_OK, _OK), unchecked="fsck.hfs: not to be executed")
    verdict = judge(_case(_RW, Umount()), outcome, None)
    assert verdict.status is Status.ERROR
    assert verdict.reasons == ("fsck.hfs: not to be executed",)
