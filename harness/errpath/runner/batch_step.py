"""What comes of one batch, and what is run again because of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from errpath.cases.case import MountCase
from errpath.runner.guests import RETRIES
from errpath.runner.result import Result
from errpath.runner.verdict import infrastructure_error

__all__ = ["LostGuests", "Show", "Step"]

# Takes how many cases of the batch are done, and what is being done.
Show = Callable[[int, str], None]


@dataclass
class Step:
    """What came of one batch."""

    results: list[Result] = field(default_factory=list)
    # Batches that run next.
    soon: list[Sequence[MountCase]] = field(default_factory=list)
    # Cases that run when nothing else is left, together.
    later: list[MountCase] = field(default_factory=list)


class LostGuests:
    """Cases that lost their guest, with nothing in its kernel log: each runs again a few times."""

    def __init__(self) -> None:
        # How often a guest was lost with each case, by id.
        self._losses: Counter[str] = Counter()

    def again(
        self,
        cases: Sequence[MountCase],
        cause: str,
        step: Step,
        artefacts: Path | None = None,
    ) -> list[MountCase]:
        """Those of the cases that run again after their guest was lost; errors of the others."""
        self._losses.update(case.id for case in cases)
        again = [case for case in cases if self._losses[case.id] <= RETRIES]
        step.results += [
            Result(infrastructure_error(case, f"{cause} ({RETRIES + 1} times)"), artefacts)
            for case in cases
            if self._losses[case.id] > RETRIES
        ]
        return again
