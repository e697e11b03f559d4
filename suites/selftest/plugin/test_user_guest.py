"""The `guest` fixture, as docs/writing-suites.md shows it."""

from __future__ import annotations

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount
from errpath.errors import UnknownFunctionError
from errpath.faults.plan import FaultPlan
from errpath.images.hfs import hfs
from errpath.plugin.user_guest import UserGuest

pytestmark = pytest.mark.qemu


def failing_mount(function: str) -> MountCase:
    return MountCase(
        "hfs-example",
        "hfs",
        Device(hfs.volume().image()),
        (Mount("hfs", fail=FaultPlan(function, "EIO")),),
    )


@pytest.mark.filesystems("hfs")
def test_runs_cases_programs_and_files(guest: UserGuest) -> None:
    outcome = guest.run_case(failing_mount("setup_bdev_super"))
    assert (outcome.steps[0].errno, outcome.fired) == (5, 1)
    # Another function, asked for later, joins the injection list of the same guest.
    outcome = guest.run_case(failing_mount("hfs_fill_super"))
    assert (outcome.steps[0].errno, outcome.fired) == (5, 1)

    guest.write_file("/tmp-file", b"bytes\x00\xff" * 70000, mode=0o600)
    assert guest.read_file("/tmp-file") == b"bytes\x00\xff" * 70000
    assert guest.run(["cat", "/proc/filesystems"]).output.splitlines()[-1].strip() == "hfs"
    assert guest.run(["false"]).status == 1
    assert "errpath_canary" in guest.dmesg()
    assert guest.leaks() == ()

    with pytest.raises(UnknownFunctionError, match="no_such_function: not in the running kernel"):
        guest.run_case(failing_mount("no_such_function"))


@pytest.mark.filesystems("hfs")
def test_a_fault_that_is_inlined_away_is_named(guest: UserGuest) -> None:
    with pytest.raises(UnknownFunctionError, match="do_new_mount: inlined away in vmlinux"):
        # A static function of fs/namespace.c with one caller.
        guest.run_case(failing_mount("do_new_mount"))
