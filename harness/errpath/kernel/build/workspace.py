"""A mutable copy of the sources, kept in step with a manifest, and its object trees.

kbuild rebuilds what is younger than its object. So the copy is made to differ from what was asked
for in no file, and a file is rewritten only if its content changes: then any source, revision or
patch of one lineage costs only what it changes.

A kill at any moment heals: the names of files about to be rewritten are noted first, and rewritten
again by the next to come.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from errpath.kernel.build.tree_copy import seed
from errpath.kernel.layout import Layout, remove_tree
from errpath.kernel.source.tree import LINK, File, Tree
from errpath.util.files import replacing
from errpath.util.progress import Progress

__all__ = ["MAX_OBJECT_TREES", "Workspace"]

_UNKNOWN = "?"
# Object trees kept for one line of sources, 350 to 800 MiB each; the oldest goes, and the next
# module for its kernel costs a whole build. So there is room for every guest definition's, for one
# with filesystems that stand apart, and for one that somebody made with --kconfig-add.
MAX_OBJECT_TREES = 8


@dataclass(frozen=True)
class Workspace:
    """The copy of one lineage of sources. Every method wants the workspace's lock held."""

    directory: Path

    @classmethod
    def of(cls, layout: Layout, lineage: str) -> Workspace:
        """The workspace of sources of this lineage."""
        return cls(layout.work / lineage)

    @property
    def source(self) -> Path:
        """The source tree."""
        return self.directory / "src"

    @property
    def _manifest(self) -> Path:
        return self.directory / "src.manifest"

    @property
    def _dirty(self) -> Path:
        return self.directory / "src.dirty"

    def object_tree(self, config_key: str) -> Path:
        """Where a configuration's objects go; made if need be, as a copy of another's.

        kbuild knows which objects an option touches, so a copy saves compiling the others.
        """
        path = self.directory / f"obj-{config_key}"
        if not path.is_dir():
            logs = self.directory.glob("obj-*/errpath.log")
            others = [log.parent for log in sorted(logs, key=lambda log: log.stat().st_mtime)]
            whole = [other for other in others if not (other / "errpath.busy").exists()]
            if whole:
                seed(whole[-1], path)
            else:
                path.mkdir(parents=True)
            for other in others[: max(0, len(others) + 1 - MAX_OBJECT_TREES)]:
                remove_tree(other)
        return path

    def sync(self, tree: Tree, progress: Progress) -> int:
        """Make the copy equal to `tree`; the number of files that had to change."""
        if not self.source.is_dir() or not self._manifest.is_file():
            self._populate(tree, progress)
        identity, have = _load(self._manifest)
        dirty = self._dirty.exists()
        if identity == tree.identity and not dirty:
            return 0
        if dirty:
            have.update(dict.fromkeys(self._dirty.read_text().splitlines(), _UNKNOWN))
        want = tree.manifest()
        changed = [path for path, token in want.items() if have.get(path) != token]
        removed = [path for path in have if path not in want]
        if changed or removed:
            _write(self._dirty, "".join(f"{path}\n" for path in (*changed, *removed)))
            self._rewrite(tree, changed, removed)
        _save(self._manifest, tree.identity, want)
        self._dirty.unlink(missing_ok=True)
        return len(changed) + len(removed)

    def _populate(self, tree: Tree, progress: Progress) -> None:
        # The copy begins with old timestamps, so objects of an earlier one would look current.
        remove_tree(self.directory)
        self.directory.mkdir(parents=True)
        fresh = self.directory / "src.new"
        fresh.mkdir()
        with progress.step(f"copying the sources of {tree.base.description}"):
            tree.base.populate(fresh)
        _save(self._manifest, tree.base.identity, tree.base.manifest())
        fresh.rename(self.source)

    def _rewrite(self, tree: Tree, changed: Iterable[str], removed: Iterable[str]) -> None:
        # Removed first: a directory may become a file, or a file a directory.
        for path in removed:
            (self.source / path).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                (self.source / path).parent.rmdir()
        for path, file in tree.fetch(changed):
            _replace(self.source / path, file)


def _replace(target: Path, file: File) -> None:
    """Write a file anew: its link to a pristine copy is cut, its time of change is now."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        if file.mode == LINK:
            part.symlink_to(os.fsdecode(file.content))
        else:
            part.write_bytes(file.content)
            part.chmod(file.mode & 0o777)


def _load(manifest: Path) -> tuple[str, dict[str, str]]:
    identity, _, rest = manifest.read_text(errors="surrogateescape").partition("\n")
    tokens = {}
    for line in rest.splitlines():
        token, _, path = line.partition("\t")
        tokens[path] = token
    return identity, tokens


def _save(manifest: Path, identity: str, tokens: dict[str, str]) -> None:
    lines = [identity, *(f"{token}\t{path}" for path, token in tokens.items())]
    _write(manifest, "\n".join(lines) + "\n")


def _write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, errors="surrogateescape")
