"""What a kernel lacks of what a case needs, by the stage at which that shows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from errpath.errors import AbsentError, BuildError
from errpath.filesystems import load_filesystem
from errpath.kernel import BuiltKernel, BuiltModule
from errpath.runner.availability import check_configured, check_symbols, known_points

HFS = load_filesystem("hfs")


def _kernel(directory: Path, config: str, symvers: str = "") -> BuiltKernel:
    (directory / "config").write_text(config)
    (directory / "Module.symvers").write_text(symvers)
    return BuiltKernel("k", "s", "k", "1.0", "a kernel", directory, "")


def _module(directory: Path, name: str, text: str) -> BuiltModule:
    """A module as far as its symbols go, made by the compiler."""
    source = directory / f"{name}.c"
    source.write_text(text)
    path = directory / f"{name}.ko"
    subprocess.run(["gcc", "-c", "-o", path, source], check=True)
    return BuiltModule(name, path, name)


@pytest.mark.parametrize("line", ["CONFIG_HFS_FS=m", "CONFIG_HFS_FS=y"])
def test_a_configured_filesystem_is_there(tmp_path: Path, line: str) -> None:
    check_configured(_kernel(tmp_path, line + "\n"), HFS)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("CONFIG_EXT4_FS=m\n", "filesystem hfs: not in a kernel: CONFIG_HFS_FS is absent"),
        ("# CONFIG_HFS_FS is not set\n", "CONFIG_HFS_FS is not set"),
    ],
)
def test_a_filesystem_that_is_not_configured_is_absent(
    tmp_path: Path, config: str, message: str
) -> None:
    with pytest.raises(AbsentError, match=message):
        check_configured(_kernel(tmp_path, config), HFS)


def test_every_line_of_a_definition_counts(tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match="CONFIG_SQUASHFS_ZLIB is absent"):
        check_configured(_kernel(tmp_path, "CONFIG_SQUASHFS=m\n"), load_filesystem("squashfs"))


def test_a_symbol_that_nothing_exports_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    kernel = _kernel(tmp_path, "", "0x1\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n")
    library = _module(tmp_path, "lib", "int lib_run; char __ksymtab_lib_run; int printk(void);")
    uses = "extern int printk(void), lib_run; int f(void) { return printk() + lib_run; }"
    whole = _module(tmp_path, "whole", uses)
    check_symbols(kernel, HFS, [library, whole])
    with pytest.raises(BuildError, match="filesystem hfs: whole lacks lib_run"):
        check_symbols(kernel, HFS, [whole])
    with pytest.raises(BuildError, match="whole lacks lib_run"):
        check_symbols(kernel, HFS, [whole, library])


def test_a_weak_symbol_may_be_missing(tmp_path: Path) -> None:
    kernel = _kernel(tmp_path, "", "0x1\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n")
    text = "extern int maybe(void) __attribute__((weak)); int f(void) { return maybe(); }"
    check_symbols(kernel, HFS, [_module(tmp_path, "weak", text)])


def test_points_that_some_kernels_lack_are_known_by_name() -> None:
    points = known_points(["hfs"])
    assert {"setup_bdev_super", "hfs_fill_super", "hfs_reconfigure"} <= points
    assert "hfs_fil_super" not in points
    assert "" not in known_points(["efs"])
