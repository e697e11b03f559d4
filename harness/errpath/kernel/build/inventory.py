"""List, measure and remove cached kernels."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from errpath.errors import UsageError
from errpath.kernel.layout import Layout, read_json, remove_tree
from errpath.util.locks import file_lock
from errpath.util.progress import Progress

__all__ = ["Inventory", "Removed", "StoredKernel"]


@dataclass(frozen=True)
class StoredKernel:
    """One finished kernel in the cache."""

    key: str
    # For people: that of the request it was first built for.
    description: str
    # `uname -r`.
    release: str
    # Bytes on disk of the kernel itself; its modules and workspace are not in it.
    size: int
    # When it was built, in seconds since 1970.
    built: float
    # Its workspace's name; empty for a build that was imported.
    lineage: str


@dataclass(frozen=True)
class Removed:
    """What a removal did."""

    kernels: tuple[StoredKernel, ...]
    # Bytes on disk, with what went beside the kernels themselves.
    freed: int


@dataclass(frozen=True)
class Inventory:
    """The finished kernels of a cache."""

    layout: Layout
    progress: Progress

    def list(self) -> tuple[StoredKernel, ...]:
        """Every kernel, the latest built first."""
        found = [replace(kernel, size=self._size(kernel)) for kernel in self._kernels()]
        return tuple(sorted(found, key=lambda kernel: -kernel.built))

    def _kernels(self) -> Iterator[StoredKernel]:
        """Every kernel, not measured: that takes a look at each of its files."""
        for directory in self.layout.builds.glob("*"):
            meta = read_json(directory / "meta.json")
            if meta is not None:
                yield StoredKernel(
                    directory.name,
                    meta["description"],
                    meta["release"],
                    0,
                    directory.stat().st_mtime,
                    meta.get("lineage", ""),
                )

    def _size(self, kernel: StoredKernel) -> int:
        return tree_size(self.layout.builds / kernel.key)

    def remove(self, key_prefix: str) -> Removed:
        """Remove the kernels whose key begins with `key_prefix` (all if empty), with the states and
        modules that only they used.

        With the last kernel of a line of sources, its workspace goes too; with the last of all,
        everything.

        Raises:
            UsageError: no kernel has such a key.
        """
        everything = sorted(self._kernels(), key=lambda kernel: -kernel.built)
        doomed = [kernel for kernel in everything if kernel.key.startswith(key_prefix)]
        if not doomed and key_prefix:
            known = ", ".join(kernel.key[:12] for kernel in everything) or "the cache is empty"
            raise UsageError(f"no kernel with key {key_prefix!r} (expected one of: {known})")
        doomed = [replace(kernel, size=self._size(kernel)) for kernel in doomed]
        keys = {kernel.key for kernel in doomed}
        trees = list(self._trees_of(keys))
        kept = {kernel.lineage for kernel in everything if kernel.key not in keys}
        workspaces = [path for path in self.layout.work.glob("*") if path.name not in kept]
        if not key_prefix:
            trees += [self.layout.sources, self.layout.tmp, self.layout.modules]
        freed = freed_size([*trees, *workspaces])
        for tree in trees:
            remove_tree(tree)
        for workspace in workspaces:
            lock = self.layout.locks / f"work-{workspace.name}"
            with file_lock(lock, "removing the workspace", progress=self.progress):
                remove_tree(workspace)
        return Removed(tuple(doomed), freed)

    def _trees_of(self, keys: Set[str]) -> Iterator[Path]:
        """The directories of some kernels, and of states and modules that are of them alone."""
        for key in keys:
            yield self.layout.builds / key
        for state in self.layout.states.glob("*"):
            record = read_json(state / "state.json")
            if record is None or record["core_key"] in keys:
                yield state
        for module in self.layout.modules.glob("*"):
            meta = read_json(module / "meta.json")
            if meta is None or meta.get("kernel") in keys:
                yield module

    def size(self) -> int:
        """Bytes on disk of the whole cache, workspaces and sources included."""
        return tree_size(self.layout.root)


def tree_size(directory: Path) -> int:
    """Bytes on disk below a directory; a file with several links counts once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for status in _files([directory]):
        if status.st_nlink > 1:
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
        total += status.st_blocks * 512
    return total


def freed_size(directories: Sequence[Path]) -> int:
    """Bytes on disk that go with some directories: of files that have no link elsewhere."""
    links: Counter[tuple[int, int]] = Counter()
    total = 0
    for status in _files(dict.fromkeys(directories)):
        links[status.st_dev, status.st_ino] += 1
        if links[status.st_dev, status.st_ino] == status.st_nlink:
            total += status.st_blocks * 512
    return total


def _files(directories: Iterable[Path]) -> Iterator[os.stat_result]:
    for directory in directories:
        for parent, _, names in os.walk(directory):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    yield os.lstat(os.path.join(parent, name))  # noqa: PTH118 (hot)
