"""One expectation applies to a kernel, or the case is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from errpath.cases.case import Alternative, Device, MountCase
from errpath.cases.crafted import crafted_cases, known_issue_cases
from errpath.cases.steps import Mount, Umount
from errpath.faults.model import Alloc
from errpath.faults.plan import FaultPlan
from errpath.kernel.features.change import Change
from errpath.kernel.features.table import Feature
from errpath.runner.alternatives import Settler
from errpath.runner.verdict import Status, Verdict

_OLD, _NEW = Mount("hfs"), Mount("hfs", expect="EIO")


def _change(name: str) -> Change:
    return Change(f"hfs: {name}", function=name)


_CASE = MountCase(
    "a",
    "hfs",
    Device(),
    (_OLD, Umount()),
    alternatives=(
        Alternative(_change("one"), (_NEW,), errno="EIO"),
        Alternative(_change("two"), (_OLD,)),
    ),
)


class _Code:
    def __init__(self, **functions: bool | None) -> None:
        self._functions = functions
        self.asked: list[str] = []

    def source(self, path: str) -> str | None:
        return None

    def has_function(self, name: str) -> bool | None:
        self.asked.append(name)
        return self._functions[name]


def _settled(case: MountCase, **functions: bool | None) -> MountCase | Verdict:
    return Settler(lambda filesystem: _Code(**functions)).settled(case)


def test_without_a_change_the_case_is_as_it_stands() -> None:
    assert _settled(_CASE, one=False, two=False) == replace(_CASE, alternatives=())


def test_with_a_change_the_case_is_what_that_says() -> None:
    found = _settled(_CASE, one=True, two=False)
    assert found == replace(_CASE, steps=(_NEW,), errno="EIO", alternatives=())


def test_what_older_kernels_do_applies_where_the_change_is_missing() -> None:
    older = Alternative(_change("one"), (_NEW,), errno="EIO", without=True)
    case = replace(_CASE, alternatives=(older,))
    assert _settled(case, one=True) == replace(case, alternatives=())
    found = _settled(case, one=False)
    assert isinstance(found, MountCase)
    assert (found.steps, found.errno) == ((_NEW,), "EIO")
    unknown = _settled(case, one=None)
    assert isinstance(unknown, Verdict)
    assert unknown.status is Status.SKIP


def test_a_repeat_keeps_its_own_id() -> None:
    found = _settled(replace(_CASE, id="a#2"), one=True, two=False)
    assert isinstance(found, MountCase)
    assert (found.id, found.steps) == ("a#2", (_NEW,))


@pytest.mark.parametrize("two", [True, False])
def test_where_nothing_tells_the_case_is_left_out(two: bool) -> None:
    found = _settled(_CASE, one=None, two=two)
    assert isinstance(found, Verdict)
    assert found.status is Status.SKIP
    assert found.reasons == ("what it expects depends on 'hfs: one'; nothing to decide by: one",)


def test_two_expectations_that_apply_are_no_verdict() -> None:
    found = _settled(_CASE, one=True, two=True)
    assert isinstance(found, Verdict)
    assert found.status is Status.ERROR
    assert "two expectations apply: 'hfs: one' and 'hfs: two'" in found.reasons[0]


def test_each_change_is_looked_for_once() -> None:
    code = _Code(one=False, two=False)
    settler = Settler(lambda filesystem: code)
    settler.settled(_CASE)
    settler.settled(replace(_CASE, id="b"))
    assert code.asked == ["one", "two"]


def test_functions_of_one_name_in_two_filesystems_are_told_apart() -> None:
    codes = {"hfs": _Code(one=False, two=False), "hfsplus": _Code(one=True, two=False)}
    settler = Settler(codes.__getitem__)
    found = [settler.settled(replace(_CASE, filesystem=fs)) for fs in codes]
    assert [one.steps for one in found if isinstance(one, MountCase)] == [_CASE.steps, (_NEW,)]


def test_a_catalogue_entry_takes_over_nothing_of_what_it_expects_elsewhere() -> None:
    cases = {case.id: case for case in crafted_cases()}
    cases |= {case.id: case for _, case in known_issue_cases()}
    (cut,) = cases["hfsplus-private-map-cut-mount-rw"].alternatives
    assert cases["hfsplus-private-map-cut-mount-rw"].errno == "EEXIST"
    assert cut.errno == ""
    assert [step.expected for step in cut.steps] == ["", "", "EROFS", ""]
    (root,) = cases["hfs-root-id-5-fsopen-ro"].alternatives
    assert [step.expected for step in root.steps] == ["EIO"]


_STAND_IN = Feature(
    "setup", "late failures", symbol="setup", instead="open_device", differs="it comes before"
)


def test_where_a_function_is_missing_what_does_its_work_fails() -> None:
    settler = Settler(lambda filesystem: _Code(), {"setup": _STAND_IN})
    steps = (Mount("hfs", fail=FaultPlan("setup", "EIO"), expect="EIO"), Umount())
    case = MountCase("a", "hfs", Device(), steps, errno="EIO")
    found = settler.settled(case)
    assert isinstance(found, MountCase)
    assert found.fault == FaultPlan("open_device", "EIO")
    assert [step.expected for step in found.steps] == ["EIO", ""]
    assert found.differs == "open_device fails in place of setup: it comes before"
    for fault in (FaultPlan("other", "EIO"), Alloc(nth=1)):
        other = replace(case, steps=(Mount("hfs", fail=fault, expect="EIO"),))
        assert settler.settled(other) == other
