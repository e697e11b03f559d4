"""`Fixes:` and what a run before that commit says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from errpath.analysis.mail.advice import Earlier, fixes_tag
from errpath.analysis.mail.message import PatchMessage, parse_patch
from errpath.kernel.source.gittree import open_git_tree
from errpath.kernel.source.tree import Tree
from errpath.util.process import run
from suites.selftest.kernel.source.test_patches import FakeBase

_FIX = """\
From: A <a@b.org>
Subject: [PATCH] x: take the bug out

It is wrong.
---
--- a/fs/x.c
+++ b/fs/x.c
@@ -1,3 +1,2 @@
 one
-bug
 three
"""


def _git(root: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.org", "-c", "commit.gpgsign=false"]
    return run(["git", "-C", root, *who, *words]).text.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two commits, of which the second brings the bug."""
    _git(tmp_path, "init", "--quiet")
    file = tmp_path / "fs" / "x.c"
    file.parent.mkdir()
    for subject, text in (("x: begin", "one\nthree\n"), ("x: more", "one\nbug\nthree\n")):
        file.write_text(text)
        _git(tmp_path, "add", ".")
        _git(tmp_path, "commit", "--quiet", "--message", subject)
    return tmp_path


@pytest.fixture
def patch() -> PatchMessage:
    return parse_patch(_FIX, "fix")


def _ran(earlier: Earlier, specs: list[str]) -> Callable[[str], Earlier]:
    def run_at(spec: str) -> Earlier:
        specs.append(spec)
        return earlier

    return run_at


@pytest.mark.parametrize(
    ("earlier", "tagged", "said"),
    [
        (Earlier(False, "case-a"), True, "is confirmed: before it case-a passes"),
        (Earlier(True, "case-a"), False, "left out: before {} as well case-a fails"),
        (Earlier(None, "no kernel"), True, "is not confirmed: no kernel"),
    ],
    ids=["passes", "fails", "no verdict"],
)
def test_a_run_before_the_commit_decides(
    root: Path, patch: PatchMessage, earlier: Earlier, tagged: bool, said: str
) -> None:
    base, _ = open_git_tree(root, "HEAD")
    lines: list[str] = []
    specs: list[str] = []
    tags = fixes_tag(Tree(base), patch, lines.append, _ran(earlier, specs))
    commit = _git(root, "rev-parse", "HEAD")
    assert specs == [f"{root.resolve()}@{commit}~"]
    assert tags == ([f'Fixes: {commit[:12]} ("x: more")'] if tagged else [])
    (line,) = lines
    assert said.format(commit[:12]) in line


def test_nothing_is_run_where_there_is_no_suspect(patch: PatchMessage) -> None:
    specs: list[str] = []
    run_at = _ran(Earlier(True), specs)
    assert fixes_tag(Tree(FakeBase({})), patch, specs.append, run_at) == []
    assert specs == []
