"""What the cache holds, how large it is, and how to be rid of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import UsageError
from errpath.kernel.layout import Layout, read_json, remove_tree
from errpath.util.locks import file_lock
from errpath.util.progress import Progress

__all__ = ["Shelf", "StoredKernel"]


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
class Shelf:
    """The finished kernels of a cache."""

    layout: Layout

    def list(self) -> tuple[StoredKernel, ...]:
        """Every kernel, the latest built first."""
        found = []
        for directory in self.layout.builds.glob("*"):
            meta = read_json(directory / "meta.json")
            if meta is not None:
                found.append(
                    StoredKernel(
                        directory.name,
                        meta["description"],
                        meta["release"],
                        tree_size(directory),
                        directory.stat().st_mtime,
                        meta.get("lineage", ""),
                    )
                )
        return tuple(sorted(found, key=lambda kernel: -kernel.built))

    def remove(self, key_prefix: str, progress: Progress) -> tuple[StoredKernel, ...]:
        """Remove kernels, with the states and modules that only they used; see the store."""
        everything = self.list()
        doomed = tuple(kernel for kernel in everything if kernel.key.startswith(key_prefix))
        if not doomed and key_prefix:
            known = ", ".join(kernel.key[:12] for kernel in everything) or "the cache is empty"
            raise UsageError(f"no kernel with key {key_prefix!r} (expected one of: {known})")
        keys = {kernel.key for kernel in doomed}
        for kernel in doomed:
            remove_tree(self.layout.builds / kernel.key)
        for state in self.layout.states.glob("*"):
            record = read_json(state / "state.json")
            if record is None or record["core_key"] in keys:
                remove_tree(state)
        for module in self.layout.modules.glob("*"):
            meta = read_json(module / "meta.json")
            if meta is None or meta.get("kernel") in keys:
                remove_tree(module)
        kept = {kernel.lineage for kernel in everything} - {kernel.lineage for kernel in doomed}
        kept |= {kernel.lineage for kernel in everything if kernel.key not in keys}
        for workspace in self.layout.work.glob("*"):
            if workspace.name not in kept:
                lock = self.layout.locks / f"work-{workspace.name}"
                with file_lock(lock, "removing the workspace", progress=progress):
                    remove_tree(workspace)
        if not key_prefix:
            for directory in (self.layout.sources, self.layout.tmp, self.layout.modules):
                remove_tree(directory)
        return doomed

    def size(self) -> int:
        """Bytes on disk of the whole cache."""
        return tree_size(self.layout.root)


def tree_size(directory: Path) -> int:
    """Bytes on disk below a directory; a file with several links counts once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                status = os.lstat(os.path.join(parent, name))  # noqa: PTH118 (hot)
            except FileNotFoundError:
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            total += status.st_blocks * 512
    return total
