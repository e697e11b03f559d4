"""A case that is repeated, and crashes its guest this time: that is a finding too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from errpath.cases.case import MountCase
from errpath.errors import GuestPoisonedError
from errpath.runner.verdict import Verdict

__all__ = ["CrashedAgainError", "apart_from_crashes"]

T = TypeVar("T")


class CrashedAgainError(GuestPoisonedError):
    """The kernel reported something of a repeated case that proves itself, and the guest is of no
    further use. The verdict is on that repeat."""

    def __init__(self, text: str, verdict: Verdict) -> None:
        super().__init__(text)
        self.verdict = verdict


def apart_from_crashes(
    cases: Sequence[MountCase], repeat: Callable[[Sequence[MountCase]], T]
) -> tuple[T, dict[str, Verdict]]:
    """What `repeat` gives of the cases that do not crash, and the verdicts on those that do, by id.
    `repeat` gets all of them, and again what is left behind each that crashes; in the end perhaps
    none.

    Raises:
        ErrpathError: as `repeat` does, `CrashedAgainError` apart.
    """
    crashed: dict[str, Verdict] = {}
    while True:
        try:
            return repeat([case for case in cases if case.id not in crashed]), crashed
        except CrashedAgainError as error:
            crashed[error.verdict.case.id] = error.verdict
