"""Makefiles read for modules, exporters, and directories that hold nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.kernel.build.modindex import find_exporter, module_directories, module_name, scan
from errpath.kernel.build.state import split_digests
from suites.selftest.kernel.fake_tree import make_tree

CONFIG = {
    "CONFIG_BASE": "y",
    "CONFIG_FOO_FS": "m",
    "CONFIG_BAR_FS": "m",
    "CONFIG_BARLIB": "m",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "linux")


def test_scan_follows_what_the_configuration_reaches(tree: Path) -> None:
    index = scan(tree, CONFIG)
    assert index.modules == {"foo": "fs/foo/foo", "bar": "fs/bar/bar", "barlib": "fs/bar/barlib"}
    assert index.builtin == {"super", "base"}
    off = scan(tree, CONFIG | {"CONFIG_BAR_FS": "n"})
    assert "barlib" not in off.modules
    assert "foo" in scan(tree, CONFIG | {"CONFIG_FOO_FS": "y"}).builtin


def test_exporter_is_the_module_that_the_file_is_part_of(tree: Path) -> None:
    index = scan(tree, CONFIG)
    (tree / "fs/foo/inode.c").write_text('EXPORT_SYMBOL_NS_GPL( foo_iget, "FOO");\n')
    assert find_exporter(tree, index, "foo_iget") == "fs/foo/foo"
    (tree / "fs/foo/super.c").write_text("EXPORT_SYMBOL_GPL(SAFE(foo_pack));\n")
    assert find_exporter(tree, index, "foo_pack") == "fs/foo/foo"
    assert find_exporter(tree, index, "barlib_run") == "fs/bar/barlib"
    assert find_exporter(tree, index, "barlib") is None
    assert find_exporter(tree, index, "foo_ig") is None


def test_directories_of_modules_only() -> None:
    makefile = (
        "obj-$(CONFIG_A) += a/\nobj-$(CONFIG_B) += b/\nobj-$(CONFIG_C)\t+= c/ # remark\n"
        "obj-$(CONFIG_A) += both/\nobj-y += both/ \\\n\tplain/\nobj-$(CONFIG_A) += file.o\n"
    )
    config = {"CONFIG_A": "m", "CONFIG_B": "y", "CONFIG_C": "m"}
    assert module_directories(makefile, config, "fs") == ("fs/a/", "fs/c/")
    # Kconfig may select what nobody asked for, even to y.
    assert module_directories("obj-$(CONFIG_X) += x/\n", {}, "fs") == ()
    # What is asked to be off is: a build that has it on is refused.
    assert module_directories("obj-$(CONFIG_X) += x/\n", {"CONFIG_X": "n"}, "fs") == ("fs/x/",)


def test_kconfig_inside_a_modules_directory_belongs_to_the_core() -> None:
    plain = {"fs/a/x.c": "1", "fs/a/Kconfig": "1", "fs/b.c": "1", "fs/ab.c": "1"}
    core, modules = split_digests(plain, ("fs/a/",))
    for path, is_core in [("fs/a/x.c", False), ("fs/a/Kconfig", True), ("fs/ab.c", True)]:
        other_core, other_modules = split_digests(plain | {path: "2"}, ("fs/a/",))
        assert (other_core != core) is is_core, path
        assert (other_modules != modules) is not is_core, path


def test_module_names_use_underscores() -> None:
    assert module_name("lib/crc/crc-itu-t.ko") == "crc_itu_t"
    assert module_name("hfs") == "hfs"
