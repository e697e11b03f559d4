"""Git trees: revisions, uncommitted changes, and a checkout that is never touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.errors import SourceError
from errpath.kernel.layout import Layout
from errpath.kernel.source.gittree import find_git_root, open_git_tree
from errpath.kernel.source.spec import load_base, open_spec
from errpath.kernel.source.tree import EXECUTABLE, Tree
from errpath.util.process import run
from errpath.util.progress import silent
from suites.selftest.kernel.fake_tree import make_tree


def _git(tree: Path, *words: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return run(["git", "-C", tree, *names, *words]).text.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = make_tree(tmp_path / "linux")
    _git(root, "init", "-q", "-b", "main")
    _git(root, "add", "-A")
    _git(root, "commit", "-q", "-m", "one")
    (root / "fs/super.c").write_text("second\n")
    _git(root, "commit", "-q", "-a", "-m", "two")
    return root


def _open(tmp_path: Path, spec: str) -> Tree:
    return open_spec(Layout(tmp_path / "cache"), spec, silent())


def _content(tree: Tree, path: str) -> bytes | None:
    file = tree.read(path)
    return file.content if file else None


def test_revisions_share_a_workspace_and_nothing_else(tmp_path: Path, tree: Path) -> None:
    old, new = _open(tmp_path, f"{tree}@HEAD~1"), _open(tmp_path, str(tree))
    assert old.base.lineage == new.base.lineage
    assert old.identity != new.identity
    assert _content(new, "fs/super.c") == b"second\n"
    assert _content(old, "fs/super.c") != b"second\n"
    assert old.base.manifest()["fs/foo/super.c"] == new.base.manifest()["fs/foo/super.c"]


def test_uncommitted_changes_are_part_of_the_tree_and_not_of_a_revision(
    tmp_path: Path, tree: Path
) -> None:
    clean = _open(tmp_path, str(tree))
    (tree / "fs/super.c").write_text("edited\n")
    (tree / "fs/foo/inode.c").unlink()
    (tree / "scratch.c").write_text("untracked\n")
    edited = _open(tmp_path, str(tree))
    assert edited.identity != clean.identity
    assert set(edited.overlay) == {"fs/super.c", "fs/foo/inode.c"}
    assert _content(edited, "fs/super.c") == b"edited\n"
    assert "fs/foo/inode.c" not in edited.manifest()
    assert _open(tmp_path, f"{tree}@main").overlay == {}
    # Committing a change does not change what is built.
    _git(tree, "commit", "-q", "-a", "-m", "three")
    assert _open(tmp_path, str(tree)).manifest() == edited.manifest()


def test_checkout_is_never_touched(tmp_path: Path, tree: Path) -> None:
    (tree / "fs/super.c").write_text("edited\n")
    # A file that only looks changed would make git refresh its index.
    (tree / "fs/foo/super.c").touch()
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    _open(tmp_path, f"{tree}@HEAD~1").base.populate(tmp_path / "out")
    _open(tmp_path, str(tree))
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before


def test_populate_checks_out_the_revision(tmp_path: Path, tree: Path) -> None:
    out = tmp_path / "out"
    base, _ = open_git_tree(tree, "HEAD")
    base.populate(out)
    assert (out / "fs/super.c").read_text() == "second\n"
    assert (out / "scripts/kconfig/merge_config.sh").stat().st_mode & 0o100
    file = Tree(base).read("scripts/kconfig/merge_config.sh")
    assert file is not None
    assert file.mode == EXECUTABLE
    assert not (out / ".git").exists()


def test_base_is_found_again(tmp_path: Path, tree: Path) -> None:
    base = _open(tmp_path, f"{tree}@HEAD~1").base
    assert load_base(Layout(tmp_path / "cache"), base.describe()) == base


def test_current_directory_is_a_spec(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    assert _open(tmp_path, ".").identity == _open(tmp_path, str(tree)).identity
    assert _open(tmp_path, "@HEAD~1").identity == _open(tmp_path, f"{tree}@HEAD~1").identity


def test_only_the_top_of_a_tree_is_a_git_tree(tree: Path, tmp_path: Path) -> None:
    assert find_git_root(tree) == tree
    assert find_git_root(tree / "fs") is None
    assert find_git_root(tmp_path) is None


def test_unknown_revision_is_named(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(SourceError, match="no such revision: v9"):
        _open(tmp_path, f"{tree}@v9")


def test_revision_of_something_else_is_refused(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(SourceError, match="is not the top of a git tree"):
        _open(tmp_path, f"{make_tree(tmp_path / 'plain')}@HEAD")
    _git(tree, "rm", "-q", "Kbuild")
    _git(tree, "commit", "-q", "-m", "no kernel")
    with pytest.raises(SourceError, match="no kernel tree at this revision"):
        _open(tmp_path, f"{tree}@HEAD")
