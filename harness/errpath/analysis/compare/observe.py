"""Results of the matrix as plain values: a comparison needs no more of a result than this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from errpath.cases.case import MountCase, Outcome
from errpath.errors import ErrpathError
from errpath.oracles.failure import (
    INFRASTRUCTURE,
    NOT_AVAILABLE,
    Failure,
    infrastructure,
    stable_text,
    worst,
)
from errpath.oracles.messages import messages, plain_text
from errpath.results.session import RunSession
from errpath.results.testbeds import TestbedFactory, make_testbed
from errpath.runner.options import Choice
from errpath.runner.result import Result
from errpath.runner.scheduler import Batch, schedule
from errpath.runner.verdict import Status
from errpath.util.background import processors
from errpath.util.errnos import errno_name
from errpath.util.progress import Progress

__all__ = ["CLEAN", "Observed", "doubtful", "observe", "observe_all"]

CLEAN = "clean"
# KERN_DEBUG of include/linux/kern_levels.h.
_DEBUG = 7


@dataclass(frozen=True)
class Observed:
    """What one run of one case came to."""

    case: str
    # The worst first; none for what is clean.
    failures: tuple[Failure, ...] = ()
    # What the steps gave, such as "0" and "-EIO".
    errnos: tuple[str, ...] = ()
    # The whole report; "" for what is clean.
    report: str = ""
    # What the kernel printed, at any level but debug, without what changes from run to run.
    messages: frozenset[str] = frozenset()

    @property
    def worst(self) -> Failure | None:
        """The failure to show first; None without any."""
        return worst(self.failures)

    @property
    def error(self) -> bool:
        """Whether there is no answer: the infrastructure failed, or the case was left out."""
        return any(one.kind in (INFRASTRUCTURE, NOT_AVAILABLE) for one in self.failures)

    @property
    def absent(self) -> bool:
        """Whether the kernel does not have what the case is about."""
        return bool(self.failures) and all(one.kind is NOT_AVAILABLE for one in self.failures)

    @property
    def bad(self) -> bool:
        """Whether something is wrong that is wrong in any kernel: more than an errno."""
        return not self.error and any(failure.kind.bug for failure in self.failures)

    @property
    def kind(self) -> str:
        """CLEAN, "error" (no answer), or the kind of the worst failure."""
        if self.error:
            return "error"
        return self.worst.kind.name if self.worst is not None else CLEAN

    @property
    def reasons(self) -> tuple[str, ...]:
        """The failures, one line each."""
        return tuple(failure.line for failure in self.failures)


def observe(result: Result, report: str = "") -> Observed:
    """A result as a plain value."""
    verdict = result.verdict
    outcome = verdict.outcome
    errnos = tuple(errno_name(step.errno) for step in outcome.steps) if outcome else ()
    kernel_messages = _messages(outcome) if outcome else frozenset()
    return Observed(verdict.case.id, verdict.failures, errnos, report, kernel_messages)


def _messages(outcome: Outcome) -> frozenset[str]:
    printed = messages(outcome.kmsg, outcome.kmsg_levels)
    return frozenset(
        stable_text(plain_text(one.text)) for one in printed if one.level < _DEBUG and one.text
    )


def doubtful(before: Observed | None, after: Observed | None) -> bool:
    """Whether one run of each kernel is not enough: they differ, or something is wrong."""
    if before is None or after is None:
        return True
    if before.absent or after.absent:
        return before.bad or after.bad
    return (
        before.bad
        or after.bad
        or "error" in (before.kind, after.kind)
        or before.errnos != after.errnos
        or before.messages != after.messages
    )


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
        return [Observed(case.id, (infrastructure(str(error)),)) for case in batch.cases]
    return observed
