"""A verdict with what the report shows beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from errpath.oracles.ownership import OwnershipTrace
from errpath.runner.verdict import Status, Verdict

__all__ = ["Result", "answers_alone"]


@dataclass(frozen=True)
class Result:
    """A verdict with the artefacts of its guest and the ownership trace of its leak."""

    verdict: Verdict
    artefacts: Path | None = None
    story: OwnershipTrace | None = None


def answers_alone(result: Result) -> Result:
    """The same; of a pass only what its steps gave, for runs that keep a great many: most of it is
    what the kernel said and counted meanwhile, which is not read of a pass."""
    verdict = result.verdict
    if verdict.status is not Status.PASS or verdict.outcome is None:
        return result
    outcome = replace(
        verdict.outcome,
        kmsg="",
        kmsg_levels="",
        kmsg_before="",
        kmsg_before_levels="",
        kmsg_after="",
        kmsg_after_levels="",
        counts={},
        coverage=(),
        entries=b"",
    )
    return replace(result, verdict=replace(verdict, outcome=outcome))
