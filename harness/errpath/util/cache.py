"""The cache directory, outside any checkout, and files in it that are whole or absent."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from errpath.errors import InfrastructureError
from errpath.util.files import replacing
from errpath.util.locks import lock_descriptor, open_to_lock, try_lock

__all__ = ["cache_root", "scratch_directory", "store_bytes"]


def cache_root() -> Path:
    """`ERRPATH_CACHE`, or `errpath` in the XDG cache directory."""
    chosen = os.environ.get("ERRPATH_CACHE")
    return (Path(chosen) if chosen else platformdirs.user_cache_path("errpath")).absolute()


def store_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> Path:
    """Write `path` in one step, unless it is there: its name is made from its content.

    Raises:
        InfrastructureError: the disk is full or the directory cannot be written.
    """
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(data)
            part.chmod(mode)
    except OSError as error:
        raise InfrastructureError(
            f"{path}: {error.strerror}; expected room to write the cache"
        ) from None
    return path


@contextlib.contextmanager
def scratch_directory(*, reachable: bool = False) -> Iterator[Path]:
    """A directory for the time of one step; `reachable` by other users, which a home directory need
    not be: in the system's directory for temporary files.

    Each is locked while it is in use; whoever makes one removes those that are no longer held,
    so that not even `kill -9` leaves one for long.

    Raises:
        InfrastructureError: it cannot be made.
    """
    # Not `tmp`, which is the kernel builds' and holds no locks of this kind.
    parent = cache_root() / "scratch"
    mode = 0o700
    if reachable:
        parent = Path(tempfile.gettempdir()) / f"errpath-{os.geteuid()}"
        mode = 0o711
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if reachable:
            # Another user's cannot be changed, and is not to be trusted.
            parent.chmod(mode)
        with _locked(parent):
            for old in parent.iterdir():
                _remove_unused(old)
            path = Path(tempfile.mkdtemp(prefix="step-", dir=parent))
            path.chmod(mode)
            descriptor = open_to_lock(path, create=False)
            lock_descriptor(descriptor)
    except OSError as error:
        raise InfrastructureError(f"{parent}: {error.strerror}; expected room to write") from None
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One at a time: between its making and its locking a directory looks like nobody's."""
    descriptor = open_to_lock(directory, create=False)
    try:
        lock_descriptor(descriptor)
        yield
    finally:
        os.close(descriptor)


def _remove_unused(path: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = try_lock(path, create=False)
        if descriptor is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)
