"""The directory of one run, held by the process that runs it."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from errpath.errors import InfrastructureError
from errpath.results.history.prune import RUN_MARK
from errpath.util.locks import try_lock

__all__ = ["RunDirectory"]


class RunDirectory:
    """A directory with a lock: whoever has it runs the run; the kernel lets go when he dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def take(self) -> bool:
        """Make the directory and take the lock; False if somebody else has it.

        Raises:
            InfrastructureError: the directory cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = try_lock(self.path / RUN_MARK)
        except OSError as error:
            raise InfrastructureError(
                f"{self.path}: {error.strerror}; expected room for a run"
            ) from None
        if descriptor is None:
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
