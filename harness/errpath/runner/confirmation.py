"""Confirmation: what is suspected runs again in a fresh guest before it is called a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from errpath.cases.case import MountCase
from errpath.errors import ErrpathError
from errpath.oracles.kmemleak import Record
from errpath.oracles.ownership import OwnershipTrace, case_tracer
from errpath.oracles.volume import asks_changes
from errpath.runner.crashed_again import apart_from_crashes
from errpath.runner.guests import CurrentGuest, PreparedGuest, retried
from errpath.runner.observation import find_leaks, repeat_cases
from errpath.runner.subset import smallest_subset
from errpath.runner.verdict import Status, Verdict, judge

__all__ = [
    "Confirmation",
    "ConfirmedLeaks",
    "Found",
    "LeakSignature",
    "Repeats",
    "hinges_on_one_run",
]

# Size of the object, and the functions of the stack that allocated it.
LeakSignature = tuple[int, tuple[str, ...]]

# Takes in how many repeats the same leak was found again, by case id.
Found = Callable[[Mapping[str, int]], None]

# So many different leaks get their ownership trace; more would only repeat it.
_TRACES_MAX = 12
# So many cases that ran when a leak of other origin was allocated are tried alone.
_NEAR_MAX = 8
# Of the search for the case behind a leak: to halve what is left takes two tries, and what depends
# on several cases, or on chance, some more.
_TRIES = 3


@dataclass(frozen=True)
class ConfirmedLeaks:
    """What repeats of suspects leaked."""

    # In how many repeats the same leak was found again, by case id.
    counts: Mapping[str, int] = field(default_factory=dict)
    # Ownership traces of those that were confirmed, by case id.
    traces: Mapping[str, OwnershipTrace] = field(default_factory=dict)
    # Ids of cases that were not repeated: many others that leak the same were confirmed each time.
    counted: frozenset[str] = frozenset()
    # Verdicts on repeats in which the kernel crashed, by case id.
    crashed: Mapping[str, Verdict] = field(default_factory=dict)

    def always(self, cases: Sequence[MountCase], repeats: int) -> bool:
        """Whether each of the cases leaked the same in each of its repeats."""
        return all(self.counts.get(case.id) == repeats for case in cases)

    def plus(self, other: ConfirmedLeaks) -> ConfirmedLeaks:
        """What both found."""
        return ConfirmedLeaks(
            {**self.counts, **other.counts},
            {**self.traces, **other.traces},
            crashed={**self.crashed, **other.crashed},
        )


@dataclass(frozen=True)
class Repeats:
    """What repeats of failed cases gave, by case id."""

    failed: frozenset[str] = frozenset()
    # Verdicts on repeats in which the kernel crashed.
    crashed: Mapping[str, Verdict] = field(default_factory=dict)
    # Why a case could not be repeated: an error of the infrastructure clears no failure.
    problems: Mapping[str, str] = field(default_factory=dict)


class Confirmation:
    """Repeats cases in fresh guests; no other case has run in them."""

    def __init__(self, current: CurrentGuest, *, repeats: int) -> None:
        """`repeats` is how often a suspect runs again."""
        self._current = current
        self.repeats = repeats

    def leaks(
        self,
        suspects: Sequence[MountCase],
        signatures: Mapping[str, set[LeakSignature]],
        found: Found = lambda counts: None,
    ) -> ConfirmedLeaks:
        """Look for the leaks `signatures`, by case id, in repeats of the suspects. `found` is
        called with what is confirmed before it is traced.

        Raises:
            ErrpathError: the suspects could not be repeated, or the check missed its canary.
        """
        confirmed, crashed = apart_from_crashes(
            suspects, lambda some: retried(lambda: self._leaks(some, signatures, found))
        )
        return replace(confirmed, crashed=crashed)

    def _leaks(
        self,
        suspects: Sequence[MountCase],
        signatures: Mapping[str, set[LeakSignature]],
        found: Found,
    ) -> ConfirmedLeaks:
        if not suspects:
            return ConfirmedLeaks()
        prepared = self._current.fresh_to_confirm()
        runs = repeat_cases(self._current, prepared, self._repeated(suspects))
        own = find_leaks(prepared, [outcome for _, outcome in runs]).own
        counts = dict.fromkeys((case.id for case in suspects), 0)
        for case, outcome in runs:
            counts[case.id] += _same(own[outcome.task], signatures[case.id])
        found(counts)
        confirmed = [case for case in suspects if counts[case.id]]
        traces = self._traces(prepared, confirmed, signatures)
        # The traced runs leaked as well: the next batch starts from a guest without them.
        self._current.close()
        return ConfirmedLeaks(counts, traces)

    def _traces(
        self,
        prepared: PreparedGuest,
        cases: Sequence[MountCase],
        signatures: Mapping[str, set[LeakSignature]],
    ) -> dict[str, OwnershipTrace]:
        """Cases that leak the same in the same way share one trace."""
        kinds: dict[tuple[object, ...], list[MountCase]] = {}
        for case in cases:
            kind = (case.filesystem, case.point, case.steps[0].op, *map(str, signatures[case.id]))
            kinds.setdefault(kind, []).append(case)
        # To set the tracer up takes longer than to trace a case.
        alike: dict[tuple[str, ...], list[list[MountCase]]] = {}
        for same in tuple(kinds.values())[:_TRACES_MAX]:
            modules = prepared.modules.get(same[0].filesystem, ())
            alike.setdefault(tuple(modules), []).append(same)
        traces: dict[str, OwnershipTrace] = {}
        for names, groups in alike.items():
            with case_tracer(prepared.guest, names) as trace:
                for same in groups:
                    made = trace(same[0], self._current.task())
                    traces |= {case.id: made for case in same}
        return traces

    def failures(self, cases: Sequence[MountCase]) -> Repeats:
        """Repeat cases that failed once, leaks apart."""
        try:
            repeats, crashed = apart_from_crashes(
                cases, lambda some: retried(lambda: self._failures(some))
            )
            return replace(repeats, crashed=crashed)
        except ErrpathError as error:
            return Repeats(problems={case.id: str(error) for case in cases})
        finally:
            # These runs were not checked for leaks: the next batch starts without them.
            self._current.close()

    def _failures(self, cases: Sequence[MountCase]) -> Repeats:
        failed: set[str] = set()
        problems: dict[str, str] = {}
        if not cases:
            return Repeats()
        prepared = self._current.fresh()
        runs = repeat_cases(self._current, prepared, self._repeated(cases), changes=asks_changes)
        for case, outcome in runs:
            verdict = judge(case, outcome, None)
            if verdict.status is Status.FAIL:
                failed.add(case.id)
            elif verdict.status is Status.ERROR:
                problems[case.id] = verdict.failures[0].title
        return Repeats(frozenset(failed), problems=problems)

    def origin(
        self,
        cases: Sequence[MountCase],
        records: Iterable[Record],
        show: Callable[[str], None],
        near: Sequence[MountCase] = (),
    ) -> frozenset[str]:
        """Ids of the fewest cases after which `records`, which other tasks allocated, are leaked
        again; none if they are not. `near` are those that ran when the records were allocated:
        they are tried first, each alone.

        Raises:
            ErrpathError: the cases could not be repeated, or the check missed its canary.
        """
        wanted = {record.signature for record in records}

        def leaks(some: Sequence[MountCase]) -> bool:
            show(f"a leak of other origin: looking among {len(some)} cases")
            return retried(lambda: leak(some))

        def leak(some: Sequence[MountCase]) -> bool:
            prepared = self._current.fresh_to_confirm()
            runs = repeat_cases(self._current, prepared, some)
            others = find_leaks(prepared, [outcome for _, outcome in runs]).others
            self._current.close()
            return _same(others, wanted)

        alone = [case for case in near[:_NEAR_MAX] if leaks((case,))]
        if alone:
            return frozenset(case.id for case in alone)
        if not leaks(cases):
            return frozenset()
        tries = _TRIES * len(cases).bit_length()
        return frozenset(case.id for case in smallest_subset(cases, leaks, tries=tries))

    def _repeated(self, cases: Sequence[MountCase]) -> list[MountCase]:
        return [case for case in cases for _ in range(self.repeats)]


def hinges_on_one_run(verdict: Verdict) -> bool:
    """Whether a failure has been seen in one run only. A leak has been repeated before, and what
    the kernel said of itself is certain."""
    certain = any(failure.kind.certain for failure in verdict.failures)
    return verdict.status is Status.FAIL and verdict.leak is None and not certain


def _same(records: Iterable[Record], signatures: set[LeakSignature]) -> bool:
    return any(record.signature in signatures for record in records)
