"""Natural twins of forced failures. Pure.

A call that is made to fail leaves out the function's own work, and its caller may count on that.
What goes wrong then is the kernel's fault where an allocation or a block request below the same
function leads to a failure as well: that one is the forced one's natural twin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from errpath.faults.points import Point
from errpath.runner.result import Result
from errpath.runner.verdict import Status

__all__ = ["Twin", "find_twin", "twin_candidates"]

# Points that are tried for one function: those whose way from the function is shortest.
_MOST = 8


@dataclass(frozen=True)
class Twin:
    """What a search for a forced failure's natural twin gave."""

    # Id of the case that fails by itself, "" where none was found.
    case_id: str = ""
    # Whether it fails in the same way.
    same: bool = False
    # How many points lead through the function.
    tried: int = 0

    @property
    def line(self) -> str:
        """For a report."""
        if not self.case_id:
            tried = f"{self.tried} allocations and requests below it pass" if self.tried else ""
            return f"only by force: {tried or 'nothing below it can fail by itself'}"
        how = "fails in the same way" if self.same else "fails too"
        return f"natural twin: {self.case_id} {how}"


def twin_candidates(function: str, natural: Sequence[tuple[str, Point]]) -> list[tuple[str, Point]]:
    """The points, each with its kind, whose way leads through a function; the nearest first."""
    through = [item for item in natural if function in item[1].through]
    return sorted(through, key=lambda item: item[1].through.index(function))[:_MOST]


def find_twin(forced: Result, natural: Sequence[str], results: Mapping[str, Result]) -> Twin:
    """The natural twin of a forced failure among cases that have run."""
    failed = [case_id for case_id in natural if results[case_id].verdict.status is Status.FAIL]
    signature = forced.verdict.signature
    same = [case_id for case_id in failed if results[case_id].verdict.signature == signature]
    best = next(iter((*same, *failed)), "")
    return Twin(best, best in same, len(natural))
