"""The same tests on two kernels: what a change fixed and what it broke.

A suite's tests are not as steady as errpath's cases: what differs is run again on both kernels
before anything is said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from errpath.analysis.compare.judge import State
from errpath.results.records import CaseRecord, CaseStatus

__all__ = ["Pair", "compare", "judge", "table"]

# Runs one test once; the others are to be run after it.
RunTest = Callable[[str, Sequence[str]], CaseRecord]


@dataclass(frozen=True)
class Pair:
    """One test on both kernels, in every run of it."""

    test: str
    state: State
    before: tuple[CaseRecord, ...]
    after: tuple[CaseRecord, ...]
    # One line: what fails, or why nothing can be said.
    note: str = ""

    @property
    def counts(self) -> str:
        """In how many runs of how many it failed, on both kernels."""
        return " ".join(f"{_failed(runs)}/{len(runs)}" for runs in (self.before, self.after))


def compare(
    tests: Sequence[str], before: RunTest, after: RunTest, *, repeats: int
) -> tuple[Pair, ...]:
    """Run every test on both kernels, and `repeats` times more on both where they differ."""
    pairs = []
    for number, test in enumerate(tests):
        ahead = tests[number + 1 :]
        runs = [[before(test, ahead)], [after(test, ahead)]]
        if runs[0][0].status is not runs[1][0].status or _signature(runs[0]) != _signature(runs[1]):
            for _ in range(repeats):
                runs[0].append(before(test, ()))
                runs[1].append(after(test, ()))
        pairs.append(judge(test, runs[0], runs[1]))
    return tuple(pairs)


def judge(test: str, before: Sequence[CaseRecord], after: Sequence[CaseRecord]) -> Pair:
    """What the runs of one test say. Pure."""

    def pair(state: State, note: str = "") -> Pair:
        return Pair(test, state, tuple(before), tuple(after), note)

    for name, runs in (("before", before), ("after", after)):
        conclusive = [run for run in runs if run.status.conclusive]
        if not conclusive:
            reasons = runs[0].reasons if runs else ()
            return pair(State.NOT_RUN, f"{name}: {reasons[0] if reasons else 'no result'}")
    bad_before, bad_after = _failed(before), _failed(after)
    if not bad_before and not bad_after:
        return pair(State.CLEAN)
    if not bad_after and bad_before == _conclusive(before):
        return pair(State.FIXED, _note(before))
    if not bad_before and bad_after == _conclusive(after):
        return pair(State.REGRESSED, _note(after))
    note = _note(after) or _note(before)
    if bad_before < _conclusive(before) or bad_after < _conclusive(after):
        return pair(State.STILL, f"not in every run: {note}")
    if _signature(before) != _signature(after):
        return pair(State.STILL, f"{_note(before)} before, now {_note(after)}")
    return pair(State.STILL, note)


def table(pairs: Sequence[Pair]) -> str:
    """The most urgent first; what is clean on both or ran on neither is only counted."""
    order = list(State)
    shown = [pair for pair in pairs if pair.state not in (State.CLEAN, State.NOT_RUN)]
    shown.sort(key=lambda pair: order.index(pair.state))
    width = max((len(pair.test) for pair in shown), default=0)
    lines = [
        f"{pair.state.value:13}{pair.test:{width}}  {pair.counts}  {pair.note}" for pair in shown
    ]
    counts = [(state, sum(pair.state is state for pair in pairs)) for state in order]
    lines.append(", ".join(f"{state.value} {count}" for state, count in counts if count))
    return "\n".join(lines)


def _failed(runs: Sequence[CaseRecord]) -> int:
    return sum(run.status is CaseStatus.FAIL for run in runs)


def _conclusive(runs: Sequence[CaseRecord]) -> int:
    return sum(run.status.conclusive for run in runs)


def _signature(runs: Sequence[CaseRecord]) -> frozenset[str]:
    return frozenset(run.signature for run in runs if run.status is CaseStatus.FAIL)


def _note(runs: Sequence[CaseRecord]) -> str:
    failed = [run for run in runs if run.status is CaseStatus.FAIL]
    return failed[0].reasons[0] if failed and failed[0].reasons else ""
