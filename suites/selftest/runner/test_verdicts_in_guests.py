"""Negative controls: every detector sees what was planted for it, on a real kernel."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount, Umount
from errpath.faults.plan import FaultPlan
from errpath.images import blank
from errpath.images.hfs import hfs
from errpath.oracles.failure import KERNEL_LOG
from errpath.runner.verdict import Status
from suites.selftest.live_guests import RunCases

pytestmark = pytest.mark.qemu

# What guests/patches/hfs-misbehave.patch makes of the option `part=`.
_WARN, _BUG, _HANG, _WILD, _LATE = 9001, 9002, 9003, 9004, 9005


def mount_case(name: str, data: str = "", *, seconds: float = 20.0) -> MountCase:
    return MountCase(
        f"hfs-{name}",
        "hfs",
        Device(hfs.volume().image()),
        (Mount("hfs", options=data), Umount()),
        seconds=seconds,
    )


def test_each_case_pays_for_itself_alone(run_cases: RunCases) -> None:
    """Crashes and hangs in the middle of a batch: each costs its own case, the rest pass."""
    cases = [
        mount_case("before"),
        mount_case("warns", f"part={_WARN}"),
        mount_case("between"),
        mount_case("bugs", f"part={_BUG}"),
        mount_case("hangs", f"part={_HANG}", seconds=3.0),
        mount_case("wild", f"part={_WILD}"),
        mount_case("after"),
    ]
    results = run_cases(cases, patches=["hfs-misbehave.patch"])
    verdicts = {name.removeprefix("hfs-"): result.verdict for name, result in results.items()}
    assert {name: verdict.status for name, verdict in verdicts.items()} == {
        "before": Status.PASS,
        "warns": Status.FAIL,
        "between": Status.PASS,
        "bugs": Status.FAIL,
        "hangs": Status.FAIL,
        "wild": Status.FAIL,
        "after": Status.PASS,
    }
    assert verdicts["warns"].failures[0].title.startswith("WARNING in ")
    assert verdicts["bugs"].failures[0].title.startswith("kernel BUG in ")
    assert verdicts["hangs"].failures[0].title.startswith("INFO: task hung in ")
    assert verdicts["hangs"].outcome is not None
    assert "hfs_fill_super" in verdicts["hangs"].outcome.stack
    assert "kernel NULL pointer dereference in " in verdicts["wild"].failures[0].title


def test_a_crash_after_the_last_case_is_of_the_case_that_armed_it(run_cases: RunCases) -> None:
    cases = [mount_case("before"), mount_case("late", f"part={_LATE}")]
    results = run_cases(cases, patches=["hfs-misbehave.patch"])
    statuses = {name: result.verdict.status for name, result in results.items()}
    assert statuses == {"hfs-before": Status.PASS, "hfs-late": Status.FAIL}
    assert "printed after the case" in results["hfs-late"].verdict.failures[0].detail


def test_without_slab_debug_there_is_no_verdict(run_cases: RunCases) -> None:
    """SLUB's sheaves hide leaks: the canary must refuse, for a leaking and for a clean case."""
    leaking = MountCase(
        "hfs-leaks",
        "hfs",
        Device(hfs.volume().image()),
        (Mount("hfs", fail=FaultPlan("setup_bdev_super", "EIO")),),
    )
    results = run_cases(
        [leaking, mount_case("clean")],
        patches=["hfs-kill-sb-leak.patch"],
        append=["slab_debug=-"],
    )
    for result in results.values():
        assert result.verdict.status is Status.ERROR
        assert "planted leaks were not found" in result.verdict.reasons[0]


def test_kmemleak_that_is_off_is_an_error(run_cases: RunCases) -> None:
    results = run_cases([mount_case("clean")], append=["kmemleak=off"])
    verdict = results["hfs-clean"].verdict
    assert verdict.status is Status.ERROR
    assert "kmemleak" in verdict.reasons[0]


def test_a_fault_that_is_never_reached_is_an_error(run_cases: RunCases) -> None:
    """The function exists and can be failed, but this case does not get there."""
    unreached = MountCase(
        "hfs-unreached",
        "hfs",
        Device(hfs.volume().image()),
        (Mount("hfs", fail=FaultPlan("hfs_reconfigure", "EIO"), expect=""), Umount()),
    )
    missing = Mount("hfs", fail=FaultPlan("hfs_no_such", "EIO"), expect="")
    unknown = replace(unreached, id="hfs-unknown", steps=(missing, Umount()))
    results = run_cases([unreached, unknown])
    verdict = results["hfs-unreached"].verdict
    assert verdict.status is Status.ERROR
    assert verdict.reasons == ("never reached: the fault in hfs_reconfigure did not fire",)
    verdict = results["hfs-unknown"].verdict
    assert verdict.status is Status.ERROR
    assert "function hfs_no_such: not in the running kernel" in verdict.reasons[0]


def test_a_wrong_errno_fails(run_cases: RunCases) -> None:
    wrong = MountCase(
        "hfs-wrong",
        "hfs",
        Device(hfs.volume().image()),
        (Mount("hfs", fail=FaultPlan("setup_bdev_super", "ENOMEM"), expect="EIO"),),
    )
    verdict = run_cases([wrong])["hfs-wrong"].verdict
    assert verdict.status is Status.FAIL
    assert verdict.reasons == ("mount: mount: -ENOMEM; expected -EIO",)


def test_the_fault_hits_the_cases_own_task_only(run_cases: RunCases) -> None:
    """A fault in a function that everybody calls: the agent's own calls must go through."""
    case = MountCase(
        "hfs-task-filter",
        "hfs",
        Device(hfs.volume().image()),
        (
            Mount("hfs"),
            Umount(),
            # Far more often than there are calls in the armed step.
            Mount("hfs", fail=FaultPlan("setup_bdev_super", "EIO", times=1000)),
            Mount("hfs"),
            Umount(),
        ),
    )
    verdict = run_cases([case])["hfs-task-filter"].verdict
    assert verdict.status is Status.PASS, verdict.reasons
    assert verdict.outcome is not None
    assert verdict.outcome.fired == 1


def test_leaks_that_hide_the_canary_are_failures(run_cases: RunCases) -> None:
    """Trees that no umount closes: so many pages point anywhere that no canary is seen in a batch.
    What was found counts, and what is clean is seen in a smaller batch."""
    refused = replace(
        mount_case("refused"),
        steps=(Mount("hfs", options="errpath_no_such_option", expect="EINVAL"),),
    )
    cases = [mount_case(f"open-{number}") for number in range(300)]
    results = run_cases([*cases, refused], patches=["hfs-trees-stay-open.patch"])
    verdicts = {name: result.verdict for name, result in results.items()}
    assert verdicts.pop("hfs-refused").status is Status.PASS
    assert {verdict.status for verdict in verdicts.values()} == {Status.FAIL}
    first = verdicts["hfs-open-0"]
    assert first.leak is not None
    functions = {site.function for record in first.leak.records for site in record.backtrace}
    assert "hfs_btree_open" in functions


def test_a_message_that_nobody_expects_fails_its_case(run_cases: RunCases) -> None:
    """A node that stays in use leaks nothing: the kernel prints it at umount, and goes on."""
    cases = [mount_case("mounts"), replace(mount_case("fails"), device=Device(blank(65536)))]
    cases[1] = replace(cases[1], steps=(Mount("hfs", expect="EINVAL"),))
    results = run_cases(cases, patches=["hfs-node-in-use.patch"])
    (failure,) = results["hfs-mounts"].verdict.failures
    assert results["hfs-mounts"].verdict.status is Status.FAIL
    assert failure.kind is KERNEL_LOG
    assert re.fullmatch(r"hfs: node 4:1 still has \d user\(s\)!", failure.title)
    # It has opened no tree.
    assert results["hfs-fails"].verdict.status is Status.PASS
