"""Locks between processes, held by what they guard for as long as it runs.

`flock` belongs to the open file, and a child process inherits the open file. A compiler started
under a lock therefore keeps it, even if the process that started it was killed: no other process
touches the tree before the last compiler is gone. (The filelock package cannot pass its lock on.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from errpath.util.progress import Progress

__all__ = ["file_lock", "lock_descriptor", "open_to_lock", "try_lock"]


def open_to_lock(path: Path, *, create: bool = True) -> int:
    """A descriptor of a file that is created where it is missing, or with `create=False` of what is
    there, such as a directory; not yet locked."""
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    return os.open(path, flags | os.O_CLOEXEC, 0o644)


def lock_descriptor(descriptor: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Lock an open file until its last descriptor is closed; False where another has it locked and
    `wait` is not set."""
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def try_lock(path: Path, *, create: bool = True) -> int | None:
    """The descriptor of `path`, locked; None where another has it locked."""
    descriptor = open_to_lock(path, create=create)
    if lock_descriptor(descriptor, wait=False):
        return descriptor
    os.close(descriptor)
    return None


@contextlib.contextmanager
def file_lock(path: Path, what: str, *, progress: Progress) -> Iterator[int]:
    """Hold the lock at `path` while the block runs; yield the descriptor to pass to children.

    `what` says what is done under the lock; a second process prints it while it waits.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = open_to_lock(path)
    try:
        if not lock_descriptor(descriptor, wait=False):
            holder = os.pread(descriptor, 400, 0).decode(errors="replace").strip()
            with progress.step(f"waiting for {holder or 'another process'}"):
                lock_descriptor(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, {what}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
