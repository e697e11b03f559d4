"""The rules of a verdict, and their order: a crash beats everything, a doubt beats the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from errpath.cases.case import Device, MountCase, Outcome, StepOutcome
from errpath.cases.steps import Mount, Umount
from errpath.faults.plan import FaultPlan
from errpath.oracles.failure import DATA_MISMATCH, ERRNO, WARNING
from errpath.oracles.kmemleak import CallSite, Record
from errpath.runner.verdict import Leak, Status, infrastructure_error, judge

_CASE = MountCase(
    "id",
    "hfs",
    Device(),
    (Mount("hfs", fail=FaultPlan("hfs_fill_super", "EIO")), Mount("hfs"), Umount()),
)
_GOOD = Outcome(
    "task",
    33,
    (StepOutcome(5, "mount"), StepOutcome(0, "mount"), StepOutcome(0, "umount")),
    fired=1,
)
_RECORD = Record(0xFFFF888003C2EC00, 512, "task", 33, 4294894026, (CallSite("f", 1, None),), "raw")
_CONFIRMED = Leak((_RECORD,), 2, 2)
_DOUBTFUL = Leak((_RECORD,), 0, 2)
_WARNING = "WARNING: fs/super.c:638 at generic_shutdown_super+0x10b/0x160"

_LEAKED = "memory leak in f (1 unreferenced object, 512 bytes, confirmed 2 of 2)"
_WARNED = f"WARNING in generic_shutdown_super ({_WARNING})"
_NEVER = "never reached: the fault in hfs_fill_super did not fire"
_UNTRIED = "the task could not try a step (-ENOENT)"
_DOUBT = "a suspected leak was confirmed in 0 of 2 repeats"
_HELD = "the block device is still held after the case (-EBUSY)"
_HUNG = "INFO: task hung (the task did not end within 20 s)"
_USERS = "hfs: node 4:1 still has 1 user(s)!"
_PASS, _FAIL, _ERROR = Status.PASS, Status.FAIL, Status.ERROR

_WRONG_STEPS = (StepOutcome(22, "mount", ("e hfs: bad",)), StepOutcome(0, "mount"))

_TABLE = {
    "all_as_it_should_be": (_GOOD, None, _PASS, ()),
    "no_leak_in_an_empty_list": (_GOOD, Leak(()), _PASS, ()),
    "warning": (replace(_GOOD, kmsg=_WARNING), None, _FAIL, (_WARNED,)),
    "warning_after_the_case": (
        replace(_GOOD, kmsg_after=_WARNING),
        None,
        _FAIL,
        (f"WARNING in generic_shutdown_super ({_WARNING}; printed after the case)",),
    ),
    "a_message_after_the_case": (
        replace(
            _GOOD, kmsg_after="hfs: new\nhfs: node 4:1 still has 1 user(s)!", kmsg_after_levels="66"
        ),
        None,
        _FAIL,
        (f"{_USERS} (printed after the case)",),
    ),
    "a_log_with_a_gap": (
        replace(_GOOD, kmsg_lost=7),
        None,
        _ERROR,
        ("7 messages of the kernel log were overwritten unread",),
    ),
    "a_warning_in_a_log_with_a_gap": (
        replace(_GOOD, kmsg=_WARNING, kmsg_lost=7),
        None,
        _FAIL,
        (_WARNED,),
    ),
    "killed_without_a_report": (
        replace(_GOOD, signal=9),
        None,
        _FAIL,
        ("the task was killed by signal 9",),
    ),
    "killed_by_what_the_kernel_reports": (
        replace(_GOOD, signal=9, kmsg=_WARNING),
        None,
        _FAIL,
        (_WARNED,),
    ),
    "hang": (replace(_GOOD, hung=True, steps=()), None, _FAIL, (_HUNG,)),
    "a_hang_explains_a_held_device": (
        replace(_GOOD, hung=True, steps=(), device_errno=16),
        None,
        _FAIL,
        (_HUNG,),
    ),
    "a_crash_explains_what_came_after": (
        replace(_GOOD, kmsg=_WARNING, fired=0, status=2, steps=()),
        None,
        _FAIL,
        (_WARNED,),
    ),
    "a_step_that_could_not_be_tried": (replace(_GOOD, status=2), None, _ERROR, (_UNTRIED,)),
    "untried_beats_never_reached": (
        replace(_GOOD, status=2, fired=0),
        None,
        _ERROR,
        (_UNTRIED,),
    ),
    "never_reached": (replace(_GOOD, fired=0), None, _ERROR, (_NEVER,)),
    "unknown_whether_reached": (replace(_GOOD, fired=None), None, _ERROR, (_NEVER,)),
    "never_reached_beats_a_wrong_errno": (
        replace(_GOOD, fired=0, steps=_WRONG_STEPS),
        None,
        _ERROR,
        (_NEVER,),
    ),
    "never_reached_beats_a_leak": (replace(_GOOD, fired=0), _CONFIRMED, _ERROR, (_NEVER,)),
    "wrong_errno": (
        replace(_GOOD, steps=_WRONG_STEPS),
        None,
        _FAIL,
        ("mount: mount: -EINVAL (e hfs: bad); expected -EIO",),
    ),
    "wrong_success": (
        replace(_GOOD, steps=(StepOutcome(5, "mount"), StepOutcome(30, "mount"))),
        None,
        _FAIL,
        ("mount: mount: -EROFS; expected success",),
    ),
    "a_step_not_tried": (
        replace(_GOOD, steps=_GOOD.steps[:2]),
        None,
        _FAIL,
        ("umount: not tried",),
    ),
    "no_step_at_all": (replace(_GOOD, steps=()), None, _FAIL, ("mount: not tried",)),
    "leak": (_GOOD, _CONFIRMED, _FAIL, (_LEAKED,)),
    "a_leak_that_needs_no_second_look": (
        _GOOD,
        Leak((_RECORD, _RECORD)),
        _FAIL,
        ("memory leak in f (2 unreferenced objects, 1024 bytes)",),
    ),
    "a_leak_stands_before_the_rest": (
        replace(_GOOD, kmsg=_WARNING, device_errno=16),
        _CONFIRMED,
        _FAIL,
        (_LEAKED, _WARNED, _HELD),
    ),
    "a_doubtful_leak": (_GOOD, _DOUBTFUL, _ERROR, (_DOUBT,)),
    "a_doubtful_leak_beats_a_wrong_errno": (
        replace(_GOOD, steps=_WRONG_STEPS),
        _DOUBTFUL,
        _ERROR,
        (_DOUBT, "mount: mount: -EINVAL (e hfs: bad); expected -EIO"),
    ),
    "a_crash_beats_a_doubtful_leak": (
        replace(_GOOD, kmsg=_WARNING),
        _DOUBTFUL,
        _FAIL,
        (_WARNED,),
    ),
    "a_hang_beats_a_doubtful_leak": (
        replace(_GOOD, hung=True, steps=()),
        _DOUBTFUL,
        _FAIL,
        (_HUNG,),
    ),
    "a_held_device": (replace(_GOOD, device_errno=16), None, _FAIL, (_HELD,)),
}


@pytest.mark.parametrize(("outcome", "leak", "status", "reasons"), _TABLE.values(), ids=_TABLE)
def test_rules(
    outcome: Outcome, leak: Leak | None, status: Status, reasons: tuple[str, ...]
) -> None:
    verdict = judge(_CASE, outcome, leak)
    assert (verdict.status, verdict.reasons) == (status, reasons)
    assert verdict.case is _CASE
    assert verdict.outcome is outcome


def test_without_a_fault_nothing_has_to_fire() -> None:
    steps = (Mount("hfs", expect="EIO"), *_CASE.steps[1:])
    case = replace(_CASE, steps=steps)
    assert judge(case, replace(_GOOD, fired=None), None).status is _PASS


def test_a_doubt_beside_a_crash_is_no_failure_and_its_records_are_kept() -> None:
    verdict = judge(_CASE, replace(_GOOD, kmsg=_WARNING), _DOUBTFUL)
    assert [failure.kind for failure in verdict.failures] == [WARNING]
    assert verdict.leak is _DOUBTFUL


def test_what_comes_after_a_fatal_report_follows_from_it() -> None:
    text = "kernel BUG at fs/hfs/inode.c:476!\nRIP: 0010:hfs_write_inode+0x9a/0x2d0 [hfs]\n"
    text += "Call Trace:\n---[ end trace 0 ]---\nWARNING: kernel/exit.c:914 at do_exit+0x1/0x2\n"
    verdict = judge(_CASE, replace(_GOOD, kmsg=text, hung=True, steps=()), None)
    assert [(failure.kind.name, failure.follows) for failure in verdict.failures] == [
        ("oops", False),
        ("warning", True),
        ("hang", True),
    ]
    assert verdict.signature == "kernel BUG in hfs_write_inode"
    # A warning does not make a task hang.
    verdict = judge(_CASE, replace(_GOOD, kmsg=_WARNING, hung=True, steps=()), None)
    assert not any(failure.follows for failure in verdict.failures)


def test_what_was_not_mounted_is_not_read_otherwise_as_well() -> None:
    @dataclass(frozen=True)
    class Reads:
        kind: ClassVar[str] = DATA_MISMATCH.name

        def __call__(self, outcome: Outcome) -> str:
            return "read back: folder: not there"

    case = replace(_CASE, checks=(Reads(),))
    assert [f.kind for f in judge(case, _GOOD, None).failures] == [DATA_MISMATCH]
    refused = replace(_GOOD, steps=_WRONG_STEPS)
    assert [f.kind for f in judge(case, refused, None).failures] == [ERRNO]


def test_a_rig_error_says_nothing_of_the_kernel() -> None:
    verdict = infrastructure_error(_CASE, "no disk")
    assert (verdict.status, verdict.reasons, verdict.outcome) == (_ERROR, ("no disk",), None)
