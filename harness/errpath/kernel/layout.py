"""Where kernels live on disk: outside every checkout, shared by all of a user's checkouts.

sources/    unpacked tarballs, never written to again
work/       one workspace per line of sources: a mutable source tree and its object trees
states/     what was asked for: source, patches, configuration, and the key they lead to
builds/     finished kernels, one immutable directory per key
modules/    finished modules, one immutable directory per key
locks/      one lock per source and per workspace
tmp/        what is being made; renamed into place when it is whole
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errpath.errors import InfrastructureError
from errpath.util.files import replacing
from errpath.util.process import ProgramError

__all__ = ["Layout", "disk_errors", "read_json", "remove_tree", "write_json"]


@dataclass(frozen=True)
class Layout:
    """The directories below one cache root."""

    root: Path

    @property
    def sources(self) -> Path:
        """Sources as they were fetched, unchanged."""
        return self.root / "sources"

    @property
    def work(self) -> Path:
        """Workspaces, one for each lineage of sources."""
        return self.root / "work"

    @property
    def states(self) -> Path:
        """What was asked for, and the key of the kernel that it led to."""
        return self.root / "states"

    @property
    def builds(self) -> Path:
        """Finished kernels, one directory each."""
        return self.root / "builds"

    @property
    def modules(self) -> Path:
        """Modules that were built against those kernels."""
        return self.root / "modules"

    @property
    def locks(self) -> Path:
        """Files that are locked, and nothing else."""
        return self.root / "locks"

    @property
    def tmp(self) -> Path:
        """What is being written; renamed once it is whole."""
        return self.root / "tmp"

    @contextlib.contextmanager
    def making(self, final: Path) -> Iterator[Path]:
        """A directory to fill, renamed to `final` when the block ends without an exception.

        Whoever sees `final` sees all of it. If `final` appeared meanwhile, it is kept: the same
        key means the same content.
        """
        self.tmp.mkdir(parents=True, exist_ok=True)
        self._sweep()
        final.parent.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix=f"{final.name}-", dir=self.tmp))
        try:
            yield directory
            directory.chmod(0o755)
            try:
                directory.rename(final)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        finally:
            remove_tree(directory)

    def _sweep(self) -> None:
        """Remove what was being made when its process was killed, a day ago or more."""
        for left in self.tmp.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                    remove_tree(left)


_ABANDONED_SECONDS = 86400.0
_FULL = b"No space left on device"


@contextlib.contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn a full disk, and a cache that cannot be written, into one line.

    Raises:
        InfrastructureError: ENOSPC, EDQUOT, EROFS or EACCES inside the block.
    """
    full = f"{root}: the disk is full; free space, or remove kernels: errpath kernel rm"
    try:
        yield
    except ProgramError as error:
        if _FULL in error.completed.stderr:
            raise InfrastructureError(full) from error
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InfrastructureError(full) from error
        if error.errno in (errno.EROFS, errno.EACCES):
            raise InfrastructureError(
                f"{error.filename or root}: cannot be written; "
                "set ERRPATH_CACHE to a directory that can"
            ) from error
        raise


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if the file is missing or was cut short."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: object) -> None:
    """Write a JSON file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(json.dumps(value, indent=1) + "\n")


def remove_tree(directory: Path) -> None:
    """Remove a directory tree; a missing one is no error."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)
