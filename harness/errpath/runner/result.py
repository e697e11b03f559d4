"""A verdict with what the report shows beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from errpath.oracles.ownership import OwnershipTrace
from errpath.runner.verdict import Verdict

__all__ = ["Result"]


@dataclass(frozen=True)
class Result:
    """A verdict with the artefacts of its guest and the ownership trace of its leak."""

    verdict: Verdict
    artefacts: Path | None = None
    story: OwnershipTrace | None = None
