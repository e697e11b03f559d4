"""A second task in the middle of a step: what may be asked, what comes back, what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from errpath.cases.case import Device, MountCase, Outcome
from errpath.cases.lifecycle import plan
from errpath.cases.steps import FsOpen, Meanwhile, Mount, Remount, Step, Umount
from errpath.cases.sweeping import sequence
from errpath.cases.volume_steps import Freeze, Fsync, Keep, Stat, SyncAll
from errpath.faults.chains import Chain
from errpath.faults.model import Call, Recording
from errpath.faults.plan import FaultPlan
from errpath.faults.points import WAIT, points_of
from errpath.faults.shapes import Shape
from errpath.filesystems import PAIRS, PLACES, load_filesystem
from errpath.filesystems.mkfs import image
from errpath.intake.case_text import case_from_values, case_to_values
from errpath.oracles.failure import HANG, VOLUME
from errpath.oracles.steps import errno_failures, order_of, orders_of, unordered
from errpath.oracles.volume import volume_failures
from errpath.results.records import CaseRecord, CaseStatus, from_json, to_json
from errpath.results.reports.text import render
from errpath.runner.availability import lacking
from errpath.runner.result import Result
from errpath.runner.verdict import Status, judge
from suites.selftest.paths import ROOT

_READ_ONLY = Remount(flags=("ro",))
_SYNC = Fsync("f", meanwhile=Meanwhile("hfs_file_fsync", (_READ_ONLY, Umount())))
_CASE = MountCase("pair", "hfs", Device(), (Mount("hfs"), _SYNC, Umount()))


def _reply(
    *errnos: int, before: int, waited: bool = False, steps: int = 3, **second: Any
) -> Outcome:
    """What the agent tells of `_CASE`: of so many of its steps, and of the second task's steps."""
    one = {"errno": 0, "syscall": "call", "log": ""}
    told = {
        "step": 1,
        "pid": 8,
        "before": before,
        "waited": waited,
        "steps": [{**one, "errno": errno} for errno in errnos],
        **second,
    }
    return Outcome.from_reply("t", {"pid": 7, "steps": [one] * steps, "second": [told]})


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ((), "expected 1 to 16"),
        ((Umount(),) * 17, "expected 1 to 16"),
        ((Mount("hfs", fail=Call("hfs_fill_super")),), "without fail="),
        ((_SYNC,), "and meanwhile="),
        ((Freeze(),), "none of: freeze"),
        ((Keep(),), "none of: freeze"),
    ],
)
def test_what_a_second_task_cannot_do(steps: tuple[Step, ...], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Meanwhile("hfs_file_fsync", steps)


def test_a_place_is_a_function() -> None:
    with pytest.raises(ValueError, match="expected a C function's name"):
        Meanwhile("no function", (Umount(),))
    with pytest.raises(ValueError, match="at least 1"):
        Meanwhile("f", (Umount(),), nth=0)


def test_a_case_waits_at_so_many_places_at_most() -> None:
    steps = tuple(Stat("f", meanwhile=Meanwhile(f"f{n}", (Umount(),))) for n in range(17))
    MountCase("c", "hfs", Device(), steps[:16])
    with pytest.raises(ValueError, match="case c: waits at more than 16 functions"):
        MountCase("c", "hfs", Device(), steps)


def test_what_fails_by_a_kprobe_cannot_be_waited_at() -> None:
    fails = Mount(
        "hfs",
        fail=FaultPlan("hfs_fill_super", "EIO"),
        meanwhile=Meanwhile("hfs_fill_super", (FsOpen("hfs"),)),
    )
    with pytest.raises(ValueError, match="fails and is waited at"):
        MountCase("c", "hfs", Device(), (fails,))


def test_the_request_has_place_and_steps() -> None:
    request = _CASE.as_request("t", [None])["steps"][1]
    assert request["wait"]["function"] == "hfs_file_fsync"
    assert [step["op"] for step in request["wait"]["steps"]] == ["remount", "umount"]
    assert _CASE.places == ("hfs_file_fsync",)
    assert _SYNC.meanwhile is not None
    assert _SYNC.meanwhile.id == "at-hfs_file_fsync-remount-umount"


def test_a_kernel_thread_may_wait_instead() -> None:
    pair = Meanwhile("hfs_btree_write", (Umount(),), nth=2, threads=True)
    assert pair.as_request()["threads"] is True
    assert pair.id == "at-hfs_btree_write-2-threads-umount"
    assert "threads" not in Meanwhile("hfs_btree_write", (Umount(),)).as_request()
    case = MountCase("c", "hfs", Device(), (SyncAll(meanwhile=pair),))
    assert case_from_values(case_to_values(case), None, ROOT) == case


def test_a_kernel_in_which_nobody_can_wait_skips_the_case() -> None:
    reason = "no task can wait in a function of a kernel: CONFIG_KPROBES is not set"
    verdict = lacking(_CASE, unknown={}, absent={}, broken={}, waitless=reason)
    assert verdict is not None
    assert verdict.status is Status.SKIP
    assert verdict.reasons == (reason,)
    alone = MountCase("alone", "hfs", Device(), (Mount("hfs"), Umount()))
    assert lacking(alone, unknown={}, absent={}, broken={}, waitless=reason) is None


def test_every_step_is_looked_at_by_the_oracle_of_the_volume() -> None:
    assert [step.op for step in _CASE.every_step] == [
        "mount",
        "fsync",
        "remount",
        "umount",
        "umount",
    ]
    read_only = Mount("hfs", flags=("ro",))
    second = MountCase(
        "c",
        "hfs",
        Device(image("hfs")),
        (Stat("f", meanwhile=Meanwhile("d_alloc_parallel", (Remount(),))), read_only),
    )
    changed = ((512, b"x" * 512),)
    told = _reply(0, before=1, steps=2)
    outcome = replace(told, changed=changed, second_tasks={0: told.second_tasks[1]})
    # It was the second task's to write.
    assert volume_failures(second, outcome) == ()
    assert [one.kind for one in volume_failures(second, replace(outcome, second_tasks={}))] == [
        VOLUME
    ]


@pytest.mark.parametrize("event", PAIRS)
def test_a_pair_waits_at_any_call_of_its_armed_step(event: str) -> None:
    found = sequence(load_filesystem("hfs"), event)
    assert found.second
    assert all(step.any_errno and step.goes_on for step in found.second)
    steps = found.waiting("hfs_bnode_find", 2)
    (pair,) = [step.meanwhile for step in steps if step.meanwhile is not None]
    assert (pair.at, pair.nth, pair.threads) == ("hfs_bnode_find", 2, True)
    assert not any(step.armed for step in steps)
    # What it forces is what is recorded: calls, those of kernel threads as well.
    (armed,) = [step.fail for step in found.steps if step.armed]
    assert armed == Recording(("call",), threads=True)


def test_the_points_of_a_pair_are_the_calls_that_ran() -> None:
    chains = [Chain("call", "hfs_sync_fs", 3, "", ()), Chain("call", "hfs_mdb_commit", 1, "", ())]
    points, left = points_of(
        WAIT, chains, modules=("hfs",), expand=lambda frame: (), shape=lambda name: Shape("int", ())
    )
    assert [(one.name, one.at, one.nth) for one in points] == [
        ("hfs_sync_fs", "hfs_sync_fs", 1),
        ("hfs_sync_fs#2", "hfs_sync_fs", 2),
        ("hfs_mdb_commit", "hfs_mdb_commit", 1),
    ]
    assert all(one.fault is None for one in points)
    assert left == ()


def test_a_kept_case_has_its_second_task() -> None:
    assert case_from_values(case_to_values(_CASE), None, ROOT) == _CASE


@pytest.mark.parametrize(
    ("before", "waited", "order"),
    [
        (2, False, "fsync waits at hfs_file_fsync; remount ro ends; umount ends; fsync goes on"),
        (
            1,
            True,
            "fsync waits at hfs_file_fsync; remount ro ends; umount waits for fsync; fsync goes on",
        ),
        (0, True, "fsync waits at hfs_file_fsync; remount ro waits for fsync; fsync goes on"),
    ],
)
def test_the_order_is_told(before: int, waited: bool, order: str) -> None:
    outcome = _reply(0, 0, before=before, waited=waited)
    assert order_of(_SYNC, outcome.second_tasks[1]) == order
    assert outcome.pids == (7, 8)
    report = render(Result(judge(_CASE, outcome, None)), None, rerun="", folder=None)
    assert order in report
    assert "meanwhile  remount ro -> call: 0" in report


def test_each_step_of_the_second_task_is_judged() -> None:
    assert judge(_CASE, _reply(0, 0, before=2), None).status is Status.PASS
    (wrong,) = errno_failures(_CASE, _reply(16, before=1))
    assert wrong.title == "remount: call: -EBUSY; expected success"
    assert "fsync goes on" in wrong.detail
    (untried,) = errno_failures(_CASE, _reply(0, before=1))
    assert untried.title == "umount: not tried"


def test_a_place_that_is_not_reached_is_no_verdict() -> None:
    outcome = replace(_reply(0, 0, before=2), no_wait="armed")
    assert unordered(_CASE, outcome).startswith("never reached: no task came to hfs_file_fsync")
    verdict = judge(_CASE, outcome, None)
    assert verdict.status is Status.ERROR
    assert "may not sleep" in unordered(_CASE, replace(outcome, no_wait="atomic"))
    failed = judge(_CASE, _reply(before=0, status=95), None)
    assert failed.status is Status.ERROR


def test_a_signal_of_the_second_task_is_a_failure() -> None:
    assert judge(_CASE, _reply(0, 0, before=2, signal=9), None).status is Status.FAIL


_STUCK = "[<0>] hfs_mdb_commit+0x10/0x20 [hfs]\n[<0>] hfs_sync_fs+0x1/0x9 [hfs]"
_BARRIER = "[<0>] anon_pipe_read+0x10/0x20\n[<0>] vfs_read+0x1/0x9"


def test_which_of_two_tasks_hangs() -> None:
    outcome = _reply(before=0, steps=1, hung=True, stack=_STUCK)
    second = judge(_CASE, replace(outcome, hung=True, stack=_BARRIER), None).failures[0]
    assert second.kind is HANG
    assert second.title == "INFO: task hung in hfs_mdb_commit"
    assert "the second task does not end, in remount" in second.detail
    inode = "[<0>] hfs_write_inode+0x1/0x2 [hfs]"
    both = judge(_CASE, replace(outcome, hung=True, stack=inode), None).failures[0]
    assert both.title == "INFO: task hung in hfs_write_inode"
    assert "fsync and, in the second task, remount do not end" in both.detail


def test_every_filesystem_has_the_event() -> None:
    cases = [one for one in plan(("hfs", "isofs", "nilfs2"), "h") if one.case is not None]
    pairs = {one.id.split("-")[3] for one in cases if one.filesystem == "hfs"}
    assert pairs == set(PLACES)
    assert {one.id.split("-")[3] for one in cases if one.filesystem == "isofs"} == {*PLACES} - {
        "fsync_remount",
        "sync_umount",
    }
    # What is never written is not synced.
    assert not any(one.filesystem == "isofs" and "sync" in one.id for one in cases)
    (nilfs2,) = [one.id for one in cases if "nilfs2-h-fsync" in one.id]
    assert nilfs2 == "killsb-nilfs2-h-fsync_remount-at-nilfs_segctor_sync"
    (sync,) = [one.case for one in cases if "hfs-h-sync_umount" in one.id]
    assert sync is not None
    assert isinstance(sync.steps[2], SyncAll)


def test_a_record_has_the_order() -> None:
    outcome = _reply(0, 0, before=2)
    (order,) = orders_of(_CASE, outcome)
    record = CaseRecord("pair", CaseStatus.PASS, orders=(order,))
    assert from_json(CaseRecord, to_json(record)) == record
