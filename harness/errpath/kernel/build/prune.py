"""A limit on the size of the cache: kernels that were not used for longest go first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import UsageError
from errpath.kernel.build.inventory import Inventory, StoredKernel
from errpath.kernel.layout import Layout
from errpath.util.locks import lock_descriptor, open_to_lock, try_lock

__all__ = ["LIMIT_VARIABLE", "Pruned", "cache_limit", "mark_used", "prune"]

LIMIT_VARIABLE = "ERRPATH_CACHE_LIMIT"
_DEFAULT_GIB = 20.0


@dataclass(frozen=True)
class Pruned:
    """What a pruning did."""

    removed: tuple[StoredKernel, ...]
    # Kernels that were spared because a process has them in use.
    in_use: tuple[StoredKernel, ...]
    # Bytes on disk before and after.
    before: int
    after: int


def cache_limit() -> int:
    """Bytes that the cache may take: `$ERRPATH_CACHE_LIMIT` in GiB, or 20 GiB.

    Raises:
        UsageError: the variable is no positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        limit = float(text) if text else _DEFAULT_GIB
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise UsageError(f"{LIMIT_VARIABLE}: got {text!r}; expected a size in GiB, such as 20")
    return int(limit * 2**30)


def mark_used(layout: Layout, key: str) -> int:
    """Note that a kernel is used now; a descriptor that keeps it from being pruned while open."""
    path = _mark(layout, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = open_to_lock(path)
    lock_descriptor(descriptor, shared=True)
    os.utime(descriptor)
    return descriptor


def prune(inventory: Inventory, limit: int) -> Pruned:
    """Remove kernels, with what only they used, until the cache takes at most `limit` bytes.

    The one that was not used for longest goes first; one that a process has in use stays.
    """
    layout = inventory.layout
    before = after = inventory.size()
    removed: list[StoredKernel] = []
    in_use: list[StoredKernel] = []
    for kernel in sorted(inventory.list(), key=lambda kernel: _last_use(layout, kernel)):
        if after <= limit:
            break
        with _unused(layout, kernel.key) as free:
            if not free:
                in_use.append(kernel)
                continue
            after -= inventory.remove(kernel.key).freed
            _mark(layout, kernel.key).unlink(missing_ok=True)
        removed.append(kernel)
    return Pruned(tuple(removed), tuple(in_use), before, after)


def _mark(layout: Layout, key: str) -> Path:
    return layout.root / "used" / key


def _last_use(layout: Layout, kernel: StoredKernel) -> float:
    try:
        return _mark(layout, kernel.key).stat().st_mtime
    except FileNotFoundError:
        return kernel.built


@contextmanager
def _unused(layout: Layout, key: str) -> Iterator[bool]:
    """Whether a kernel is unused; while the block runs, it stays so."""
    path = _mark(layout, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = try_lock(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)
