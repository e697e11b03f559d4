"""A delayed work that is armed in memory that was freed is told, seconds before it is due."""

from __future__ import annotations

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount, Umount
from errpath.faults.plan import FaultPlan
from errpath.images.hfs import hfsplus
from errpath.oracles.failure import CORRUPTION, OOPS
from errpath.runner.verdict import Status
from suites.selftest.live_guests import RunCases

pytestmark = pytest.mark.qemu


def test_work_that_a_failed_mount_leaves_armed_is_its_case(run_cases: RunCases) -> None:
    """Beside cases that have nothing to do with it, and one whose work is cancelled."""
    image = Device(hfsplus.volume(private_directory=False).image())
    step = Mount("hfsplus", fail=FaultPlan("hfsplus_create_cat", "EIO"), expect="EIO")
    cases = [
        MountCase("before", "hfsplus", image, (Mount("hfsplus"), Umount())),
        MountCase("armed", "hfsplus", image, (step,)),
        MountCase("after", "hfsplus", image, (Mount("hfsplus"), Umount())),
    ]
    results = run_cases(cases, patches=["hfsplus-sync-work-armed.patch"])
    failed = {name for name, one in results.items() if one.verdict.status is not Status.PASS}
    assert failed == {"armed"}
    (failure, *_) = results["armed"].verdict.failures
    assert failure.kind in (OOPS, CORRUPTION)
    assert "printed after the case" in failure.detail
