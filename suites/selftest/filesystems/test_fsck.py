"""Filesystems' own checkers: they pass what mkfs made, refuse what is wrong, and are never root."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.errors import InfrastructureError
from errpath.filesystems import Filesystem, known_filesystems, load_filesystem
from errpath.filesystems.fsck import complaint, missing_checker
from errpath.filesystems.mkfs import image, unmade
from errpath.images.crafted.fields import write_fields
from errpath.images.hfs.hfsplus import HfsPlusVolume

_CHECKED = [name for name in known_filesystems() if load_filesystem(name).fsck]


@pytest.fixture(params=_CHECKED)
def fs(request: pytest.FixtureRequest) -> Filesystem:
    """Each filesystem with a checker, where that and a volume of it can be had."""
    filesystem = load_filesystem(request.param)
    missing = missing_checker(filesystem) or unmade(filesystem)
    if missing:
        pytest.skip(missing)
    return filesystem


def test_a_fresh_volume_passes(fs: Filesystem) -> None:
    assert complaint(fs, image(fs.name)) == ""


def test_a_broken_volume_does_not(fs: Filesystem) -> None:
    try:
        said = complaint(fs, image(fs.name, "blank"))
    except InfrastructureError as error:
        # fsck.gfs2 does not survive it: no verdict.
        said = str(error)
    assert said.startswith(f"{fs.fsck[0]}: status ")


def test_what_fsck_says_is_told() -> None:
    fs = load_filesystem("hfs")
    if missing_checker(fs):
        pytest.skip(missing_checker(fs))
    wrong = write_fields(image("hfs"), {"mdb.drFilCnt": 77})
    assert "status" in complaint(fs, wrong)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_the_checker_is_not_root(tmp_path: Path) -> None:
    who = tmp_path / "checker"
    who.write_text('#!/bin/sh\nid -u; id -G; test -w "$1" && echo writable\nexit 4\n')
    who.chmod(0o755)
    fs = replace(load_filesystem("hfs"), fsck=(str(who), "{image}"))
    assert complaint(fs, image("hfs")) == f"{who}: status 4: 65534; 65534"


def test_a_checker_below_a_folder_of_roots_is_run_all_the_same(tmp_path: Path) -> None:
    who = tmp_path / "shut" / "checker"
    who.parent.mkdir(mode=0o700)
    who.write_text("#!/bin/sh\nexit 4\n")
    who.chmod(0o700)
    fs = replace(load_filesystem("hfs"), fsck=(str(who), "{image}"))
    assert complaint(fs, image("hfs")) == f"{who}: status 4: "


@pytest.mark.parametrize(
    "text", ["#!/no/such/shell\n", "#!/bin/sh\nexit 127\n", "#!/bin/sh\nkill $$\n"]
)
def test_one_that_does_not_run_is_the_rigs_failure(tmp_path: Path, text: str) -> None:
    who = tmp_path / "checker"
    who.write_text(text)
    who.chmod(0o755)
    with pytest.raises(InfrastructureError):
        complaint(replace(load_filesystem("hfs"), fsck=(str(who), "{image}")), image("hfs"))


def test_one_that_is_written_and_has_no_checker_says_why() -> None:
    for name in known_filesystems():
        fs = load_filesystem(name)
        if not fs.read_only and not fs.fsck:
            assert fs.no_fsck, name
        assert not (fs.fsck and fs.no_fsck), name


@pytest.mark.parametrize(
    ("text", "masked", "told"),
    [
        ("Unused node is not erased (node = 3)", False, False),
        ("Unused node is not erased (node = 3)", True, True),
        ("Incorrect block count", False, True),
    ],
)
def test_what_is_wrong_only_with_a_bit_that_the_volume_lacks(
    tmp_path: Path, text: str, masked: bool, told: bool
) -> None:
    who = tmp_path / "checker"
    who.write_text(f"#!/bin/sh\necho '{text}'\nexit 8\n")
    who.chmod(0o755)
    fs = replace(load_filesystem("hfsplus"), fsck=(str(who), "{image}"))
    volume = HfsPlusVolume(name="bits", unused_node_fix=masked).image()
    assert bool(complaint(fs, volume)) == told
