"""The catalogue as mount cases."""

from __future__ import annotations

import pytest

from errpath.cases import crafted
from errpath.cases.case import MountCase, Outcome, StepOutcome
from errpath.cases.volume_steps import WriteProbe
from errpath.images.crafted.catalogue import catalogue, find_case

_PLAIN = {case.id: case for case in crafted.crafted_cases()}
# By API and mode the device is the same.
_ONCE = {id_: case for id_, case in _PLAIN.items() if id_.endswith("-mount-ro")}
_KNOWN = [case for _, case in crafted.known_issue_cases()]


def test_every_catalogue_entry_is_mounted() -> None:
    names = {case.name for fs in ("hfs", "hfsplus") for case in catalogue(fs).cases}
    ids = [*_PLAIN, *(case.id for case in _KNOWN)]
    assert all(any(id_.startswith(f"{name}-") for id_ in ids) for name in names)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("case", _ONCE.values(), ids=list(_ONCE))
def test_the_device_holds_the_crafted_image(case: MountCase) -> None:
    name = case.id.rsplit("-", 2)[0]
    content = case.device.content
    assert content is not None
    assert content.sha256 == find_case(name)[1].image().sha256


def test_only_known_issues_are_kept_apart() -> None:
    assert all(case.exclusive for case in _KNOWN)
    assert not any(case.exclusive for case in _PLAIN.values())


def test_what_spoils_its_guest_shares_it_with_no_other_case() -> None:
    spoilers = {
        f"{case.name}-"
        for fs in ("hfs", "hfsplus")
        for case in catalogue(fs).cases
        if case.contaminates_guest
    }
    assert spoilers
    for case in _PLAIN.values():
        contaminates_guest = any(
            case.id.startswith(name) for name in spoilers
        ) and case.id.endswith("-rw")
        assert case.batch == (case.id if contaminates_guest else "")


def test_a_hidden_bug_shortens_no_deadline() -> None:
    assert {case.seconds for case in _PLAIN.values()} == {20.0}
    assert all(case.seconds <= 4.0 for case in _KNOWN)


def test_a_read_only_mount_is_written_to_in_vain() -> None:
    writes = [step for step in _PLAIN["hfs-locked-mount-rw"].steps if isinstance(step, WriteProbe)]
    assert [step.expected for step in writes] == ["EROFS"]
    writes = [step for step in _PLAIN["hfs-valid-mount-rw"].steps if isinstance(step, WriteProbe)]
    assert [step.expected for step in writes] == [""]


def test_a_message_is_looked_for_in_both_logs() -> None:
    says = crafted.LogContains("bad block")
    assert says(Outcome("t", 1, kmsg="hfs: bad block 3\n")) == ""
    log = (StepOutcome(22, "fsconfig", ("e hfs: bad block 3",)),)
    assert says(Outcome("t", 1, steps=log)) == ""
    assert "expected 'bad block'" in says(Outcome("t", 1, kmsg="something else\n"))


def test_attributes_are_read_back_in_a_second_mount() -> None:
    case = {case.id: case for case in _KNOWN}["hfsplus-attributes-large-written-mount-rw"]
    assert [step.op for step in case.steps] == [
        "mount",
        "probe",
        "umount",
        "mount",
        "readback",
        "umount",
    ]
    (keeps,) = case.checks
    assert isinstance(keeps, crafted.KeepsXattrs)
    ((path, xattrs),) = keeps.expected
    assert (path, len(xattrs)) == (b"attributes", 2)
