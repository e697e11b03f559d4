"""What is kept: written, read back, collected by pytest anywhere."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from errpath.cases.case import Device, MountCase
from errpath.cases.crafted import LogContains, crafted_cases
from errpath.cases.lifecycle import parse_filesystems, plan
from errpath.cases.steps import FsOpen, Mount, Umount
from errpath.cases.volume_steps import WriteFile
from errpath.cli.main import main
from errpath.errors import DefinitionError, ErrpathError, UsageError
from errpath.faults.model import Alloc, Call, Flush, Read, Write
from errpath.faults.plan import FaultPlan
from errpath.images.crafted.catalogue import base_image
from errpath.intake.case_text import case_from_values, case_to_values
from errpath.intake.kept import KEPT_TEST, keep_case, keep_reproducer, load_kept

_IMAGE = base_image("hfs")
_FAULTS = (
    FaultPlan("setup_bdev_super", "EIO", 2),
    Call("hfs_bnode_find", nth=3),
    Alloc(nth=2, kind="slab"),
    Read(nth=4),
    Write(),
    Flush(),
)


def _again(case: MountCase) -> MountCase:
    """Through YAML and back."""
    values = yaml.safe_load(yaml.safe_dump(case_to_values(case)))
    return case_from_values(values, case.device.image, Path("x.yaml"))


def _bare(case: MountCase) -> MountCase:
    """Without what only markers and batches are made of, and with the device as it stands."""
    device = replace(case.device, pieces=())
    return replace(case, point="none", errno="", batch="", exclusive=False, device=device)


def test_every_case_of_the_matrix_is_read_back() -> None:
    cases = [one.case for one in plan(parse_filesystems("hfs,minix,ext4")) if one.case is not None]
    assert len(cases) > 100
    kept = [case for case in cases if not case.alternatives and not case.devices]
    assert [_again(case) for case in kept] == [_bare(case) for case in kept]


@pytest.mark.parametrize("fault", _FAULTS, ids=lambda fault: type(fault).__name__)
def test_every_fault_is_read_back(fault: FaultPlan) -> None:
    steps = (FsOpen("hfs", fail=fault, expect=""), Umount(), Mount("hfs", options="uid=3,quiet"))
    case = MountCase("c", "hfs", Device(_IMAGE, readonly=True), steps, seconds=3.0)
    assert _again(case) == case


def test_a_message_is_kept_and_code_is_not() -> None:
    steps = (Mount("hfs", expect="EIO"), WriteFile("/proc/sys/x", "data"))
    case = MountCase("c", "hfs", Device(), steps, checks=(LogContains("bad MDB"),))
    assert _again(case) == case
    other = next(case for case in crafted_cases() if case.checks)
    if any(not isinstance(check, LogContains) for check in other.checks):
        with pytest.raises(UsageError, match="is code; expected a case without"):
            case_to_values(other)


def test_a_kept_case_has_its_image_as_it_was_mounted(tmp_path: Path) -> None:
    device = Device(_IMAGE, pieces=((2048, b"changed"),), size=_IMAGE.size - 512)
    case = MountCase("some-case", "hfs", device, (Mount("hfs"), Umount()))
    file = keep_case(case, tmp_path, "mine", title="memory leak in f", link="there", known=False)
    (found,) = load_kept(tmp_path)
    assert (found.name, found.title, found.link, found.known) == (
        *("mine", "memory leak in f", "there"),
        False,
    )
    assert found.case is not None
    assert found.case.device.image is not None
    assert device.content is not None
    assert found.case.device.image.key == device.content.key
    assert found.case.steps == case.steps
    with pytest.raises(UsageError, match=r"is there; expected a new name"):
        keep_case(case, tmp_path, "mine", known=False)
    assert file.name == "mine.yaml"
    with pytest.raises(UsageError, match="--as "):
        keep_case(case, tmp_path, "../x", known=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "expected a kept case"),
        ("- 1", "expected a mapping"),
        ("id: x", "filesystem: missing"),
        ("{id: x, filesystem: hfs, steps: [{op: nothing}]}", "op 'nothing': expected one of"),
        ("{id: x, filesystem: hfs, steps: []}", "expected at least one step"),
        ("{id: x, filesystem: hfs, steps: 3}", "got 3; expected a list"),
        ("{id: x, filesystem: hfs, steps: [{op: umount}], odd: 1}", "odd: unknown"),
        ("{id: x, filesystem: hfs, steps: [{op: umount, fail: {type: x}}]}", "type 'x'"),
        ("{id: x, filesystem: hfs, steps: [{op: mount}]}", "fstype"),
        ("{id: x, filesystem: hfs, steps: [{op: umount}], image: none.img}", "No such file"),
        ("{reproducer: ../../etc/passwd}", "no such file beside it"),
    ],
)
def test_a_wrong_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text(text)
    with pytest.raises(ErrpathError) as caught:
        load_kept(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, DefinitionError | UsageError)


def test_pytest_collects_a_directory_anywhere(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    case = MountCase("c", "hfs", Device(_IMAGE), (Mount("hfs"), Umount()))
    keep_case(case, kept, "one", known=False)
    keep_case(case, kept, "open", title="memory leak in f", link="there", known=True)
    (tmp_path / "repro.c").write_text("int main(void) { return 0; }\n")
    keep_reproducer(tmp_path / "repro.c", kept, "program", known=False)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "kept", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert sorted(line for line in done.stdout.splitlines() if "::" in line) == [
        "kept/test_kept.py::test_kept[one]",
        "kept/test_kept.py::test_kept[open]",
        "kept/test_kept.py::test_kept_reproducer[program]",
    ], done.stdout + done.stderr


def test_the_command_keeps_a_suites_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["keep", "hfs-setup_bdev_super-EIO-mount-rw", "--as", "a", "--into", str(tmp_path)]
    assert main([*words, "--title", "memory leak in hfs_init_fs_context"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/a.yaml: kept; pytest {tmp_path} runs it\n"
    (found,) = load_kept(tmp_path)
    assert found.case is not None
    assert found.case.fault == FaultPlan("setup_bdev_super", "EIO")
    assert (tmp_path / KEPT_TEST).is_file()
    assert main(["keep", "hfs-no-such-case", "--as", "b", "--into", str(tmp_path)]) == 2
