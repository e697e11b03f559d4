"""Cases on one kernel, in a process of its own: the answer that a bisection asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from errpath.errors import ErrpathError
from errpath.intake.likeness import same
from errpath.kernel.source.patches import given_patches
from errpath.nightly.bisect import Answer, Ask
from errpath.nightly.job import Job
from errpath.nightly.launch import job_options, pytest_argv
from errpath.results.records import CaseRecord, CaseStatus
from errpath.results.reports.jsonl import read_results
from errpath.runner.options import ResultOptions, RunOptions, SelectionOptions
from errpath.util.cache import scratch_directory
from errpath.util.process import run
from errpath.util.resources import shipped_suites

__all__ = ["Execute", "Wanted", "asker", "commit_options", "from_anywhere", "kernel_options"]

# Runs a command, its output in a file; however it ends, its results are asked.
Execute = Callable[[Sequence[str], Path], None]


def from_anywhere(options: RunOptions) -> RunOptions:
    """The options with absolute paths, and a file in the place of standard input: they are used
    often, and in another directory.

    Raises:
        UsageError: a patch is not there.
    """
    patches = tuple(str(path) for path in given_patches(options.kernel.patch))
    guest = options.guest.guest
    if guest.endswith(".yaml"):
        guest = str(Path(guest).absolute())
    return replace(
        options,
        kernel=replace(options.kernel, patch=patches),
        guest=replace(options.guest, guest=guest),
    )


def commit_options(options: RunOptions, tree: Path) -> Callable[[str], RunOptions]:
    """The options for each commit of a git tree."""

    def of(commit: str) -> RunOptions:
        spec = f"{commit[:12]}={tree}@{commit}"
        return replace(options, kernel=replace(options.kernel, kernel=(spec,)))

    return of


def kernel_options(options: RunOptions, job: Job) -> Callable[[str], RunOptions]:
    """The options for each kernel of a job, by its name: the job's own, then what was given beside
    it. The guest is the job's first."""
    kernels = {kernel.name: kernel for kernel in job.kernels}

    def of(name: str) -> RunOptions:
        kernel = kernels[name]
        return options.over(job_options(job, kernel, job.guests[0], job.spec(kernel)))

    return of


def _execute(argv: Sequence[str], log: Path) -> None:
    run(argv, cwd=log.parent, log=log, check=False)


@dataclass(frozen=True)
class Wanted:
    """What makes a kernel bad."""

    cases: tuple[str, ...]
    # This failure alone, as `errpath decode` titles it, where another one is no answer; "": any.
    title: str = ""
    # So many runs without it make a kernel good: some failures come now and then.
    attempts: int = 1
    # Suites that have the cases, by name or path; (): those that come with errpath.
    suites: tuple[str, ...] = ()


def asker(
    wanted: Wanted,
    options: Callable[[str], RunOptions],
    *,
    say: Callable[[str], None],
    execute: Execute = _execute,
) -> Ask:
    """Asks a kernel, named as `options` takes it, whether what is wanted fails on it."""

    def ask(kernel: str) -> Answer:
        answer, why = Answer.GOOD, ""
        for number in range(wanted.attempts):
            answer, why = _attempt(wanted, options(kernel), execute)
            if answer is not Answer.GOOD:
                why += f" (attempt {number + 1})" if wanted.attempts > 1 else ""
                break
        say(f"{kernel}: {answer.value}{f': {why}' if why else ''}")
        return answer

    return ask


def _attempt(wanted: Wanted, options: RunOptions, execute: Execute) -> tuple[Answer, str]:
    with scratch_directory() as scratch:
        results = ResultOptions(artefacts=scratch / "a", results=scratch / "r.jsonl")
        # The points of a sweep are known by their ids alone: they have no tests of their own yet.
        points = any(case.startswith("sweep-") for case in wanted.cases)
        (scratch / "cases").write_text("".join(f"{case}\n" for case in wanted.cases))
        selection = SelectionOptions(
            shard="none",
            case=wanted.cases if points else (),
            cases_from=None if points else scratch / "cases",
        )
        suites = wanted.suites or tuple(shipped_suites())
        execute(pytest_argv(suites, options, results, selection), scratch / "log")
        return _answer(scratch / "r.jsonl", wanted, scratch / "log")


def _answer(path: Path, wanted: Wanted, log: Path) -> tuple[Answer, str]:
    try:
        results = read_results(path)
    except ErrpathError as error:
        return Answer.SKIP, str(error)
    asked = [record for _, record in results.cases if record.case in wanted.cases]
    answer, why = (
        _of_failure(asked, wanted) if wanted.title else (_of_cases(asked, set(wanted.cases)), "")
    )
    if answer is Answer.SKIP and not why:
        why = _why(asked, log)
    return answer, why


def _why(asked: Sequence[CaseRecord], log: Path) -> str:
    """Why there is no answer, in one line."""
    for record in asked:
        if record.status is not CaseStatus.PASS:
            return "; ".join((record.status.value, *record.reasons))
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"the case did not run: {lines[-1].strip()[:200]}" if lines else "the case did not run"


def _of_failure(asked: Sequence[CaseRecord], wanted: Wanted) -> tuple[Answer, str]:
    """A known issue is a failure as any other: it is the kernel's history that is asked for."""
    failing = [record for record in asked if record.status.failing]
    for record in failing:
        if any(same(failure, wanted.title, None) for failure in record.failures):
            return Answer.BAD, record.case
    if failing:
        return Answer.SKIP, f"another failure: {'; '.join(failing[0].reasons)}"
    return _of_cases(asked, set(wanted.cases)), ""


def _of_cases(asked: Sequence[CaseRecord], cases: set[str]) -> Answer:
    statuses = {record.status for record in asked}
    if CaseStatus.FAIL in statuses:
        return Answer.BAD
    ran = {record.case for record in asked}
    return Answer.GOOD if statuses == {CaseStatus.PASS} and ran >= cases else Answer.SKIP
