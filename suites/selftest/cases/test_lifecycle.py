"""The matrix: every event of every filesystem is planned, run or told why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from errpath.cases.lifecycle import (
    BY_EVENT,
    BY_POINT,
    Matrix,
    matrix,
    parse_events,
    parse_filesystems,
    plan,
    plan_crafted,
)
from errpath.cases.steps import FsOpen, Mount, Remount
from errpath.errors import UsageError
from errpath.filesystems import (
    EVENT_NAMES,
    EVENTS,
    Filesystem,
    known_filesystems,
    load_filesystem,
)
from errpath.runner.subset import split_evenly
from errpath.util.resources import FILESYSTEMS


def test_every_event_of_every_filesystem_is_planned() -> None:
    planned = list(plan(known_filesystems()))
    cells = {(one.filesystem, one.event) for one in planned}
    assert cells == {(name, event) for name in known_filesystems() for event in EVENTS}
    assert all((one.case is None) == bool(one.reason) for one in planned)


def test_ids_are_unique_and_name_filesystem_and_event() -> None:
    ids = [one.id for one in plan(known_filesystems())]
    assert len(ids) == len(set(ids))
    assert all(
        one.id.startswith(f"killsb-{one.filesystem}-{one.event}") for one in plan(("hfs", "adfs"))
    )


def test_both_interfaces_and_both_modes() -> None:
    for event in "abcd":
        cases = [one.case for one in plan(("ext4",), (event,)) if one.case is not None]
        first = [step for case in cases if isinstance(step := case.steps[0], Mount | FsOpen)]
        assert len(first) == len(cases)
        assert {step.op for step in first} == {"mount", "fsopen"}, event
        assert {"ro" in step.flags for step in first} == {True, False}, event


def test_cases_of_one_filesystem_share_a_batch() -> None:
    assert {one.case.batch for one in plan(("hfs", "ext2")) if one.case} == {"hfs", "ext2"}


def test_without_a_valid_image_what_needs_one_is_reported(
    define: Callable[[str], Filesystem],
) -> None:
    own = define(_definition("freevxfs").replace("  writer: vxfs\n", ""))
    reasons = {one.event: one.reason for one in plan((own.name,)) if one.case is None}
    assert set(reasons) == set("degh")
    assert all("valid image" in reason for reason in reasons.values())


def _definition(name: str) -> str:
    """The text of a filesystem's file."""
    return (FILESYSTEMS / f"{name}.yaml").read_text()


@pytest.mark.parametrize("failed", [False, True])
def test_without_the_mkfs_the_cases_are_skipped(
    define: Callable[[str], Filesystem], tmp_path: Path, failed: bool
) -> None:
    if failed:
        (tmp_path / "mkfs.gone").write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "mkfs.gone").chmod(0o755)
    own = define(_definition("ext2").replace("mkfs.ext2", "./mkfs.gone"))
    why = "mkfs.gone: failed with status 1" if failed else "mkfs.gone: not there, or not executable"
    planned = list(plan((own.name,)))
    idle = [one for one in planned if why in one.reason]
    # A blank image still serves the failures that look at no image.
    assert {one.event for one in idle} == set("cdegh")
    assert {one.failed for one in idle} == {failed}
    assert all(one.case is not None for one in planned if one.event in "ab")
    assert not any(one.failed for one in planned if one not in idle)


def test_a_filesystem_that_refuses_rw_is_mounted_ro() -> None:
    cases = [one.case for one in plan(("isofs",), ("d",)) if one.case is not None]
    assert {case.steps[0].expected for case in cases} == {"", "EACCES"}
    for case in cases:
        step = case.steps[0]
        assert isinstance(step, Mount | FsOpen)
        assert ("ro" in step.flags) == (step.expected != "EACCES"), case.id


def test_options_that_every_mount_needs_are_in_every_mount() -> None:
    cases = [one.case for one in plan(("ufs",)) if one.case is not None]
    mounts = [step for case in cases for step in case.steps if isinstance(step, Mount | Remount)]
    assert len(mounts) > 2
    assert all("ufstype=44bsd" in step.data for step in mounts)


def test_a_server_goes_with_every_mount_but_of_a_blank_image() -> None:
    cases = [one.case for one in plan(("fuseblk",)) if one.case is not None]
    for case in cases:
        for step in case.steps:
            mounts = isinstance(step, Mount | FsOpen)
            assert step.as_request().get("served", False) == (mounts and case.point != "image")
    refused = [case for case in cases if case.point == "image"]
    assert refused
    assert {step.expected for case in refused for step in case.steps} == {"EINVAL"}
    steps = [step for one in plan(("hfs",)) if one.case for step in one.case.steps]
    assert not any(step.as_request().get("served") for step in steps)


def test_what_a_filesystem_lacks_is_described_by_variant() -> None:
    planned = list(plan(("btrfs",), ("a",)))
    lacking = [one for one in planned if one.reason]
    assert lacking
    assert all("-a-injected-" in one.id for one in lacking)
    assert any(one.case for one in planned)


def test_selections() -> None:
    assert parse_filesystems("hfs, ext4") == ("hfs", "ext4")
    assert parse_filesystems("") == known_filesystems()
    assert parse_events("a,c") == ("a", "c")
    assert parse_events("") == tuple(EVENTS)
    assert parse_events("setup-bdev bad-image,c") == ("a", "c")
    assert parse_events(",".join(EVENT_NAMES.values())) == tuple(EVENTS)
    with pytest.raises(UsageError, match="filesystem hfz: not defined"):
        parse_filesystems("hfz")
    with pytest.raises(UsageError, match=r"--event z: unknown; expected some of: setup-bdev or a"):
        parse_events("z")


def test_second_mounts_that_share_are_unmounted_twice() -> None:
    load_filesystem("qnx4")
    case = next(one.case for one in plan(("qnx4",), ("g",)) if "rw_then_ro" in one.id)
    assert case is not None
    assert [step.op for step in case.steps][-2:] == ["umount", "umount"]


def test_batches_stay_whole_for_any_number_of_workers() -> None:
    cases = [one.case for one in plan(("hfs",)) if one.case is not None]
    assert [len(part) for part in split_evenly(cases, 1)] == [len(cases)]


def test_crafted_images_are_cases_of_event_c() -> None:
    planned = list(plan_crafted(("hfsplus", "minix")))
    assert {(one.filesystem, one.event) for one in planned} == {("hfsplus", "c")}
    batches = {one.case.batch for one in planned if one.case is not None}
    # Cases that hang share no guest with others; those that contaminate theirs share it with none.
    alone = {f"hfsplus-grow-extents-full-{api}-rw" for api in ("mount", "fsopen")}
    assert batches == {"hfsplus-crafted", "hfsplus-known", *alone}
    ids = [one.id for one in planned]
    assert len(set(ids)) == len(ids)
    assert "hfsplus-extents-header-kind-mount-rw" in ids


def test_a_dense_matrix_has_every_errno_on_every_image() -> None:
    dense = Matrix(errnos=("EIO", "EPERM"), images=("valid", "blank"), ids=BY_POINT)
    cases = {case.id: case for case in dense.cases(("ext4",), ("b",))}
    ids = {
        f"ext4-ext4_fill_super-{errno}-{api}-{mode}{image}"
        for errno in ("EIO", "EPERM")
        for api in ("mount", "fsopen")
        for mode in ("rw", "ro")
        for image in ("", "-blank")
    }
    after = {f"ext4-ext4_fill_super-EIO-then-mount-{api}" for api in ("mount", "fsopen")}
    assert set(cases) == ids | after
    blank = cases["ext4-ext4_fill_super-EPERM-mount-rw-blank"]
    assert (blank.device.image and blank.device.image.name, blank.errno) == ("ext4-blank", "EPERM")


@pytest.mark.parametrize("ids", [BY_EVENT, BY_POINT])
def test_any_filesystem_may_have_either_ids(ids: dict[str, str]) -> None:
    for dense in (Matrix(ids=ids), Matrix(ids=ids, errnos=("EIO", "EPERM"), images=("blank",))):
        planned = list(dense.plan(known_filesystems()))
        assert len({one.id for one in planned}) == len(planned) > 1000


def test_every_kind_of_cell_has_an_id_in_some_table() -> None:
    """A cell of a misspelt kind would be left out by every matrix."""
    fs = load_filesystem("ext4")
    kinds = {one.kind for make in matrix._MAKERS.values() for one in make(fs, ("EIO",), ())}
    assert kinds | {"refused"} == {*BY_EVENT, *BY_POINT}


def test_what_older_kernels_give_is_an_alternative_of_the_cases_that_it_concerns() -> None:
    cases = [one.case for one in plan(("bfs",)) if one.case is not None]
    older = {case.id: case.alternatives for case in cases if case.alternatives}
    assert set(older) == {
        "killsb-bfs-f-unknown_option-mount-rw",
        "killsb-bfs-f-unknown_option-fsopen-rw",
        *(
            f"killsb-bfs-e-unknown_option-{api}-{mode}"
            for api in ("mount", "fsopen")
            for mode in ("rw", "ro")
        ),
    }
    ((other,),) = {
        older[case.id] for case in cases if case.id.endswith("f-unknown_option-mount-rw")
    }
    assert (other.without, other.errno) == (True, "")
    # What is mounted is unmounted again.
    assert [(step.op, step.expected) for step in other.steps] == [("mount", ""), ("umount", "")]
    assert other.change.function == "bfs_init_fs_context"


def test_a_change_that_makes_other_cases_is_refused(
    define: Callable[[str], Filesystem],
) -> None:
    before = '{commit: "isofs: write", expect: {rw: ""}, function: isofs_write}'
    own = define(f"{_definition('isofs')}before: [{before}]\n")
    with pytest.raises(ValueError, match="changes which cases there are"):
        list(plan((own.name,), ("d",)))
