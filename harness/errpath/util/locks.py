"""Locks between processes, held by what they guard for as long as it runs.

`flock` belongs to the open file, and a child process inherits the open file. A compiler started
under a lock therefore keeps it, even if the process that started it was killed: nobody else touches
the tree before the last compiler is gone. (The filelock package cannot pass its lock on.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from errpath.util.progress import Progress

__all__ = ["held"]


@contextlib.contextmanager
def held(path: Path, what: str, *, progress: Progress) -> Iterator[int]:
    """Hold the lock at `path` while the block runs; yield the descriptor to pass to children.

    `what` says what is done under the lock; a second process prints it while it waits.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 400, 0).decode(errors="replace").strip()
            with progress.step(f"waiting for {holder or 'another process'}"):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, {what}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
