"""Results of the matrix as plain values: a comparison needs no more of a result than this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from errpath.cases.case import MountCase
from errpath.errors import ErrpathError
from errpath.results.session import RunSession
from errpath.results.testbeds import TestbedFactory, make_testbed
from errpath.runner.options import Choice
from errpath.runner.result import Result
from errpath.runner.scheduler import Batch, schedule
from errpath.runner.verdict import Status
from errpath.util.background import processors
from errpath.util.errnos import errno_name
from errpath.util.progress import Progress

__all__ = ["BAD", "CLEAN", "Observed", "observe", "observe_all"]

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


def observe_all(
    choices: Mapping[str, Choice],
    cases: Mapping[str, Iterable[MountCase]],
    directory: Path,
    *,
    jobs: int | None = None,
    repeats: int = 2,
    make: TestbedFactory = make_testbed,
) -> dict[tuple[str, str], Observed]:
    """Run the cases of each kernel, `jobs` batches at a time (one per CPU); what came of each case,
    by kernel and id.

    Nothing survives an interrupt: the guests end with the run.
    """
    found: dict[tuple[str, str], Observed] = {}
    jobs = jobs or processors()
    batches = schedule(cases, jobs=jobs)
    run = RunSession(
        choices,
        directory,
        Progress(),
        repeats=repeats,
        jobs=jobs,
        make=make,
    )
    try:
        run.expect(batches)
        for batch in batches:
            for one in _observe_batch(run, batch):
                found[batch.kernel, one.case] = one
    finally:
        run.close()
    return found


def _observe_batch(run: RunSession, batch: Batch) -> list[Observed]:
    observed = []
    try:
        for case in batch.cases:
            result = run.result(batch, case)
            failed = result.verdict.status is not Status.PASS
            observed.append(observe(result, run.report(batch, case) if failed else ""))
    except ErrpathError as error:
        return [Observed(case.id, "error", reasons=(str(error),)) for case in batch.cases]
    return observed
