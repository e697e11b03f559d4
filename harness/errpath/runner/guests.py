"""Guests that are ready for cases, and the one that a batch runner has in use."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from errpath.errors import GuestLostError
from errpath.guest.machine import Guest
from errpath.oracles import canary, kmemleak
from errpath.oracles.canary import Check

__all__ = ["RETRIES", "Boot", "CurrentGuest", "PreparedGuest", "retried"]


@dataclass(frozen=True)
class PreparedGuest:
    """A booted guest with the modules and injection targets that its cases need."""

    guest: Guest
    # Where its console log and QEMU's argv are.
    artefacts: Path
    # Functions that cannot be failed in it, and why.
    unknown: Mapping[str, str] = field(default_factory=dict)
    # Functions that its kernel does not have, and filesystems whose modules do not load; and why.
    absent: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    # Why no task can wait in it for a second one; empty where tasks can.
    waitless: str = ""
    # Modules of each filesystem, for the tracer's filter.
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # The leak check that this guest is made for.
    check: Check = kmemleak.slow_check
    # Whether a check in it, or in the guest of which it is a clone, has found its canary already.
    proven: bool = False


# Gives a fresh guest.
Boot = Callable[[], PreparedGuest]


# How often work is tried again in another guest where its own was lost.
RETRIES = 3

T = TypeVar("T")


def retried(work: Callable[[], T]) -> T:
    """Do work that needs guests; once more, three times at most, where one of them is lost.

    Raises:
        GuestLostError: a guest was lost each time.
    """
    for _ in range(RETRIES):
        with contextlib.suppress(GuestLostError):
            return work()
    return work()


class CurrentGuest:
    """The guest in use: fresh when first asked for, and again after `close`."""

    def __init__(self, boot: Boot, *, confirm: Boot | None = None) -> None:
        """`boot` gives a fresh guest, `confirm` one for confirmation (the same unless given)."""
        self._boot = boot
        self._confirm = confirm or boot
        self._prepared: PreparedGuest | None = None
        self._numbers = itertools.count(1)
        # Titles of the crashes that cases in this guest have answered for.
        self.reported: set[str] = set()

    def get(self) -> PreparedGuest:
        """The guest in use, or a fresh one, in which a leak check has found its canary.

        Raises:
            ErrpathError: no guest is to be had.
        """
        if self._prepared is not None and self._prepared.guest.poisoned is None:
            return self._prepared
        return self._replace(self._boot)

    def fresh(self) -> PreparedGuest:
        """A fresh guest in place of the one in use.

        Raises:
            ErrpathError: no guest is to be had.
        """
        self.close()
        return self.get()

    def fresh_to_confirm(self) -> PreparedGuest:
        """The same, for confirmation.

        Raises:
            ErrpathError: no guest is to be had.
        """
        return self._replace(self._confirm)

    def close(self) -> None:
        """End the guest in use."""
        if self._prepared is not None:
            self._prepared.guest.close()
            self._prepared = None
            self.reported.clear()

    def task(self) -> str:
        """A name that no other task has; task names have at most 15 bytes."""
        return f"errpath-{next(self._numbers):06d}"

    def _replace(self, boot: Boot) -> PreparedGuest:
        return retried(lambda: self._fresh(boot))

    def _fresh(self, boot: Boot) -> PreparedGuest:
        self.close()
        prepared = boot()
        self._prepared = prepared
        try:
            if not prepared.proven:
                canary.check_with_canary(prepared.guest, prepared.check)
        except BaseException:
            self.close()
            raise
        return prepared
