"""A built kernel as the record that is kept of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from errpath.errors import ErrpathError
from errpath.kernel import BuiltKernel, KernelRequest, KernelStore
from errpath.kernel.build.state import load_state, load_tree
from errpath.kernel.features.summary import missing
from errpath.kernel.source.patches import patch_id
from errpath.results.records import KernelRecord, PatchRecord

__all__ = ["kernel_record", "patch_records"]


def kernel_record(
    request: KernelRequest, store: KernelStore, kernel: BuiltKernel | None, *, name: str = ""
) -> KernelRecord:
    """What was asked for and, where it was built, what came of it."""
    wanted = KernelRecord(
        name or request.name or request.spec,
        request.spec,
        patches=patch_records(request.patches),
    )
    if kernel is None:
        return wanted
    return KernelRecord(
        name=wanted.name,
        spec=wanted.spec,
        state=kernel.state,
        release=kernel.release,
        description=kernel.description,
        commit=_commit(store, kernel),
        config_hash=hashlib.sha256(kernel.config.read_bytes()).hexdigest(),
        patches=wanted.patches,
        missing=tuple(f"{what}: {why}" for what, why in _missing(store, kernel).items()),
    )


def _missing(store: KernelStore, kernel: BuiltKernel) -> dict[str, str]:
    try:
        return missing(store.features(kernel))
    except ErrpathError as error:
        return {"features": f"could not be probed: {error}"}


def patch_records(patches: Sequence[Path]) -> tuple[PatchRecord, ...]:
    """The patches that can be read, in order."""
    return tuple(_patch(path) for path in patches if path.is_file())


def _patch(path: Path) -> PatchRecord:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    # Without git, or of a form that git does not read: the content itself.
    return PatchRecord(patch_id(content) or digest[:40], path.name, digest)


def _commit(store: KernelStore, kernel: BuiltKernel) -> str:
    """The commit of a git tree; empty for other sources."""
    if load_state(store.layout, kernel.state) is None:
        return ""
    tree, _ = load_tree(store.layout, kernel.state)
    return tree.base.describe().get("commit", "")
