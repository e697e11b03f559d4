"""Cases on one kernel, in a process of its own: the answer that a bisection asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from errpath.errors import ErrpathError
from errpath.kernel.source.patches import given_patches
from errpath.nightly.bisect import Answer, Ask
from errpath.nightly.job import Job
from errpath.nightly.launch import job_options, pytest_argv
from errpath.results.records import CaseStatus
from errpath.results.reports.jsonl import read_results
from errpath.runner.options import ResultOptions, RunOptions, SelectionOptions
from errpath.util.cache import scratch_directory
from errpath.util.process import run
from errpath.util.resources import shipped_suites

__all__ = ["Execute", "asker", "commit_options", "from_anywhere", "kernel_options"]

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


def asker(
    cases: Sequence[str],
    options: Callable[[str], RunOptions],
    *,
    say: Callable[[str], None],
    execute: Execute = _execute,
) -> Ask:
    """Asks a kernel, named as `options` takes it, whether these cases pass on it."""

    def ask(kernel: str) -> Answer:
        with scratch_directory() as scratch:
            (scratch / "cases").write_text("".join(f"{case}\n" for case in cases))
            results = ResultOptions(artefacts=scratch / "a", results=scratch / "r.jsonl")
            selection = SelectionOptions(shard="none", cases_from=scratch / "cases")
            argv = pytest_argv(shipped_suites(), options(kernel), results, selection)
            execute(argv, scratch / "log")
            answer = _answer(scratch / "r.jsonl", set(cases))
        say(f"{kernel}: {answer.value}")
        return answer

    return ask


def _answer(path: Path, cases: set[str]) -> Answer:
    try:
        results = read_results(path)
    except ErrpathError:
        return Answer.SKIP
    statuses = {record.status for _, record in results.cases if record.case in cases}
    if CaseStatus.FAIL in statuses:
        return Answer.BAD
    ran = {record.case for _, record in results.cases}
    return Answer.GOOD if statuses == {CaseStatus.PASS} and ran >= cases else Answer.SKIP
