"""The directory of one run, held by the process that runs it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from errpath.errors import InfrastructureError
from errpath.results.history.prune import RUN_MARK

__all__ = ["RunDirectory"]


class RunDirectory:
    """A directory with a lock: whoever has it runs the run; the kernel lets go when he dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def take(self) -> bool:
        """Make the directory and take the lock; False if somebody else has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self.path / RUN_MARK, flags, 0o644)
        except OSError as error:
            raise InfrastructureError(
                f"{self.path}: {error.strerror}; expected room for a run"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
