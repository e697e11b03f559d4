"""Which of some cases lose what they have kept: suspects run again in a fresh guest.

There each case is counted once what waits for RCU or for reclaim has come back. In a batch that is
not waited for: what a case has on its way back covers what the next one keeps, so that where a case
turns out to lose less than it kept, those behind it are suspects as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from errpath.cases.case import MountCase
from errpath.errors import GuestPoisonedError
from errpath.oracles.counts import kept
from errpath.oracles.resources import (
    MODULES,
    SUPERBLOCKS,
    Resource,
    ResourceLeak,
    moves_by_chance,
    settle,
)
from errpath.runner.counting import begin_counts, read_counts
from errpath.runner.crashed_again import CrashedAgainError
from errpath.runner.guest_loss import classify_guest_loss
from errpath.runner.guests import CurrentGuest, PreparedGuest, retried
from errpath.runner.observation import Show, repeat_cases
from errpath.runner.verdict import Status

__all__ = ["Kept", "LossSearch"]

# Of many cases that keep the same, these run again; if all of these keep it each time, the others
# are counted.
_SAMPLE = 4
# Repeats of what a count that moves by chance as well has kept so far (`moves_by_chance`).
_INEXACT_REPEATS = 12
# What neither the agent nor a cache has a part in: these, and the filesystem's own allocations,
# are noted where they do not come again.
_COUNTED_ALONE = (MODULES, SUPERBLOCKS)
# Cases behind one that lost less than it kept.
_BEHIND = 3

# How many of each resource.
Kept = Mapping[Resource, int]
_Losses = dict[str, tuple[ResourceLeak, ...]]


class LossSearch:
    """Searches the batches of one runner."""

    def __init__(self, current: CurrentGuest, *, repeats: int) -> None:
        """`repeats` is how often a suspect runs again."""
        self._current = current
        self._repeats = repeats
        # What was allocated at its first use in a boot, and not again.
        self._once: set[Resource] = set()
        # What cases kept once and not again, one line each.
        self.notes: list[str] = []

    def losses(self, cases: Sequence[MountCase], kept: Mapping[str, Kept], show: Show) -> _Losses:
        """What cases, which ran in this order, lose of what they have `kept`, by id.

        Raises:
            ErrpathError: suspects could not be repeated.
        """
        suspects = [case for case in cases if kept[case.id]]
        found = self._sampled(suspects, kept, show)
        behind = self._behind(cases, kept, found)
        later = self._repeat([case for case in cases if case.id in behind], behind, show)
        for case_id, losses in later.items():
            found[case_id] = (*found.get(case_id, ()), *losses)
        explained = {loss.holding for losses in found.values() for loss in losses}
        for case in suspects:
            unknown = {
                one
                for one in kept[case.id].keys() - self._once - explained
                if one.oracle in _COUNTED_ALONE or f"fs/{case.filesystem}/" in one.name
            }
            if unknown and case.id not in found:
                what = ", ".join(map(str, sorted(unknown)))
                self.notes.append(
                    f"{case.id} kept something once ({what}), and nothing in {self._repeats} of "
                    f"{self._repeats} repeats"
                )
        return found

    def _sampled(
        self, suspects: Sequence[MountCase], kept: Mapping[str, Kept], show: Show
    ) -> _Losses:
        """What suspects lose; of many that kept the same, a few run again."""
        alike: dict[tuple[str, frozenset[Resource]], list[MountCase]] = {}
        for case in suspects:
            alike.setdefault((case.filesystem, frozenset(kept[case.id])), []).append(case)
        split = [
            (cases, []) if _comes_late(resources) else (cases[:_SAMPLE], cases[_SAMPLE:])
            for (_, resources), cases in alike.items()
        ]
        losses = self._repeat([case for sampled, _ in split for case in sampled], kept, show)
        rest: list[MountCase] = []
        for sampled, others in split:
            if all(len(losses.get(case.id, ())) == len(kept[case.id]) for case in sampled):
                losses |= {
                    case.id: tuple(ResourceLeak(*one, 1) for one in sorted(kept[case.id].items()))
                    for case in others
                }
            else:
                rest += others
        return losses | self._repeat(rest, kept, show)

    def _behind(
        self, cases: Sequence[MountCase], kept: Mapping[str, Kept], losses: _Losses
    ) -> dict[str, dict[Resource, int]]:
        """What cases may have kept behind one that kept more than it loses, by id."""
        behind: dict[str, dict[Resource, int]] = {}
        for at, case in enumerate(cases):
            lost = {loss.holding: loss.more / loss.repeats for loss in losses.get(case.id, ())}
            for resource, count in kept[case.id].items():
                if resource in self._once or abs(lost.get(resource, 0)) >= abs(count):
                    continue
                for other in cases[at + 1 : at + 1 + _BEHIND]:
                    if all(loss.holding != resource for loss in losses.get(other.id, ())):
                        behind.setdefault(other.id, {})[resource] = count
        return behind

    def _repeat(self, cases: Sequence[MountCase], kept: Mapping[str, Kept], show: Show) -> _Losses:
        """What cases keep each time that they are repeated, of what they have kept before."""
        if not cases:
            return {}
        show(f"counting again what {len(cases)} cases keep")
        losses = {}
        by_case = retried(lambda: self._rounds(cases, kept))
        self._once |= {resource for first, *_ in by_case for resource in first}
        for case, (_, *rounds) in zip(cases, by_case, strict=True):
            found = tuple(
                ResourceLeak(resource, sum(one[resource] for one in rounds), len(rounds))
                for resource in sorted(_always(rounds, kept[case.id]))
            )
            self._once -= {loss.holding for loss in found}
            if found:
                losses[case.id] = found
        return losses

    def _rounds(
        self, cases: Sequence[MountCase], kept_before: Mapping[str, Kept]
    ) -> list[list[Kept]]:
        """What each of the cases keeps in each of its rounds. In the first one all is allocated
        that is allocated once in a boot. What moves by chance gets more of them, in cases that have
        kept it in each so far."""
        prepared = self._current.fresh()
        before = begin_counts(prepared.guest, cases)
        rounds, settled = self._counted(prepared, before, cases, 1 + self._repeats)
        doubtful = [
            at
            for at, case in enumerate(cases)
            if any(map(moves_by_chance, _always(rounds[at][1:], kept_before[case.id])))
        ]
        more = _INEXACT_REPEATS - self._repeats
        if doubtful and more > 0:
            again = [cases[at] for at in doubtful]
            further, _ = self._counted(prepared, settled, again, more)
            for at, own in zip(doubtful, further, strict=True):
                rounds[at] += own
        self._current.close()
        return rounds

    def _counted(
        self,
        prepared: PreparedGuest,
        before: Mapping[str, str],
        cases: Sequence[MountCase],
        times: int,
    ) -> tuple[list[list[Kept]], Mapping[str, str]]:
        """What each of the cases keeps each time, and what the kernel counts afterwards."""
        work = [*cases] * times
        runs = repeat_cases(self._current, prepared, work, count=True, settle=True)
        try:
            settle(prepared.guest)
            settled = read_counts(prepared.guest)
        except GuestPoisonedError as error:
            # Reclaim looks at what the cases left: of one case, that is its own.
            verdict = classify_guest_loss(prepared.guest, cases[0], str(error))
            if len(cases) > 1 or verdict.status is not Status.FAIL:
                raise
            raise CrashedAgainError(str(error), verdict) from None
        found = kept(before, [outcome.counts for _, outcome in runs], settled)
        return [list(found[at :: len(cases)]) for at in range(len(cases))], settled


def _always(rounds: Sequence[Kept], before: Kept) -> set[Resource]:
    """What a case has kept in each of some rounds as it did before."""
    return {
        resource
        for resource, count in before.items()
        if all(one.get(resource, 0) * count > 0 for one in rounds)
    }


def _comes_late(resources: Iterable[Resource]) -> bool:
    """Whether a case may well seem to keep, or to have given back, what another has."""
    # References are given back by RCU.
    return any(one.oracle == MODULES for one in resources)
