"""Boots of one kernel: a kernel that did not boot once is not waited for again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from errpath.errors import BootError
from errpath.guest.machine import Machine
from errpath.runner.preparation import KernelUnderTest

__all__ = ["GuestBooter"]


class GuestBooter:
    """Boots guests with an agent and nothing more. Threads may share it."""

    def __init__(
        self, source: KernelUnderTest, artefacts: Path, boot: Callable[..., Machine]
    ) -> None:
        """Each guest's artefacts get a directory below `artefacts`; `boot` boots a machine
        (`errpath.guest.start.boot`)."""
        self._source = source
        self._artefacts = artefacts
        self._boot = boot
        self._numbers = itertools.count(1)
        # Why this kernel does not boot, once it has not.
        self._no_boot: BootError | None = None

    def boot(self, append: Sequence[str] = (), gdb_port: int | None = None) -> tuple[Machine, Path]:
        """A booted guest, and the directory of its artefacts.

        Raises:
            BootError: the kernel does not boot; now, or when it was tried before.
        """
        # Threads that waited for another thread's guest need not wait for the same kernel again.
        if self._no_boot is not None:
            raise BootError(str(self._no_boot))
        source = self._source
        artefacts = self.directory()
        try:
            guest = self._boot(
                source.machine,
                source.kernel.bzimage,
                artefacts=artefacts,
                accel=source.accel,
                append=(*source.append, *append),
                gdb_port=gdb_port,
            )
        except BootError as error:
            self._no_boot = error
            raise
        return guest, artefacts

    def directory(self) -> Path:
        """A directory for the next guest's artefacts; it is not made."""
        return self._artefacts / f"guest-{next(self._numbers)}"
