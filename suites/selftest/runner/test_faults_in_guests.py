"""Faults of requests, values, devices and volumes on a real kernel, in one guest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount, Step, Umount
from errpath.cases.volume_steps import Sync, WriteFile
from errpath.faults.model import Alloc, Both, Call, Fault, Flush, Read, Write
from errpath.filesystems.mkfs import image
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.testbed import Testbed
from errpath.runner.verdict import Status, Verdict
from errpath.util.progress import silent

pytestmark = pytest.mark.qemu

# The sectors of the MDB, and some that a mount does not read.
_MDB, _FAR = (2, 2), (100, 101)


def _mounts(fault: Fault | None, *after: Step) -> tuple[Step, ...]:
    return (Mount("hfs", flags=("ro",), fail=fault, any_errno=True, carries_on=True), *after)


_AGAIN = (Mount("hfs", flags=("ro",), any_errno=True, carries_on=True), Umount(any_errno=True))
_WRITES = (
    Mount("hfs"),
    WriteFile("a", "text"),
    Sync(fail=Write(result="lost", times=0), any_errno=True, carries_on=True),
    Umount(),
)


def _cases() -> dict[str, tuple[Device, tuple[Step, ...]]]:
    valid = Device(image("hfs"))
    return {
        "zeroes": (valid, _mounts(Read(result="zeroes", sectors=_MDB))),
        "other-sectors": (valid, _mounts(Read(result="zeroes", sectors=_FAR))),
        # What was read before it has gone is known to the mount that failed, and to nobody else.
        "gone": (valid, _mounts(Read(nth=2, result="gone"), *_AGAIN)),
        "good-again": (valid, _mounts(Read(), *_AGAIN)),
        "lost": (valid, _WRITES),
        "both": (valid, _mounts(Both(Alloc(nth=3), Read()))),
        "read-behind-call": (
            valid,
            _mounts(Both(Call("hfs_btree_open", "NULL", nth=2), Read(nth=2))),
        ),
        # The first call is of setup_bdev_super(), which does not look at what it gives.
        "value": (valid, _mounts(Call("sb_set_blocksize", "0", nth=2))),
        "vmalloc": (valid, _mounts(Alloc(kind="vmalloc"))),
        "flush": (valid, (Mount("hfs"), Sync(fail=Flush(), any_errno=True), Umount())),
        "sized": (replace(valid, soft_block_size=4096), _mounts(None)),
        "odd-end": (replace(valid, size=image("hfs").size + 512), _mounts(None)),
    }


def _verdicts(testbed: Testbed) -> dict[str, Verdict]:
    cases = [MountCase(name, "hfs", *what) for name, what in _cases().items()]
    functions = tuple(dict.fromkeys(fault.function for case in cases for fault in case.faults))
    runner = BatchRunner(testbed.guest_source(("hfs",), (), points=functions), progress=silent())
    try:
        return {name: one.verdict for name, one in runner.run(cases).items()}
    finally:
        runner.close()


def _errnos(verdict: Verdict) -> list[int]:
    assert verdict.outcome is not None, verdict.reasons
    return [step.errno for step in verdict.outcome.steps]


def test_each_fault_does_what_it_says_and_its_control_does_not(
    make_testbed: Callable[..., Testbed],
) -> None:
    verdicts = _verdicts(make_testbed())
    for name in ("zeroes", "gone", "good-again", "lost", "read-behind-call", "value", "odd-end"):
        assert verdicts[name].status is Status.PASS, verdicts[name].reasons
    # No signature; and the same of sectors that nobody reads.
    assert _errnos(verdicts["zeroes"]) == [22]
    assert _errnos(verdicts["other-sectors"]) == [0]
    # A device that is gone stays away from the next mount too; with one read that fails, it works,
    # and so does every case after it.
    assert [bool(errno) for errno in _errnos(verdicts["gone"])][:2] == [True, True]
    assert [bool(errno) for errno in _errnos(verdicts["good-again"])][:2] == [True, False]
    lost = verdicts["lost"].outcome
    assert lost is not None
    assert [step.errno for step in lost.steps] == [0, 0, 0, 0]
    assert (lost.steps[2].fired or 0) > 0
    # Of this function 0 is the failure.
    assert _errnos(verdicts["value"]) == [22]
    # The third allocation comes before the first read: of two faults, both must hit.
    for name in ("other-sectors", "both", "vmalloc", "flush"):
        assert "did not fire" in verdicts[name].reasons[0], name
    assert _errnos(verdicts["sized"]) == [0]
    assert _errnos(verdicts["odd-end"]) == [0]
