"""Every filesystem's file is complete and true to the configuration; a wrong one names its line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from errpath.errors import DefinitionError, UsageError
from errpath.filesystems import (
    EXPECTATIONS,
    Filesystem,
    ImageRecipe,
    add_filesystems,
    known_filesystems,
    load_filesystem,
    mkfs,
    remove_filesystems,
)
from errpath.guest.definition import load_guest
from errpath.images.simple import WRITERS
from errpath.kernel.build.kconfig import load_requested, parse_config
from errpath.util import yamlfile

MINIMAL = """\
fstype: x
kconfig: [CONFIG_X=m]
modules: [x]
fill_super: x_fill_super
reconfigure: ""
source: fs/x/super.c
"""
WITH_VALID = (
    *("hfs", "hfsplus", "ext2", "ext4", "msdos", "vfat", "exfat"),
    *("ntfs", "ntfs3", "xfs", "btrfs", "f2fs", "erofs", "squashfs"),
    *("isofs", "udf", "minix", "bfs", "cramfs", "romfs", "jfs"),
    *("nilfs2", "ufs", "gfs2", "ocfs2", "omfs", "qnx4", "efs"),
    *("affs", "adfs", "befs", "freevxfs", "fuseblk", "hpfs", "qnx6"),
)


def _load(tmp_path: Path, text: str) -> Filesystem:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    return yamlfile.load(path, Filesystem)


@pytest.mark.parametrize("name", WITH_VALID)
def test_a_valid_image_can_be_made(name: str) -> None:
    recipe = load_filesystem(name).image
    assert recipe is not None
    assert recipe.valid
    assert not recipe.writer or recipe.writer in WRITERS


def test_these_are_all() -> None:
    assert sorted(WITH_VALID) == list(known_filesystems())


@pytest.mark.parametrize("name", known_filesystems())
def test_the_guest_kernel_has_it(name: str) -> None:
    """Its configuration lines are in the guest's fragments, or in its own kernel's."""
    filesystem = load_filesystem(name)
    fragments = (*load_guest("microvm").fragments, *filesystem.own_fragments)
    values = load_requested(fragments, ()).values
    for line in filesystem.kconfig:
        ((symbol, value),) = parse_config(line).items()
        assert values.get(symbol) == value, line


def test_filesystems_that_cannot_share_a_kernel_do_not() -> None:
    own = {name: load_filesystem(name).own_kernel for name in ("ntfs", "ntfs3", "ocfs2")}
    assert own["ntfs"] != own["ntfs3"]
    # ocfs2 only needs more than the first kernel has: a third build is not worth that.
    assert own["ntfs3"] == own["ocfs2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour: red\n", r"x\.yaml:7: unknown key 'colour'; expected one of: fstype"),
        ("fstype: y\n", r"x\.yaml:7: duplicate key 'fstype'"),
        ("modules: x\n", r"x\.yaml:7: duplicate key 'modules'"),
        ("image: 7\n", r"x\.yaml:7: image: got '7'; expected a mapping"),
        ("image: {size: big}\n", r"x\.yaml:7: size: got 'big'; expected an integer"),
        ("image: {size: 1000}\n", r"x\.yaml:7: size: got 1000; expected sectors"),
        (
            "image: {size: 512, mkfs: [mkfs.x], package: p}\n",
            r"x\.yaml:7: mkfs: expected the word \{image\}",
        ),
        (
            'image: {size: 512, mkfs: [mkfs.x, "{image}"]}\n',
            r"x\.yaml:7: package: missing",
        ),
        ("expect: {blanc: EIO}\n", r"x\.yaml:1: expect: unknown key 'blanc'; expected one of"),
        ("expect: {blank: ENONSENSE}\n", r"x\.yaml:1: expect: blank: got 'ENONSENSE'"),
        ("lacks: {z: because}\n", r"x\.yaml:1: lacks: got 'z'; expected an event"),
        ('lacks: {a: ""}\n', r"x\.yaml:1: lacks: a: expected the reason"),
        ("own_kernel: nowhere\n", r"x\.yaml:1: own_kernel: got 'nowhere'; expected a file's name"),
        ("bad_option: [a, b, c]\n", r"x\.yaml:1: option 'a': expected a key"),
    ],
)
def test_a_wrong_file_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        _load(tmp_path, MINIMAL + text)


def test_a_right_file_is_taken(tmp_path: Path) -> None:
    filesystem = _load(tmp_path, MINIMAL + "expect: {blank: EIO, rw_then_ro: ''}\n")
    assert filesystem.expected("blank") == "EIO"
    assert filesystem.expected("rw_then_ro") == ""
    assert filesystem.expected("truncated") == EXPECTATIONS["truncated"]


def test_a_remount_does_as_a_reconfigure_unless_it_is_named(tmp_path: Path) -> None:
    one = _load(tmp_path, MINIMAL + "expect: {bad_reconfigure: ENOENT, unknown_remount: ''}\n")
    assert one.expected("bad_remount") == "ENOENT"
    assert one.expected("unknown_reconfigure") == "EINVAL"
    assert one.expected("unknown_remount") == ""


def test_bad_option_keeps_its_older_key(tmp_path: Path) -> None:
    assert _load(tmp_path, MINIMAL + "bad_option_errno: E2BIG\n").expected("bad_option") == "E2BIG"


def test_an_unknown_filesystem_lists_the_known() -> None:
    with pytest.raises(UsageError, match="filesystem zonefs: not defined; expected one of: adfs"):
        load_filesystem("zonefs")


def test_a_recipe_is_a_program_or_a_writer() -> None:
    with pytest.raises(ValueError, match="got both; expected one"):
        ImageRecipe(512, mkfs=("mkfs.x", "{image}"), package="p", writer="omfs")


def test_a_definition_beside_a_suite_names_what_lies_beside_it(
    define: Callable[[str], Filesystem], tmp_path: Path
) -> None:
    text = MINIMAL.replace("modules: [x]", "modules: []")
    text += "kbuild: src\nimage: {size: 512, file: x.img}\n"
    with pytest.raises(DefinitionError, match=r"defined.*\.yaml: kbuild: no src beside this file"):
        define(text)
    (tmp_path / "src").mkdir()
    with pytest.raises(DefinitionError, match=r"\.yaml: file: no x\.img beside this file"):
        define(text)
    (tmp_path / "x.img").write_bytes(b"x" * 100)
    mine = define(text)
    assert mine.name in known_filesystems()
    assert mine.kbuild_directory == tmp_path / "src"
    assert mkfs.image(mine.name).read(0, 100) == b"x" * 100
    assert mkfs.image(mine.name).size == 512


def test_definitions_beside_suites_are_known_until_they_are_removed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINIMAL)
    for _ in range(2):
        add_filesystems(tmp_path)
    remove_filesystems(tmp_path)
    assert load_filesystem("mine").fstype == "x"
    remove_filesystems(tmp_path)
    assert "mine" not in known_filesystems()
    with pytest.raises(UsageError, match="filesystem mine: not defined"):
        load_filesystem("mine")


def test_a_filesystem_has_modules_or_sources(tmp_path: Path) -> None:
    text = MINIMAL.replace("modules: [x]", "modules: []")
    with pytest.raises(DefinitionError, match=r"modules: expected the names of its modules, or kb"):
        _load(tmp_path, text)


def test_a_mkfs_may_lie_beside_the_definition(tmp_path: Path) -> None:
    image = 'image: {size: 512, mkfs: [./mkfs.x, "{image}"]}\n'
    filesystem = _load(tmp_path, MINIMAL + image)
    object.__setattr__(filesystem, "directory", tmp_path)
    assert mkfs.missing_tool(filesystem) == f"{tmp_path}/mkfs.x: not there, or not executable"
    (tmp_path / "mkfs.x").write_text("#!/bin/sh\n")
    (tmp_path / "mkfs.x").chmod(0o755)
    assert mkfs.missing_tool(filesystem) == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("expect: {nothing: EIO}", "volumes: more: expect: unknown key 'nothing'"),
        ("options: [[a, b, c]]", "option 'a': expected a key and at most one value"),
    ],
)
def test_what_is_wrong_with_a_volume_is_told(tmp_path: Path, line: str, expected: str) -> None:
    text = f"{MINIMAL}volumes:\n  more: {{size: 512, writer: zeros, {line}}}\n"
    with pytest.raises(DefinitionError, match=re.escape(expected)):
        _load(tmp_path, text)


def test_a_volume_may_have_a_superblock_of_its_own() -> None:
    qnx6 = load_filesystem("qnx6")
    assert [place.at for place in qnx6.superblock] == [8192]
    assert [place.at for place in qnx6.on_volume("mmi").superblock] == [0]
    assert qnx6.on_volume("mmi").name == "qnx6"
    assert qnx6.on_volume("") is qnx6
