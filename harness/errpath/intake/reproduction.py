"""Attempts at a reproduction → outcome; outcomes before and after a patch → verdict. Pure."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from errpath.intake.contained import Attempt
from errpath.intake.likeness import same
from errpath.oracles.failure import Failure

__all__ = [
    "Answer",
    "Outcome",
    "Reproduction",
    "attempts_after",
    "judge_patch",
    "outcome_of",
]

# Attempts on the patched kernel are enough when all of them would be clean by chance with less.
_CHANCE = 0.05
_ATTEMPTS_MAX = 30


class Outcome(enum.Enum):
    """What a reproducer did on one kernel."""

    SAME = "SAME"
    OTHER = "OTHER"
    NOT_REPRODUCED = "NOT REPRODUCED"
    ERROR = "ERROR"


class Answer(enum.Enum):
    """What a patch does to what a reproducer shows."""

    FIXED = "FIXED"
    STILL = "STILL FAILS"
    REGRESSED = "REGRESSED"
    NOT_REPRODUCED = "NOT REPRODUCED"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Reproduction:
    """All attempts on one kernel."""

    outcome: Outcome
    # Attempts that showed it, of those that say anything.
    shown: int
    of: int
    # What was seen: the same failure, else the first other one.
    failure: Failure | None = None
    # Titles of what else was seen.
    others: tuple[str, ...] = ()
    # Of wall time, all attempts.
    seconds: float = 0.0
    error: str = ""

    def line(self) -> str:
        """The outcome in one line."""
        if self.outcome is Outcome.ERROR:
            return f"{self.outcome.value}  {self.error}"
        named = f"  {self.failure.line}" if self.failure is not None else ""
        return f"{self.outcome.value}  {self.shown} of {self.of}, {self.seconds:.1f} s{named}"


def outcome_of(attempts: Sequence[Attempt], title: str, expected: Failure | None) -> Reproduction:
    """The outcome of attempts. Where nothing says what to expect, any failure is OTHER."""
    valid = [attempt for attempt in attempts if not attempt.error]
    seconds = sum(attempt.seconds for attempt in attempts)
    hits = [
        next((f for f in attempt.failures if same(f, title, expected)), None) for attempt in valid
    ]
    found = [hit for hit in hits if hit is not None]
    every = [f for attempt in valid for f in attempt.failures if not f.follows]
    others = tuple(dict.fromkeys(f.title for f in every if not same(f, title, expected)))
    if found:
        return Reproduction(Outcome.SAME, len(found), len(valid), found[0], others, seconds)
    if every:
        count = sum(bool(attempt.failures) for attempt in valid)
        return Reproduction(Outcome.OTHER, count, len(valid), every[0], others[1:], seconds)
    if not valid:
        error = attempts[0].error if attempts else "no attempt"
        return Reproduction(Outcome.ERROR, 0, 0, seconds=seconds, error=error)
    return Reproduction(Outcome.NOT_REPRODUCED, 0, len(valid), seconds=seconds)


def attempts_after(before: Reproduction, attempts: int) -> int:
    """How many clean attempts show that a failure is gone that came k of n times."""
    if before.outcome not in (Outcome.SAME, Outcome.OTHER) or before.shown >= before.of:
        return attempts
    wanted = math.ceil(math.log(_CHANCE) / math.log(1 - before.shown / before.of))
    return max(attempts, min(wanted, _ATTEMPTS_MAX))


def judge_patch(before: Reproduction, after: Reproduction) -> Answer:
    """What lies between two kernels. `after` was asked for what `before` showed, if anything."""
    if Outcome.ERROR in (before.outcome, after.outcome):
        return Answer.ERROR
    was = before.outcome in (Outcome.SAME, Outcome.OTHER)
    still = after.outcome is Outcome.SAME
    if was:
        if still:
            return Answer.STILL
        # What only the kernel after shows is its own.
        return Answer.FIXED if after.outcome is Outcome.NOT_REPRODUCED else Answer.REGRESSED
    return Answer.NOT_REPRODUCED if after.outcome is Outcome.NOT_REPRODUCED else Answer.REGRESSED
