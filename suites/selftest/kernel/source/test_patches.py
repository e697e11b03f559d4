"""Patches: what applies, and what is said when one does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from errpath.errors import PatchError
from errpath.kernel.source.patches import (
    Fit,
    Fitting,
    apply_patches,
    fit,
    patch_digest,
    patch_id,
    touched_paths,
)
from errpath.kernel.source.tree import EXECUTABLE, File, Tree

LINES = [b"line %d" % number for number in range(1, 41)]


@dataclass(frozen=True)
class FakeBase:
    """Sources in memory."""

    files: dict[str, File] = field(
        default_factory=lambda: {
            "fs/hfs/super.c": File(b"\n".join(LINES) + b"\n"),
            "fs/hfs/mdb.c": File(b"a\nb\nc\n"),
            "scripts/tool.sh": File(b"#!/bin/sh\n", EXECUTABLE),
        }
    )
    identity: str = "fake"
    lineage: str = "fake"
    description: str = "fake"

    def manifest(self) -> dict[str, str]:
        return {path: file.token for path, file in self.files.items()}

    def fetch(self, paths: Iterable[str]) -> Iterator[tuple[str, File]]:
        return ((path, self.files[path]) for path in paths if path in self.files)

    def populate(self, directory: Path) -> None:
        raise NotImplementedError

    def describe(self) -> dict[str, str]:
        return {}


def _hunk(path: str, at: int, old: str, new: str) -> str:
    before, after = LINES[at - 2].decode(), LINES[at].decode()
    return (
        f"--- a/{path}\n+++ b/{path}\n@@ -{at - 1},3 +{at - 1},3 @@\n"
        f" {before}\n-{old}\n+{new}\n {after}\n"
    )


@pytest.fixture
def tree() -> Tree:
    return Tree(FakeBase())


def _write(directory: Path, text: str, name: str = "fix.patch") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_diff_changes_one_file(tree: Tree, tmp_path: Path) -> None:
    patch = _write(tmp_path, _hunk("fs/hfs/super.c", 5, "line 5", "LINE 5"))
    patched = apply_patches(tree, [patch])
    assert list(patched.overlay) == ["fs/hfs/super.c"]
    file = patched.read("fs/hfs/super.c")
    assert file is not None
    assert b"LINE 5" in file.content
    assert b"line 5\n" not in file.content
    original = tree.read("fs/hfs/super.c")
    assert original is not None
    assert b"line 5\n" in original.content


def test_mailbox_of_two_builds_on_the_first(tree: Tree, tmp_path: Path) -> None:
    mails = "".join(
        f"From {number:040x} Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH] x\n\n"
        f"Text.\n---\n fs/hfs/super.c | 2 +-\n\n"
        f"diff --git a/fs/hfs/super.c b/fs/hfs/super.c\nindex 1..2 100644\n{hunk}-- \n2.40\n\n"
        for number, hunk in enumerate(
            [
                _hunk("fs/hfs/super.c", 5, "line 5", "first"),
                _hunk("fs/hfs/super.c", 5, "first", "second"),
            ]
        )
    )
    file = apply_patches(tree, [_write(tmp_path, mails)]).read("fs/hfs/super.c")
    assert file is not None
    assert b"second" in file.content


def test_new_deleted_renamed_and_executable_files(tree: Tree, tmp_path: Path) -> None:
    text = (
        "diff --git a/fs/new.c b/fs/new.c\nnew file mode 100644\n--- /dev/null\n+++ b/fs/new.c\n"
        "@@ -0,0 +1 @@\n+fresh\n"
        "diff --git a/fs/hfs/mdb.c b/fs/hfs/mdb.c\ndeleted file mode 100644\n"
        "--- a/fs/hfs/mdb.c\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-a\n-b\n-c\n"
        "diff --git a/scripts/tool.sh b/scripts/moved.sh\nsimilarity index 100%\n"
        "rename from scripts/tool.sh\nrename to scripts/moved.sh\n"
    )
    patched = apply_patches(tree, [_write(tmp_path, text)])
    new, moved = patched.read("fs/new.c"), patched.read("scripts/moved.sh")
    assert new is not None
    assert new.content == b"fresh\n"
    assert patched.read("fs/hfs/mdb.c") is None
    assert patched.read("scripts/tool.sh") is None
    assert moved is not None
    assert moved.mode == EXECUTABLE
    assert "fs/hfs/mdb.c" not in patched.manifest()


def test_failing_hunk_is_named_in_one_line(tree: Tree, tmp_path: Path) -> None:
    good = _hunk("fs/hfs/super.c", 5, "line 5", "LINE 5")
    bad = _hunk("fs/hfs/super.c", 30, "something else", "x").split("\n", 2)[2]
    with pytest.raises(PatchError) as caught:
        apply_patches(tree, [_write(tmp_path, good + bad, "two.patch")])
    assert str(caught.value) == ("two.patch: fs/hfs/super.c: hunk 2 of 2 (line 29) does not apply")


def test_failing_file_is_not_blamed_on_its_neighbour(tree: Tree, tmp_path: Path) -> None:
    text = _hunk("fs/hfs/super.c", 5, "line 5", "LINE 5")
    text += "--- a/fs/hfs/mdb.c\n+++ b/fs/hfs/mdb.c\n@@ -1,3 +1,3 @@\n a\n-x\n+y\n c\n"
    with pytest.raises(PatchError, match=r"fix\.patch: fs/hfs/mdb\.c: hunk 1 of 1 \(line 1\)"):
        apply_patches(tree, [_write(tmp_path, text)])


def test_fuzz_is_reported(tree: Tree, tmp_path: Path) -> None:
    exact = _hunk("fs/hfs/super.c", 20, "line 20", "new 20")
    # The last line of the context is not what the file has: the hunk still goes there, with fuzz.
    fuzzy = exact.replace(" line 21\n", " line 21\n other\n").replace(",3", ",4")
    told: list[str] = []
    apply_patches(tree, [_write(tmp_path, exact)], told.append)
    assert told == []
    patched = apply_patches(tree, [_write(tmp_path, fuzzy)], told.append)
    assert told == [
        "fix.patch: fs/hfs/super.c: hunk 1 went to line 19 with fuzz 1: see that it belongs there"
    ]
    file = patched.read("fs/hfs/super.c")
    assert file is not None
    assert b"new 20" in file.content


def test_how_a_patch_fits(tree: Tree, tmp_path: Path) -> None:
    exact = _hunk("fs/hfs/super.c", 20, "line 20", "new 20")
    moved = exact.replace("@@ -19,3 +19,3 @@", "@@ -12,3 +12,3 @@")
    fuzzy = exact.replace(" line 21\n", " line 21\n other\n").replace(",3", ",4")
    wrong = _hunk("fs/hfs/super.c", 20, "line 99", "new 20")
    found = [fit(tree, [_write(tmp_path, text)]) for text in (exact, moved, fuzzy, wrong)]
    assert [one.fit for one in found] == [Fit.EXACT, Fit.OFFSET, Fit.FUZZ, Fit.NOT]
    assert [one.note for one in found[:2]] == ["", "+7 lines"]
    assert "with fuzz 1" in found[2].note
    assert found[3].note == "fix.patch: fs/hfs/super.c: hunk 1 of 1 (line 19) does not apply"
    patch = _write(tmp_path, exact)
    assert fit(tree, [patch, patch]).fit is Fit.NOT
    assert fit(tree, []) == Fitting(Fit.EXACT)
    with pytest.raises(PatchError, match="holds no diff"):
        fit(tree, [_write(tmp_path, "Only words.\n")])


def test_missing_file_is_named(tree: Tree, tmp_path: Path) -> None:
    patch = _write(tmp_path, _hunk("fs/gone/super.c", 5, "line 5", "x"))
    with pytest.raises(PatchError, match=r"fix\.patch: fs/gone/super\.c: no such file"):
        apply_patches(tree, [patch])


def test_applied_patch_is_said_to_be_applied(tree: Tree, tmp_path: Path) -> None:
    patch = _write(tmp_path, _hunk("fs/hfs/super.c", 5, "line 5", "LINE 5"))
    with pytest.raises(PatchError, match="is applied already"):
        apply_patches(tree, [patch, patch])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Only words.\n", "holds no diff"),
        ("", "holds no diff"),
        ("--- a/../etc/x\n+++ b/../etc/x\n@@ -1 +1 @@\n-a\n+b\n", "expected a/FILE and b/FILE"),
        ("--- a//etc/x\n+++ b//etc/x\n@@ -1 +1 @@\n-a\n+b\n", "expected a/FILE and b/FILE"),
    ],
)
def test_unusable_patch_is_refused(tree: Tree, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PatchError, match=message):
        apply_patches(tree, [_write(tmp_path, text)])


def test_missing_patch_is_refused(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(PatchError, match=r"none\.patch: cannot be read"):
        patch_digest([tmp_path / "none.patch"])


def test_order_of_patches_is_part_of_the_digest(tmp_path: Path) -> None:
    one, two = _write(tmp_path, "1", "one"), _write(tmp_path, "2", "two")
    assert patch_digest([one, two]) == patch_digest([one, two])
    assert patch_digest([one, two]) != patch_digest([two, one])


def test_touched_paths_ignore_timestamps() -> None:
    text = b"--- a/fs/x.c\t2026-01-01 00:00\n+++ b/fs/x.c\t2026-01-02 00:00\n@@ -1 +1 @@\n"
    assert touched_paths(text, "p") == ("fs/x.c",)


def test_a_patch_has_one_id_with_and_without_gits_headers() -> None:
    plain = b"--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-old\n+new\n"
    first = patch_id(b"Subject: x\n\nwhy\n---\n" + plain)
    assert len(first) == 40
    header = b"diff --git a/f.c b/f.c\n"
    assert first == patch_id(header + plain) == patch_id(b"Subject: y\n---\n" + header + plain)
    assert patch_id(plain.replace(b"new", b"newer")) != first
    assert patch_id(b"no diff\n") == ""


def test_there_is_no_id_without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert patch_id(b"--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-old\n+new\n") == ""
