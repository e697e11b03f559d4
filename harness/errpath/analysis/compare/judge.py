"""Observations of the same cases on two kernels → what the change did. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from errpath.analysis.compare.observe import CLEAN, Observed
from errpath.analysis.compare.touched import UNTOUCHED
from errpath.cases.lifecycle import Planned
from errpath.errors import NO_ANSWER

__all__ = [
    "SAME_CODE",
    "Cell",
    "Comparison",
    "Line",
    "Require",
    "State",
    "compare_case",
    "exit_status",
    "group_runs",
    "summarize",
    "table",
]

# Why a case is not run whose code the change does not reach.
SAME_CODE = "the same code before and after"


class State(enum.Enum):
    """What the change did to a case or a cell, the most urgent first."""

    REGRESSED = "REGRESSED"
    STILL = "STILL FAILS"
    FIXED = "FIXED"
    CHANGED = "CHANGED ERRNO"
    # Clean, with messages of the kernel that only one of the two prints.
    CHANGED_LOG = "CHANGED LOG"
    # The kernel after does not have what the case is about, or only it has.
    LOST = "LOST CASE"
    NEW = "NEW CASE"
    NOT_RUN = "NOT RUN"
    CLEAN = "CLEAN"


class Require(enum.Enum):
    """What a change must do for status 0."""

    FIXED = "fixed"
    NO_REGRESSION = "no-regression"


_URGENCY = tuple(State)
# Nothing is said of a filesystem of which every case is in one of these but why.
_IDLE = (State.NOT_RUN, State.LOST)
# Characters of a row's note.
_NOTE_MAX = 120


@dataclass(frozen=True)
class Comparison:
    """One case on both kernels."""

    planned: Planned
    state: State
    # In `bad_before` of `runs_before` runs something was wrong, and so on.
    bad_before: int = 0
    runs_before: int = 0
    bad_after: int = 0
    runs_after: int = 0
    # One line: what is wrong, what changed, or why it was not run.
    note: str = ""
    # A report of either kernel.
    report: str = ""
    # Neither kernel has what the case is about.
    absent: bool = False

    @property
    def certain(self) -> bool:
        """Red in every run before and green in every run after."""
        return (
            self.state is State.FIXED
            and self.bad_before == self.runs_before
            and self.bad_after == 0
            and self.runs_after >= self.runs_before
        )


def compare_case(
    planned: Planned, before: Sequence[Observed], after: Sequence[Observed]
) -> Comparison:
    """What the runs of one case say; more runs of one kernel than of the other are fine."""
    if planned.reason:
        return Comparison(planned, State.NOT_RUN, note=planned.reason)
    if (lost := _without_one(planned, before, after)) is not None:
        return lost
    for name, runs in (("before", before), ("after", after)):
        good = [run for run in runs if not run.error]
        if not good:
            why = runs[0].reasons[0] if runs and runs[0].reasons else "no result"
            return Comparison(planned, State.NOT_RUN, note=f"{name}: {why}")
    before = [run for run in before if not run.error]
    after = [run for run in after if not run.error]
    red_before = [run for run in before if run.bad]
    red_after = [run for run in after if run.bad]
    counts = (len(red_before), len(before), len(red_after), len(after))
    if red_after:
        worst = _worst(red_after)
        new = not red_before or _severity(worst) < _severity(_worst(red_before))
        state = State.REGRESSED if new else State.STILL
        note = worst.reasons[0]
        if new and red_before:
            note = f"{_worst(red_before).kind} before, now {note}"
        return Comparison(planned, state, *counts, note, worst.report)
    if red_before:
        worst = _worst(red_before)
        note = worst.reasons[0]
        return Comparison(planned, State.FIXED, *counts, note, worst.report)
    changed = _changed_errno(before, after)
    if changed:
        return Comparison(planned, State.CHANGED, *counts, changed)
    printed = _changed_messages(before, after)
    if printed:
        return Comparison(planned, State.CHANGED_LOG, *counts, printed)
    odd = next((run for run in after if run.kind != CLEAN), None)
    note = f"the same on both: {odd.reasons[0]}" if odd is not None and odd.reasons else ""
    return Comparison(planned, State.CLEAN, *counts, note)


def _without_one(
    planned: Planned, before: Sequence[Observed], after: Sequence[Observed]
) -> Comparison | None:
    """What is said of a case that one of the kernels, or neither, has; None where both have it."""
    absent = {
        name: next((run.reasons[0] for run in runs if run.absent), "")
        for name, runs in (("before", before), ("after", after))
    }
    if all(absent.values()):
        return Comparison(planned, State.NOT_RUN, note=absent["after"], absent=True)
    there = [run for run in (*before, *after) if not run.error]
    if not any(absent.values()) or not there:
        return None
    bad = [run for run in there if run.bad]
    if absent["after"]:
        counts = (len(bad), len(there), 0, 0)
        return Comparison(planned, State.LOST, *counts, absent["after"])
    counts = (0, 0, len(bad), len(there))
    note, report = absent["before"], ""
    if bad:
        worst = _worst(bad)
        note, report = f"fails: {worst.reasons[0]}", worst.report
    return Comparison(planned, State.NEW, *counts, note, report)


def _worst(runs: Iterable[Observed]) -> Observed:
    return min(runs, key=_severity)


def _severity(run: Observed) -> int:
    """Of what is worst in a run in which something is wrong."""
    return min(failure.kind.severity for failure in run.failures)


def _changed_errno(before: Sequence[Observed], after: Sequence[Observed]) -> str:
    """A line where no errno of one kernel was seen on the other."""
    old, new = {run.errnos for run in before}, {run.errnos for run in after}
    if old & new:
        return ""
    return f"{' '.join(before[0].errnos)} before, {' '.join(after[0].errnos)} after"


def _changed_messages(before: Sequence[Observed], after: Sequence[Observed]) -> str:
    """Messages of every run of one kernel and of no run of the other, in a line."""
    parts = []
    for word, some, others in (("before", before, after), ("after", after, before)):
        always = frozenset.intersection(*(run.messages for run in some))
        only = always - frozenset.union(*(run.messages for run in others))
        parts += [f"only {word}: {text}" for text in sorted(only)]
    return "; ".join(parts)


@dataclass(frozen=True)
class Cell:
    """One event of one filesystem, as far as its cases are in one state."""

    filesystem: str
    event: str
    state: State
    # How many cases are in this state, and how many there are.
    count: int
    total: int
    # The weakest of the certainties: runs that were bad, of runs.
    before: tuple[int, int]
    after: tuple[int, int]
    note: str


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    words: tuple[str, ...]

    def text(self, widths: Sequence[int]) -> str:
        """The row, each cell padded to its width."""
        padded = [word.ljust(width) for word, width in zip(self.words, widths, strict=True)]
        return "  ".join(padded).rstrip()


def summarize(comparisons: Iterable[Comparison]) -> list[Cell]:
    """One cell per filesystem and event, and per state where its cases differ.

    CLEAN is not listed beside a state that says more; what was not run is a note where others ran.
    """
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for one in comparisons:
        groups.setdefault((one.planned.filesystem, one.planned.event), []).append(one)
    cells = []
    for members in groups.values():
        found = {one.state for one in members}
        shown = found - {State.CLEAN, State.NOT_RUN} or found - {State.NOT_RUN} or found
        missed = [one for one in members if one.state is State.NOT_RUN]
        for state in sorted(shown, key=_URGENCY.index):
            those = [one for one in members if one.state is state]
            cells.append(_cell(those, len(members), [] if shown == {State.NOT_RUN} else missed))
            # Said once.
            missed = []
    return cells


def _cell(those: Sequence[Comparison], total: int, missed: Sequence[Comparison]) -> Cell:
    weakest = min(those, key=lambda one: (one.bad_before, -one.bad_after))
    # What fails says more than why a case is new.
    ordered = sorted(those, key=lambda one: -one.bad_after) if weakest.state is State.NEW else those
    note = next((one.note for one in ordered if one.note), "")
    if missed:
        also = f"{len(missed)} not run: {missed[0].note}"
        note = "; ".join(part for part in (note, also) if part)
    return Cell(
        those[0].planned.filesystem,
        those[0].planned.event,
        those[0].state,
        len(those),
        total,
        (weakest.bad_before, weakest.runs_before),
        (weakest.bad_after, weakest.runs_after),
        note,
    )


def table(cells: Sequence[Cell], *, every: bool = True) -> str:
    """The cells as text, the most urgent first; without `every`, CLEAN and NOT RUN are left out.

    What was not run at all is one line for each reason, and so is what one of the kernels lacks.
    """
    lines = [Line(("filesystem", "event", "state", "cases", "before", "after", "note"))]
    idle: dict[tuple[str, str], dict[str, None]] = {}
    running = {cell.filesystem for cell in cells if cell.state not in _IDLE}
    for cell in sorted(cells, key=lambda cell: _URGENCY.index(cell.state)):
        if not every and cell.state in (State.CLEAN, State.NOT_RUN):
            continue
        if cell.filesystem not in running:
            idle.setdefault((cell.state.value, cell.note), {})[cell.filesystem] = None
            continue
        lines.append(
            Line(
                (
                    cell.filesystem,
                    cell.event,
                    cell.state.value,
                    f"{cell.count}/{cell.total}",
                    f"{cell.before[0]} of {cell.before[1]}" if cell.before[1] else "-",
                    f"{cell.after[0]} of {cell.after[1]}" if cell.after[1] else "-",
                    _shortened(cell.note),
                )
            )
        )
    widths = [max(len(line.words[column]) for line in lines) for column in range(6)]
    text = [line.text((*widths, 0)) for line in lines]
    common = max(idle, key=lambda key: len(idle[key]), default=("", ""))
    for (state, note), names in idle.items():
        # Its other events have their own reason: the filesystem is listed once, with its main one.
        key = (state, note)
        shown = [name for name in names if key == common or name not in idle[common]]
        if shown:
            text.append(f"{state} ({note}): {', '.join(shown)}")
    return "\n".join(text)


def _shortened(note: str) -> str:
    """A note that fits beside a table; what it leaves out stands in the report."""
    return note if len(note) <= _NOTE_MAX else f"{note[: _NOTE_MAX - 1]}…"


def exit_status(comparisons: Sequence[Comparison], require: Require = Require.FIXED) -> int:
    """0: what is required holds; 1: it does not, or something regressed; 125: no answer is
    possible.

    `FIXED`: something is fixed. `NO_REGRESSION`: every case that could show it ran, none
    regressed, or the change reaches none of the code that the cases run.
    """
    states = {one.state for one in comparisons}
    if State.REGRESSED in states:
        return 1
    broken = any(
        one.state is State.NOT_RUN and not one.planned.reason and not one.absent
        for one in comparisons
    )
    answered = bool(states - {State.NOT_RUN, State.LOST})
    if require is Require.NO_REGRESSION:
        same = any(one.planned.reason in (SAME_CODE, UNTOUCHED) for one in comparisons)
        return 0 if (answered or same) and not broken else NO_ANSWER
    if State.FIXED in states:
        return NO_ANSWER if broken else 0
    return 1 if answered and not broken else NO_ANSWER


def group_runs(
    found: Mapping[tuple[str, str], Observed], kernel: str, case_id: str
) -> list[Observed]:
    """All runs of a case on a kernel: the first, and its repeats, whose ids end in #2, #3, …"""
    runs: list[Observed] = []
    number = 1
    while True:
        key = case_id if number == 1 else f"{case_id}#{number}"
        if (kernel, key) not in found:
            return runs
        runs.append(found[kernel, key])
        number += 1
