"""Natural twins of forced failures. Pure.

A call that is made to fail leaves out the function's own work, and its caller may count on that.
What goes wrong then is the kernel's fault where an allocation or a block request below the same
function leads to a failure as well: that one is the forced one's natural twin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from errpath.faults.points import Point
from errpath.runner.known_issues import KnownIssue
from errpath.runner.result import Result
from errpath.runner.verdict import Status, Verdict

__all__ = ["Twin", "find_twin", "twin_candidates"]

# The known issues that explain a failure, none if something of it is left over.
_Known = Callable[[Verdict], tuple[KnownIssue, ...]]

# Points that are tried for one function: those whose way from the function is shortest.
_MOST = 8


@dataclass(frozen=True)
class Twin:
    """What a search for a forced failure's natural twin gave."""

    # Failures that come by themselves: in the same way, and in another.
    same: tuple[Verdict, ...] = ()
    other: tuple[Verdict, ...] = ()
    # How many points lead through the function.
    tried: int = 0

    @property
    def case_id(self) -> str:
        """Id of the case that fails by itself, "" where none was found."""
        return next((verdict.case.id for verdict in (*self.same, *self.other)), "")

    @property
    def line(self) -> str:
        """For a report."""
        if not self.case_id:
            below = f"{self.tried} allocations and requests below it"
            tried = f"{below} show nothing else" if self.tried else ""
            return f"only by force: {tried or 'nothing below it can fail by itself'}"
        how = "fails in the same way" if self.same else "fails too"
        return f"natural twin: {self.case_id} {how}"

    def beside(self, known: _Known) -> tuple[tuple[KnownIssue, ...], Twin]:
        """The known issues of a natural failure in the same way, which are the forced one's as
        well; and what is left of the twin without natural failures that are known: one that comes
        in another way says nothing of the forced one."""
        issues = next(filter(None, map(known, self.same)), ())
        left = replace(
            self,
            same=tuple(one for one in self.same if not known(one)),
            other=tuple(one for one in self.other if not known(one)),
        )
        return issues, left


def twin_candidates(function: str, natural: Sequence[tuple[str, Point]]) -> list[tuple[str, Point]]:
    """The points, each with its kind, whose way leads through a function; the nearest first."""
    through = [item for item in natural if function in item[1].through]
    return sorted(through, key=lambda item: item[1].through.index(function))[:_MOST]


def find_twin(forced: Result, natural: Sequence[str], results: Mapping[str, Result]) -> Twin:
    """The natural twin of a forced failure among cases that have run."""
    verdicts = [results[case_id].verdict for case_id in natural]
    failed = [verdict for verdict in verdicts if verdict.status is Status.FAIL]
    signature = forced.verdict.signature
    same = tuple(verdict for verdict in failed if verdict.signature == signature)
    other = tuple(verdict for verdict in failed if verdict.signature != signature)
    return Twin(same, other, len(natural))
