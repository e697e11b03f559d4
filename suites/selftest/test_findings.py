"""The patches of docs/findings can be posted: git and the kernel's checkpatch.pl take each."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from errpath.errors import PatchError
from errpath.kernel import KernelRequest
from errpath.kernel.layout import Layout
from errpath.kernel.source.posting import checkpatch, wide_lines
from errpath.kernel.source.spec import open_spec
from errpath.kernel.source.tree import Tree
from errpath.util.cache import cache_root
from errpath.util.process import run
from errpath.util.progress import silent
from suites.selftest.git_am import git_am
from suites.selftest.paths import ROOT

pytestmark = [pytest.mark.kernel_build, pytest.mark.xdist_group("kernel_build")]

_FINDINGS = ROOT / "docs" / "findings"
_PATCHES = sorted(_FINDINGS.glob("*.patch"))
_SUBJECT = re.compile(r"(?m)^Subject: \[PATCH\] (.*(?:\n .*)*)$")
# As `git format-patch --base` writes it.
_BEFORE = re.compile(r"(?m)^prerequisite-patch-id: ([0-9a-f]{40})$")


# What other kernels than the default one have, and their patches are for.
_KERNELS = dict.fromkeys(("hfs-btree-close-dirty", "hfs-btree-open-leak"), "debian:7.3")


@cache
def _source(spec: str) -> Tree:
    return open_spec(Layout(cache_root()), spec, silent())


@pytest.fixture
def tree(request: pytest.FixtureRequest) -> Tree:
    """The source that the findings are about, or that of a patch."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    path = params.get("path", _FINDINGS)
    return _source(_KERNELS.get(path.stem, KernelRequest().spec))


def _series(path: Path) -> list[bytes]:
    """The mails that a patch asks for, and itself."""
    wanted = _BEFORE.findall(path.read_text())
    ids = {_patch_id(other): other for other in _PATCHES} if wanted else {}
    return [ids[name].read_bytes() for name in wanted] + [path.read_bytes()]


def _patch_id(path: Path) -> str:
    done = run(["git", "patch-id", "--stable"], stdin=path.read_bytes())
    return done.text.split()[0]


def test_there_are_patches() -> None:
    assert len(_PATCHES) >= 26
    assert [path.name for path in _PATCHES if _BEFORE.search(path.read_text())]


@pytest.mark.parametrize("path", _PATCHES, ids=lambda path: path.stem)
def test_git_applies_it_as_a_mail(tree: Tree, path: Path) -> None:
    subject = _SUBJECT.search(path.read_text())
    assert subject is not None
    assert git_am(tree, _series(path))[-1] == subject[1].replace("\n", "")


@pytest.mark.parametrize("path", _PATCHES, ids=lambda path: path.stem)
def test_it_lacks_nothing_but_a_persons_signature(tree: Tree, path: Path) -> None:
    mail = path.read_bytes()
    assert b"Signed-off-by" not in mail
    errors = [one for one in checkpatch(tree, mail) if one.error]
    assert [one.kind for one in errors] == ["MISSING_SIGN_OFF"]
    assert wide_lines(mail) == ()


def test_what_cannot_be_posted_is_refused(tree: Tree) -> None:
    mail = (_FINDINGS / "gfs2-meta-read.patch").read_bytes()
    bare = mail[mail.index(b"diff --git") :]
    with pytest.raises(PatchError, match=r"^git am: "):
        git_am(tree, [bare])
    with pytest.raises(PatchError, match=r"^git am: "):
        git_am(tree, [mail, mail])
    spaced = mail.replace(b" \t\tbhs[num++] = bh;", b"+\t\tif(bh)\n \t\tbhs[num++] = bh;")
    assert "SPACING" in {one.kind for one in checkpatch(tree, spaced) if one.error}
    words = b"a word " * 12
    assert wide_lines(mail.replace(b"\n\n", b"\n\n" + words + b"\n", 1)) == (words.decode(),)
