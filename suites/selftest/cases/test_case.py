"""errno names, fault plans and cases: the words that go to the agent."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.cases.case import Device, MountCase, Outcome, StepOutcome
from errpath.cases.steps import FsOpen, Mount, Umount
from errpath.errors import UsageError
from errpath.faults.model import Alloc, Fault, Read
from errpath.faults.plan import FaultPlan
from errpath.images import blank
from errpath.util.errnos import errno_name, errno_value


@given(value=st.sampled_from(sorted(errno.errorcode)))
def test_errno_names_go_both_ways(value: int) -> None:
    assert errno_value(errno_name(value)) == value
    assert errno_name(value).startswith("-E")


def test_errno_names_at_the_edges() -> None:
    assert errno_name(0) == "0"
    # ENOTSUPP, which the kernel must not let out, and does.
    assert errno_name(524) == "-524"
    assert errno_value("EIO") == errno_value("-EIO") == 5


@pytest.mark.parametrize("name", ["", "EBOGUS", "errorcode", "__doc__", "5", "eio", "--EIO"])
def test_an_unknown_errno_is_one_line(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^errno {name}: unknown; expected a name such as EIO"):
        errno_value(name)


def test_fault_plan_in_the_agents_form() -> None:
    plan = FaultPlan("hfs_fill_super", "ENOMEM", times=2)
    assert plan.as_request() == {"function": "hfs_fill_super", "retval": -12, "times": 2}


@pytest.mark.parametrize("function", ["", "3d", "a-b", "a b", "a;b", "a\n", "foo()", "/proc"])
def test_a_fault_needs_a_functions_name(function: str) -> None:
    with pytest.raises(ValueError, match="expected a C function's name"):
        FaultPlan(function, "EIO")


def test_a_clones_name_is_a_functions_name() -> None:
    assert FaultPlan("do_it.isra.0", "EIO").function == "do_it.isra.0"


def test_a_fault_refuses_what_it_cannot_be() -> None:
    with pytest.raises(UsageError, match="errno EBOGUS"):
        FaultPlan("f", "EBOGUS")
    with pytest.raises(ValueError, match=r"times: got 0; expected at least 1"):
        FaultPlan("f", "EIO", times=0)


def test_devices_in_the_agents_form() -> None:
    image = blank(4096, name="x")
    assert Device().as_request(None) == {}
    assert Device(node=(240, 7)).as_request(None) == {"node": [240, 7]}
    assert Device(image, readonly=True, held=True, block_size=4096).as_request("id") == {
        "image": "id",
        "readonly": True,
        "held": True,
        "block_size": 4096,
    }


def test_a_case_in_the_agents_form() -> None:
    case = MountCase(
        "id",
        "hfs",
        Device(node=(7, 0)),
        (
            FsOpen(
                "hfs",
                flags=("ro",),
                options=(("a", "b"), ("c", None)),
                fail=FaultPlan("f", "EIO"),
                expect="",
            ),
            Mount("hfs", options="a=b", expect="EIO"),
            Umount(),
        ),
        seconds=1.5,
    )
    assert case.as_request("task", [None], trace=True) == {
        "name": "task",
        "trace": True,
        "device": {"node": [7, 0]},
        "fault": {"function": "f", "retval": -5, "times": 1},
        "steps": [
            {
                "op": "fsopen",
                "armed": True,
                "go_on": False,
                "fstype": "hfs",
                "flags": ["ro"],
                "options": [["a", "b"], ["c", None]],
                "until": "mount",
            },
            {"op": "mount", "armed": False, "go_on": True, "fstype": "hfs", "data": "a=b"},
            {"op": "umount", "armed": False, "go_on": False},
        ],
        "timeout_ms": 1500,
    }


def test_an_outcome_from_the_agents_words() -> None:
    outcome = Outcome.from_reply(
        "task",
        {
            "pid": 33,
            "steps": [{"errno": 22, "syscall": "fsconfig", "log": "e hfs: bad\nw hfs: odd\n"}],
            "fired": 1,
            "signal": 9,
            "hung": True,
            "stack": "[<0>] f+0x1/0x2",
            "left_mounted": 1,
            "device_errno": 16,
            "kmsg": "x",
            "status": 5,
        },
    )
    assert outcome == Outcome(
        "task",
        33,
        (StepOutcome(22, "fsconfig", ("e hfs: bad", "w hfs: odd")),),
        fired=1,
        signal=9,
        hung=True,
        stack="[<0>] f+0x1/0x2",
        left_mounted=1,
        device_errno=16,
        kmsg="x",
        status=5,
    )
    assert str(outcome.steps[0]) == "fsconfig: -EINVAL (e hfs: bad; w hfs: odd)"
    assert Outcome.from_reply("task", {"pid": 1}) == Outcome("task", 1)


def test_a_case_has_one_fault_plan() -> None:
    steps = [Mount("hfs", fail=FaultPlan(name, "EIO")) for name in ("f", "g")]
    case = MountCase("id", "hfs", Device(), (steps[0], Umount(), steps[0]))
    assert case.faults == (steps[0].fail,)
    assert MountCase("id", "hfs", Device(), (Umount(),)).fault is None
    with pytest.raises(ValueError, match="case id: expected one fault plan, in whatever steps"):
        MountCase("id", "hfs", Device(), tuple(steps))
    with pytest.raises(ValueError, match="case id: expected one fault plan"):
        MountCase("id", "hfs", Device(), (steps[0], Mount("hfs", fail=Read())))


_TWO = MountCase(
    "id", "hfs", Device(), (Mount("hfs", fail=Alloc(nth=7)), Umount(), Mount("hfs", fail=Read()))
)


def test_steps_have_faults_of_their_own() -> None:
    assert _TWO.faults == (Alloc(nth=7), Read())
    request = _TWO.as_request("task", [None])
    assert request["fault"] is None
    assert [step.get("arm") for step in request["steps"]] == [
        "fail 0 - 7 1 0 -12",
        None,
        "fail 3 - 1 1 0 0",
    ]
    assert [step.get("armed") for step in request["steps"]] == [None, False, None]


@pytest.mark.parametrize(
    ("fired", "missed"),
    [
        ((1, None, 1), None),
        ((2, None), None),
        ((1, None, 0), Read()),
        ((0, None, 1), Alloc(nth=7)),
        ((0,), Alloc(nth=7)),
        ((), Alloc(nth=7)),
    ],
)
def test_a_fault_that_misses_is_named(fired: tuple[int | None, ...], missed: Fault | None) -> None:
    """Of a step that was not tried nothing is said, unless no fault hit at all."""
    replies = [{"errno": 0, "syscall": "x", "log": "", "fired": count} for count in fired]
    total = sum(count or 0 for count in fired)
    outcome = Outcome.from_reply("task", {"pid": 1, "steps": replies, "fired": total})
    assert _TWO.missed(outcome) == missed


def test_further_devices_have_names() -> None:
    log = Device(blank(4096, name="log"), pieces=((0, b"ab"),), name="log")
    first = Device(blank(4096, name="x"), pieces=((512, b"c"),))
    case = MountCase("id", "xfs", first, (Umount(),), devices=(log,))
    request = case.as_request("task", ["one", "two"])
    assert request["device"]["image"] == "one"
    assert [(one["image"], one["name"]) for one in request["devices"]] == [("two", "log")]
    assert case.blob == b"cab"
    for devices in ((Device(),), (log, log), (log, Device())):
        with pytest.raises(ValueError, match="case id: expected 8 further devices at most, each"):
            MountCase("id", "xfs", first, (Umount(),), devices=devices)
    with pytest.raises(ValueError, match=r"name: got '\.\./x'; expected letters, digits, _ and -"):
        Device(name="../x")
