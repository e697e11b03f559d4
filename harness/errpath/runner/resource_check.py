"""What cases keep of what the kernel counts, and what is left when a batch is over.

The kernel's counts are read before the first case of a batch, after each, and once the kernel has
settled. What a case has kept (`errpath.oracles.counts`) is a suspicion: a kernel allocates some
things at their first use and never again. What it keeps each time that it runs again is a loss
(`errpath.runner.losses`). Then the modules of the filesystems must unload, with their caches empty,
and no superblock of theirs may be listed any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from errpath.cases.case import MountCase, Outcome
from errpath.errors import ErrpathError
from errpath.oracles.counts import kept
from errpath.oracles.failure import Failure
from errpath.oracles.leaks import resource_failures
from errpath.oracles.resources import MODULES, settle
from errpath.runner.counting import read_counts
from errpath.runner.crashed_again import apart_from_crashes
from errpath.runner.guests import CurrentGuest, PreparedGuest, retried
from errpath.runner.losses import Kept, LossSearch
from errpath.runner.observation import Show, repeat_cases
from errpath.runner.result import Result
from errpath.runner.subset import smallest_subset
from errpath.runner.unloading import MODULE_STAYS, unload_all
from errpath.runner.verdict import Status, infrastructure_error

__all__ = ["Counted", "ResourceCheck"]


@dataclass(frozen=True)
class Counted:
    """What was counted over the cases of a batch."""

    # By case id; nothing for most.
    kept: Mapping[str, Kept]
    # What stays of the filesystems' modules and superblocks.
    left: tuple[Failure, ...]

    @property
    def found(self) -> bool:
        """Whether anything is kept, or stays."""
        return bool(self.left) or any(self.kept.values())


class ResourceCheck:
    """Counts what the cases of one runner's batches keep."""

    def __init__(self, current: CurrentGuest, *, repeats: int) -> None:
        """`repeats` is how often a suspect runs again."""
        self._current = current
        self._search = LossSearch(current, repeats=repeats)

    @property
    def notes(self) -> list[str]:
        """What cases kept once and not again, one line each."""
        return self._search.notes

    def look(
        self,
        prepared: PreparedGuest,
        before: Mapping[str, str],
        runs: Sequence[tuple[MountCase, Outcome]],
    ) -> Counted:
        """What the cases kept that have run in a guest since `before`. Ends its use.

        Raises:
            ErrpathError: the guest went away meanwhile.
        """
        settle(prepared.guest)
        found = kept(before, [o.counts for _, o in runs], read_counts(prepared.guest))
        left = unload_all(prepared)
        self._current.close()
        return Counted({case.id: one for (case, _), one in zip(runs, found, strict=True)}, left)

    def judge(self, results: Sequence[Result], counted: Counted, show: Show) -> list[Result]:
        """The results, with a FAIL for every pass that keeps something. A case that failed already
        keeps its verdict; one that crashes when it is repeated fails by that; where repeats are not
        to be had, the suspects are errors."""
        passed = [r.verdict.case for r in results if r.verdict.status is Status.PASS]
        failures: dict[str, tuple[Failure, ...]] = {}
        problem = ""
        try:
            failures, crashed = apart_from_crashes(
                passed, lambda cases: self._failures(cases, counted, show)
            )
            results = [
                replace(one, verdict=crashed.get(one.verdict.case.id, one.verdict))
                for one in results
            ]
        except ErrpathError as error:
            problem = f"what it keeps could not be confirmed: {error}"
        suspects = {case.id for case in passed if counted.kept[case.id] or counted.left}
        return [self._judged(one, failures, problem, suspects) for one in results]

    def _failures(
        self, passed: Sequence[MountCase], counted: Counted, show: Show
    ) -> dict[str, tuple[Failure, ...]]:
        found = self._search.losses(passed, counted.kept, show)
        failures = {case_id: resource_failures(losses) for case_id, losses in found.items()}
        clean = [case for case in passed if case.id not in failures]
        return failures | self._remains(clean, counted.left, failures, show)

    @staticmethod
    def _judged(
        result: Result,
        failures: Mapping[str, tuple[Failure, ...]],
        problem: str,
        suspects: set[str],
    ) -> Result:
        verdict = result.verdict
        if verdict.case.id in failures:
            found = failures[verdict.case.id]
            return replace(result, verdict=replace(verdict, status=Status.FAIL, failures=found))
        if problem and verdict.case.id in suspects:
            error = infrastructure_error(verdict.case, problem, verdict.outcome)
            return replace(result, verdict=error)
        return result

    # -- what is left at the end -----------------------------------------------------------------

    def _remains(
        self,
        clean: Sequence[MountCase],
        left: Sequence[Failure],
        failures: Mapping[str, tuple[Failure, ...]],
        show: Show,
    ) -> dict[str, tuple[Failure, ...]]:
        """Of cases that lose nothing with each repeat, the fewest that leave something all the
        same; none where those that do lose something account for it."""
        found = [failure.resource for one in failures.values() for failure in one]
        held = {resource.removeprefix(f"{MODULES}: ") for resource in found}
        if all(one.resource.removeprefix(MODULE_STAYS) in held for one in left) or not clean:
            return {}
        stays: tuple[Failure, ...] = ()

        def leaves(some: Sequence[MountCase]) -> bool:
            nonlocal stays
            show(f"{left[0].title}: looking among {len(some)} cases")
            now = retried(lambda: self._left_by(some))
            stays = now or stays
            return bool(now)

        if not leaves(clean):
            return {}
        culprits = smallest_subset(clean, leaves)
        if len(culprits) > 1:
            among = f"one of {len(culprits)} cases"
            stays = tuple(
                replace(x, detail="; ".join(filter(None, (x.detail, among)))) for x in stays
            )
        return {case.id: stays for case in culprits}

    def _left_by(self, cases: Sequence[MountCase]) -> tuple[Failure, ...]:
        prepared = self._current.fresh()
        repeat_cases(self._current, prepared, cases)
        settle(prepared.guest)
        left = unload_all(prepared)
        self._current.close()
        return left
