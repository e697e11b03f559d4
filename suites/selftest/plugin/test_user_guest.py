"""The `guest` fixture, as docs/writing-suites.md shows it."""

from __future__ import annotations

from errno import EIO, ENOMEM, EROFS

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount
from errpath.errors import UnknownFunctionError
from errpath.faults.model import Alloc, Call, Fault
from errpath.faults.plan import FaultPlan
from errpath.images.hfs import hfs
from errpath.plugin.user_guest import UserGuest

pytestmark = pytest.mark.qemu


def failing_mount(fault: Fault) -> MountCase:
    device = Device(hfs.volume().image())
    return MountCase("hfs-example", "hfs", device, (Mount("hfs", fail=fault, any_errno=True),))


@pytest.mark.filesystems("hfs")
def test_runs_cases_programs_and_files(guest: UserGuest) -> None:
    # Another fault, asked for later, can be had in the same guest; one of a plan beside others.
    faults: dict[Fault, int] = {
        Call("setup_bdev_super", EIO): EIO,
        FaultPlan("hfs_fill_super", "ENOMEM"): ENOMEM,
        Alloc(): ENOMEM,
        Call("hfs_fill_super", "EROFS"): EROFS,
        FaultPlan("setup_bdev_super", "EIO"): EIO,
    }
    for fault, errno in faults.items():
        outcome = guest.run_case(failing_mount(fault))
        assert (outcome.steps[0].errno, outcome.fired) == (errno, 1), fault

    guest.write_file("/tmp-file", b"bytes\x00\xff" * 70000, mode=0o600)
    assert guest.read_file("/tmp-file") == b"bytes\x00\xff" * 70000
    assert guest.run(["cat", "/proc/filesystems"]).output.splitlines()[-1].strip() == "hfs"
    assert guest.run(["false"]).status == 1
    assert "errpath_canary" in guest.dmesg()
    assert guest.leaks() == ()

    for missing in (Call("no_such_function"), FaultPlan("no_such_function", "EIO")):
        with pytest.raises(UnknownFunctionError, match="no_such_function: not in the running"):
            guest.run_case(failing_mount(missing))


@pytest.mark.filesystems("hfs")
def test_a_fault_that_is_inlined_away_is_named(guest: UserGuest) -> None:
    with pytest.raises(UnknownFunctionError, match="do_new_mount: inlined away in vmlinux"):
        # A static function of fs/namespace.c with one caller.
        guest.run_case(failing_mount(Call("do_new_mount")))
