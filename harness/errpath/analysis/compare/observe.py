"""Results of the matrix as plain values, gathered by several processes.

A comparison needs no more of a result than this, and it can be sent between processes.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.cases.case import MountCase
from errpath.errors import ErrpathError
from errpath.results.session import Group, RunSession
from errpath.runner.batch_runner import Result
from errpath.runner.options import Choice
from errpath.runner.verdict import Status
from errpath.util.errnos import errno_name
from errpath.util.logs import show_logs, shown_level
from errpath.util.progress import Progress

__all__ = ["BAD", "CLEAN", "Observed", "batches", "observe", "observe_all"]

CLEAN = "clean"
# Kinds of what can be wrong with a kernel, the worst first. A wrong errno alone is not among them.
BAD = ("hang", "crash", "misread", "leak", "held")


@dataclass(frozen=True)
class Observed:
    """What one run of one case came to."""

    case: str
    # CLEAN, one of BAD, "errno" (not the expected one, nothing else) or "error" (infrastructure).
    kind: str
    # What makes two observations of the same kind the same, such as the leaking functions.
    signature: str = ""
    # What the steps gave, such as "0" and "-EIO".
    errnos: tuple[str, ...] = ()
    # One line each.
    reasons: tuple[str, ...] = ()
    # The whole report; "" for what is clean.
    report: str = ""

    @property
    def bad(self) -> bool:
        return self.kind in BAD


def observe(result: Result, report: str = "") -> Observed:
    """A result as a plain value."""
    verdict = result.verdict
    outcome = verdict.outcome
    errnos = tuple(errno_name(step.errno) for step in outcome.steps) if outcome else ()
    kind, signature = _kind(result)
    return Observed(verdict.case.id, kind, signature, errnos, verdict.reasons, report)


def _kind(result: Result) -> tuple[str, str]:
    verdict = result.verdict
    outcome = verdict.outcome
    if verdict.status is Status.PASS:
        return CLEAN, ""
    if verdict.status in (Status.ERROR, Status.SKIP):
        return "error", ""
    hangs = [crash.title for crash in verdict.crashes if crash.kind == "hang"]
    if hangs or (outcome is not None and outcome.hung):
        return "hang", hangs[0] if hangs else ""
    if verdict.crashes:
        return "crash", verdict.crashes[0].title
    if outcome is not None and outcome.signal is not None:
        return "crash", f"signal {outcome.signal}"
    if verdict.misread:
        return "misread", ""
    if verdict.leak is not None:
        functions = {site for record in verdict.leak.records for site in record.signature[1]}
        return "leak", " ".join(sorted(functions))
    if verdict.losses or verdict.left:
        return "leak", " ".join(sorted({str(loss.holding) for loss in verdict.losses}))
    if outcome is not None and outcome.device_errno:
        return "held", ""
    return "errno", " ".join(verdict.reasons)


@dataclass(frozen=True)
class _Task:
    """One batch for one process."""

    choices: Mapping[str, Choice]
    group: Group
    directory: Path
    repeats: int
    # Shown before each line of its progress.
    name: str


def _run(task: _Task) -> list[Observed]:
    session = RunSession(
        task.choices,
        task.directory,
        Progress(prefix=task.name),
        repeats=task.repeats,
    )
    try:
        found = []
        for case in task.group.cases:
            result = session.result(task.group, case)
            report = ""
            if result.verdict.status is not Status.PASS:
                report = session.report(task.group, case)
            found.append(observe(result, report))
        return found
    except ErrpathError as error:
        return [Observed(case.id, "error", reasons=(str(error),)) for case in task.group.cases]
    finally:
        session.close()


def observe_all(
    choices: Mapping[str, Choice],
    groups: Sequence[Group],
    directory: Path,
    *,
    jobs: int | None = None,
    repeats: int = 2,
) -> dict[tuple[str, str], Observed]:
    """Run batches, `jobs` at a time (one per CPU); what came of each case, by kernel and id.

    Nothing survives an interrupt: a worker's guests end with it.
    """
    found: dict[tuple[str, str], Observed] = {}
    tasks = [
        _Task(choices, group, directory / str(number), repeats, f"{group.kernel} {_name(group)}")
        for number, group in enumerate(groups)
    ]
    workers = min(jobs or len(os.sched_getaffinity(0)), len(tasks))
    if workers == 0:
        return found
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, initializer=show_logs, initargs=(shown_level(),)
    ) as pool:
        try:
            for task, observed in zip(tasks, pool.map(_run, tasks), strict=True):
                for one in observed:
                    found[task.group.kernel, one.case] = one
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return found


def _name(group: Group) -> str:
    return group.cases[0].batch or group.cases[0].filesystem


def batches(kernel: str, cases: Iterable[MountCase]) -> list[Group]:
    """Cases as batches of one kernel: those of one filesystem share their guests."""
    by_name: dict[str, list[MountCase]] = {}
    for case in cases:
        by_name.setdefault(case.batch or case.filesystem, []).append(case)
    return [Group(kernel, tuple(members)) for members in by_name.values()]
