"""`Fixes:`: the commit that brought what a patch takes away."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.kernel.source.blame import Touched, find_suspect, replaced_lines
from errpath.kernel.source.gittree import open_git_tree
from errpath.util.process import run

_DIFF = """\
diff --git a/fs/x.c b/fs/x.c
--- a/fs/x.c
+++ b/fs/x.c
@@ -2,4 +2,3 @@ f
 two
-three
-\t}
 five
@@ -8,2 +7,3 @@ g
 eight
+new
 nine
--- a/fs/y.c
+++ b/fs/y.c
@@ -1 +1 @@
-old
+other
"""


def test_lines_taken_away_and_the_line_that_is_added_behind() -> None:
    found = replaced_lines(_DIFF)
    assert found == (Touched("fs/x.c", 3), Touched("fs/x.c", 8), Touched("fs/y.c", 1))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three commits: a file, a line of it, and another line."""
    _git(tmp_path, "init", "--quiet")
    file = tmp_path / "fs" / "x.c"
    file.parent.mkdir()
    lines = [f"line {number}" for number in range(1, 9)]
    for subject, changed in (("x: begin", 0), ("x: bring the bug", 4), ("x: and another", 7)):
        lines[changed] = f"{subject} here"
        file.write_text("\n".join(lines) + "\n")
        _git(tmp_path, "add", ".")
        _git(tmp_path, "commit", "--quiet", "--message", subject)
    return tmp_path


def _git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.org", "-c", "commit.gpgsign=false"]
    run(["git", "-C", root, *who, *words])


def _removal(*lines: int) -> str:
    hunks = "".join(f"@@ -{line},1 +{line},0 @@\n-gone {line}\n" for line in lines)
    return f"--- a/fs/x.c\n+++ b/fs/x.c\n{hunks}"


def test_the_commit_that_most_lines_are_of(root: Path) -> None:
    base, _ = open_git_tree(root, "HEAD")
    suspect = find_suspect(base, _removal(5))
    assert suspect is not None
    assert (suspect.subject, suspect.lines, suspect.of) == ("x: bring the bug", 1, 1)
    assert suspect.tag == f'Fixes: {suspect.commit[:12]} ("x: bring the bug")'
    both = find_suspect(base, _removal(5, 8))
    assert both is not None
    assert (both.lines, both.of) == (1, 2)


def test_the_first_commit_of_a_history_is_nobodys_fault(root: Path) -> None:
    base, _ = open_git_tree(root, "HEAD")
    assert find_suspect(base, _removal(2)) is None
