"""Kernel specs: each form, and what is said of what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.errors import SourceError
from errpath.kernel.layout import Layout
from errpath.kernel.source.directory import PlainDirectory, PristineDirectory
from errpath.kernel.source.spec import open_spec, prebuilt_directory
from errpath.util.process import run
from errpath.util.progress import silent
from suites.selftest.kernel.fake_tree import make_tree


def test_plain_directory(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "linux")
    tree = open_spec(Layout(tmp_path / "cache"), str(root), silent())
    assert isinstance(tree.base, PlainDirectory)
    before = tree.identity
    assert open_spec(Layout(tmp_path / "cache"), str(root), silent()).identity == before
    (root / "fs/super.c").write_text("other")
    assert open_spec(Layout(tmp_path / "cache"), str(root), silent()).identity != before


def test_products_of_a_build_in_place_are_no_sources(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "linux")
    before = open_spec(Layout(tmp_path / "cache"), str(root), silent()).identity
    for product in (".config", "fs/super.o", "fs/.super.o.cmd", "include/config/auto.conf"):
        (root / product).parent.mkdir(exist_ok=True, parents=True)
        (root / product).write_text("built")
    assert open_spec(Layout(tmp_path / "cache"), str(root), silent()).identity == before


def test_tarball_is_unpacked_once(tmp_path: Path) -> None:
    make_tree(tmp_path / "linux-7.2")
    tarball = tmp_path / "linux-7.2.tar.xz"
    run(["tar", "-cJf", tarball, "-C", tmp_path, "linux-7.2"])
    layout = Layout(tmp_path / "cache")
    first = open_spec(layout, str(tarball), silent()).base
    assert isinstance(first, PristineDirectory)
    (first.root / "marker").touch()
    second = open_spec(layout, str(tarball), silent()).base
    assert isinstance(second, PristineDirectory)
    assert (second.root / "marker").exists()
    assert "fs/super.c" in first.manifest()


@pytest.mark.parametrize("content", [b"no tarball", None])
def test_tarball_without_a_kernel_is_refused(tmp_path: Path, content: bytes | None) -> None:
    tarball = tmp_path / "x.tar.xz"
    if content is not None:
        tarball.write_bytes(content)
    else:
        (tmp_path / "top").mkdir()
        (tmp_path / "top/file").touch()
        run(["tar", "-cJf", tarball, "-C", tmp_path, "top"])
    with pytest.raises(SourceError, match=r"x\.tar\.xz"):
        open_spec(Layout(tmp_path / "cache"), str(tarball), silent())
    assert list((tmp_path / "cache/sources").glob("*")) == []
    assert list((tmp_path / "cache/tmp").glob("*")) == []


@pytest.mark.parametrize("spec", ["", "nosuch", "nosuch@HEAD", "/nosuch/tree.tar.xz"])
def test_no_spec_is_refused_with_what_was_expected(tmp_path: Path, spec: str) -> None:
    with pytest.raises(SourceError, match=r"expected debian:X\.Y"):
        open_spec(Layout(tmp_path), spec, silent())


def test_directory_without_a_kernel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a kernel tree"):
        open_spec(Layout(tmp_path), str(tmp_path), silent())


def test_build_directory_is_told_from_a_tree(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "linux")
    (tree / "vmlinux").touch()
    assert prebuilt_directory(str(tree)) is None
    objects = tmp_path / "obj"
    (objects / "arch/x86/boot").mkdir(parents=True)
    (objects / ".config").touch()
    with pytest.raises(SourceError, match="without vmlinux, arch/x86/boot/bzImage"):
        prebuilt_directory(str(objects))
    (objects / "vmlinux").touch()
    (objects / "arch/x86/boot/bzImage").touch()
    assert prebuilt_directory(str(objects)) == objects
