"""A run as plain text: for a terminal, for a mail."""

from __future__ import annotations

from collections.abc import Sequence

from errpath.results.records import KernelRecord
from errpath.results.regression import Kind
from errpath.results.triage import ORDER, JudgedCase, JudgedRun, grouped

__all__ = ["render_summary", "subject"]

# So many cases per way of failing: a mail is read, not searched.
_LISTED_MAX = 10
# A mail lists no skips.
_SHOWN = tuple(kind for kind in ORDER if kind is not Kind.SKIPPED)


def subject(run: JudgedRun) -> str:
    """One line for a mail's subject."""
    return f"[errpath] {run.run.job}: {run.headline()}"[:180]


def render_summary(run: JudgedRun) -> str:
    """New failures first, each with its rerun command."""
    lines = [f"{run.run.job}, run {run.run.id}: {run.headline()}"]
    for kernel in run.kernels:
        what = f"{kernel.release or 'not built'}, {kernel.description or kernel.spec}"
        lines.append(f"  {kernel.name}: {what}{_before(run, kernel)}")
    for kind in _SHOWN:
        cases = [case for case in run.cases if case.judgement.kind is kind]
        if cases:
            lines += ["", f"{str(kind).upper()} ({len(cases)})", *_groups(cases)]
    lines += ["", f"{run.run.directory}/index.html"]
    return "\n".join(lines) + "\n"


def _before(run: JudgedRun, kernel: KernelRecord) -> str:
    before = run.kernel_before(kernel)
    if before is None or before.state == kernel.state:
        return ""
    return f" (the run before: {before.description or before.spec})"


def _groups(cases: Sequence[JudgedCase]) -> list[str]:
    lines = []
    for group in grouped(cases):
        lines.append(f"  {group.where}{': ' if group.what else ''}{group.what}")
        several = len({case.track for case in group.cases}) > 1
        lines += [_line(case, several=several) for case in group.cases[:_LISTED_MAX]]
        if len(group.cases) > _LISTED_MAX:
            lines.append(f"    and {len(group.cases) - _LISTED_MAX} more")
        worst = group.cases[0].worst
        if worst is not None and worst.rerun:
            lines.append(f"    rerun one: {worst.rerun}")
    return lines


def _line(case: JudgedCase, *, several: bool) -> str:
    on = f" on {case.track.kernel}" if several else ""
    return f"    {case.case}{on}: {case.judgement}"
