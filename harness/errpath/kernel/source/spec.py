"""What a kernel is built from, as the user writes it.

debian:7.2              the newest linux-source-7.2 that apt can reach
debian:latest           the newest series
DIRECTORY               a kernel tree; with git: HEAD and its uncommitted changes
DIRECTORY@REVISION      a git tree at a revision
FILE.tar.xz             a tarball of a kernel tree
BUILD-DIRECTORY         a finished build outside its source tree (make O=…)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from errpath.errors import SourceError
from errpath.kernel.layout import Layout
from errpath.kernel.source.debian import open_debian
from errpath.kernel.source.directory import PlainDirectory, PristineDirectory
from errpath.kernel.source.gittree import GitRevision, find_git_root, open_git_tree
from errpath.kernel.source.tarball import is_kernel_tree, open_tarball
from errpath.kernel.source.tree import Base, Tree
from errpath.util.progress import Progress

__all__ = ["FORMS", "load_base", "open_spec", "prebuilt_directory"]

FORMS = "debian:X.Y, debian:latest, a kernel tree, TREE@REVISION, a tarball or a build directory"


def prebuilt_directory(spec: str) -> Path | None:
    """The build directory that a spec names, or None if it names something else.

    A source tree that was built in place counts as a source tree.

    Raises:
        SourceError: only some of a build directory's parts are there.
    """
    directory = Path(spec)
    parts = ("vmlinux", ".config", "arch/x86/boot/bzImage")
    if directory.is_dir() and not is_kernel_tree(directory):
        have = [part for part in parts if (directory / part).exists()]
        if len(have) == len(parts):
            return directory.resolve()
        if have:
            missing = ", ".join(part for part in parts if part not in have)
            raise SourceError(f"{spec}: a build directory without {missing}")
    return None


def open_spec(layout: Layout, spec: str, progress: Progress) -> Tree:
    """The sources that a spec names (not a prebuilt directory).

    Raises:
        SourceError: it names none; the text says what was expected.
    """
    if not spec:
        raise SourceError(f"empty kernel spec (expected {FORMS})")
    if spec.startswith("debian:"):
        return Tree(open_debian(layout, spec.removeprefix("debian:"), progress))
    path = Path(spec)
    if path.is_dir():
        return _open_directory(path)
    if path.is_file():
        return Tree(open_tarball(layout, path, progress))
    # The revision may hold an @ itself (`HEAD@{1}`): the tree ends at the first that makes one.
    for at in (number for number, char in enumerate(spec) if char == "@"):
        directory, revision = Path(spec[:at] or "."), spec[at + 1 :]
        if directory.is_dir() and revision:
            root = find_git_root(directory)
            if root is None:
                raise SourceError(f"{spec}: {directory} is not the top of a git tree")
            base, _ = open_git_tree(root, revision)
            return _checked(Tree(base), spec)
    raise SourceError(f"{spec}: no such kernel (expected {FORMS})")


def load_base(layout: Layout, record: Mapping[str, str]) -> Base:
    """The base that `Base.describe` described.

    Raises:
        SourceError: it is gone, or (a plain directory) has changed since.
    """
    root = record["root"]
    if record["kind"] == "pristine":
        return PristineDirectory(layout.sources / root, record["lineage"], record["label"])
    if record["kind"] == "git":
        return GitRevision(Path(root), record["commit"], record["revision"] or None)
    directory = PlainDirectory(Path(root))
    if directory.identity != record["identity"]:
        raise SourceError(f"{root}: has changed since this kernel was built; build it again")
    return directory


def _open_directory(directory: Path) -> Tree:
    if not is_kernel_tree(directory):
        raise SourceError(f"{directory}: not a kernel tree (no Makefile, Kbuild, scripts/kconfig)")
    root = find_git_root(directory)
    if root is None:
        return Tree(PlainDirectory(directory))
    return Tree(*open_git_tree(root))


def _checked(tree: Tree, spec: str) -> Tree:
    if tree.read("Kbuild") is None or tree.read("scripts/kconfig/merge_config.sh") is None:
        raise SourceError(f"{spec}: no kernel tree at this revision (no Kbuild, scripts/kconfig)")
    return tree
