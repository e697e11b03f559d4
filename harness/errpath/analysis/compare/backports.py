"""One patch on several series: which of them have the bug, and what the patch does there."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from errpath.analysis.compare.compare import Request, Summary, compare
from errpath.analysis.compare.judge import Comparison, Line, State
from errpath.errors import NO_ANSWER, ErrpathError
from errpath.filesystems import home_directory
from errpath.kernel.layout import Layout
from errpath.kernel.source.patches import Fit, Fitting, fit, touched_paths
from errpath.kernel.source.spec import open_spec
from errpath.util.progress import Progress

__all__ = [
    "Answer",
    "Series",
    "SeriesRow",
    "exit_status",
    "filesystems_of",
    "rows",
    "series_table",
    "try_series",
]


class Answer(enum.Enum):
    """Whether a series has the bug that a patch mends."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "?"


@dataclass(frozen=True)
class Series:
    """What one kernel came to. Without the patch applied, `summary` compares it with itself."""

    name: str
    fitting: Fitting
    summary: Summary | None = None
    # Why there is no answer at all, such as a kernel that does not compile.
    error: str = ""

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """One for each case; none where nothing was compared."""
        return self.summary.comparisons if self.summary is not None else ()


@dataclass(frozen=True)
class SeriesRow:
    """One line of the table."""

    name: str
    kernel: str
    bug: Answer
    # Cases that the patch mends on any series, and how many of them are bad here before.
    shown: int
    asked: int
    fitting: Fitting
    fixed: int
    still: int
    regressed: int
    # Cases without a verdict, those that the series does not have left out.
    no_verdict: int
    note: str = ""


def filesystems_of(patches: Sequence[Path], names: Sequence[str]) -> tuple[str, ...]:
    """Those of some filesystems that patches are about; all of them where a patch reaches further
    than a filesystem's own directory.

    Raises:
        PatchError: one of them is no patch.
    """
    paths = [path for file in patches for path in touched_paths(file.read_bytes(), file.name)]
    homes = {name: home_directory(name) for name in names}
    if not all(path.startswith(tuple(homes.values())) for path in paths):
        return tuple(names)
    return tuple(name for name in names if any(path.startswith(homes[name]) for path in paths))


def try_series(
    requests: Sequence[Request],
    layout: Layout,
    progress: Progress,
    run: Callable[[Request, Progress], Summary] = compare,
) -> tuple[Series, ...]:
    """Compare each kernel with itself and the patches. A series without an answer costs no other.

    Where they do not apply, the kernel is looked at without them: does it have the bug?
    """
    return tuple(_one(request, layout, progress, run) for request in requests)


def _one(
    request: Request,
    layout: Layout,
    progress: Progress,
    run: Callable[[Request, Progress], Summary],
) -> Series:
    name = request.before.name
    kernel = request.after.testbed.kernel
    try:
        fitting = fit(open_spec(layout, kernel.spec, progress), kernel.patches)
        progress.say(f"{name}: the patch applies: {fitting.fit.value}")
        if fitting.fit is Fit.NOT:
            request = replace(request, alone=True, every=True, touched=False)
        return Series(name, fitting, run(request, progress))
    except ErrpathError as error:
        return Series(name, Fitting(Fit.NOT), error=str(error))


def rows(series: Sequence[Series]) -> tuple[SeriesRow, ...]:
    """The table: the bug is what the patch fixes on any of the series."""
    fixed = {
        one.planned.id
        for each in series
        if each.fitting.fit is not Fit.NOT
        for one in each.comparisons
        if one.state is State.FIXED
    }
    return tuple(_row(each, fixed) for each in series)


def _row(each: Series, fixed: set[str]) -> SeriesRow:
    count = {state: sum(1 for one in each.comparisons if one.state is state) for state in State}
    asked = [one for one in each.comparisons if one.planned.id in fixed and one.runs_before]
    shown = sum(1 for one in asked if one.bad_before)
    applies = each.fitting.fit is not Fit.NOT and not each.error
    silent = [
        one
        for one in each.comparisons
        if one.state is State.NOT_RUN and not one.absent and not one.planned.reason
    ]
    worst = next((one for one in each.comparisons if one.state is State.REGRESSED), None)
    note = each.error or (worst.note if worst is not None and applies else each.fitting.note)
    bug = Answer.UNKNOWN
    if asked:
        bug = Answer.YES if shown else Answer.NO
    return SeriesRow(
        each.name,
        each.summary.before.partition(",")[0] if each.summary is not None else "-",
        bug,
        shown,
        len(asked),
        each.fitting,
        count[State.FIXED] if applies else 0,
        count[State.STILL] if applies else 0,
        count[State.REGRESSED] if applies else 0,
        len(silent),
        note,
    )


def series_table(found: Sequence[SeriesRow]) -> str:
    """One line for each series."""
    head = ("series", "kernel", "has the bug", "applies", "fixes", "still", "regresses")
    lines = [Line((*head, "no verdict", "note"))]
    for row in found:
        applies = row.fitting.fit is not Fit.NOT
        bug = f"{row.bug.value} ({row.shown} of {row.asked})" if row.asked else row.bug.value
        how = row.fitting.fit.value if row.kernel != "-" else "-"
        counts = [str(n) if applies else "-" for n in (row.fixed, row.still, row.regressed)]
        lines.append(Line((row.name, row.kernel, bug, how, *counts, str(row.no_verdict), row.note)))
    widths = [max(len(line.words[column]) for line in lines) for column in range(8)]
    return "\n".join(line.text((*widths, 0)) for line in lines)


def exit_status(found: Sequence[SeriesRow]) -> int:
    """0: each series that has the bug is mended by the patch and nothing regressed; 1: one is not,
    or something regressed; 125: one gave no answer, or no case shows the bug anywhere."""
    if any(row.regressed for row in found):
        return 1
    if not any(row.asked for row in found) or any(row.kernel == "-" for row in found):
        return NO_ANSWER
    if any(row.shown > row.fixed for row in found if row.bug is Answer.YES):
        return 1
    return NO_ANSWER if any(row.no_verdict for row in found) else 0
