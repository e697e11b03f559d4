"""`errpath nightly bisect CASE…`: which kernel of a job, or which commit, made cases fail."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from errpath.errors import ErrpathError, UsageError
from errpath.nightly.bisect import Answer, Found, bisect_list, bisect_revisions
from errpath.nightly.job import Job, load_job
from errpath.results.records import CaseStatus
from errpath.results.reports.jsonl import read_results
from errpath.runner.options import add_options
from errpath.util.cache import scratch_directory
from errpath.util.process import run as run_program
from errpath.util.resources import CHECKOUT

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `bisect` action."""
    parser = commands.add_parser(
        "bisect",
        help="find the first bad kernel",
        description="Over git: --tree, --good, --bad (and --patch … for every step). Over a job's "
        "kernels, in their order: --job. A kernel is bad if any of the cases fails on it.",
    )
    parser.add_argument("case", nargs="+", metavar="CASE-ID")
    parser.add_argument("--tree", type=Path, metavar="DIR", help="a git tree of the kernel")
    parser.add_argument("--good", metavar="REVISION", help="where the cases pass")
    parser.add_argument("--bad", metavar="REVISION", help="where they fail")
    parser.add_argument("--job", type=Path, metavar="JOB.yaml", help="take its kernels instead")
    add_options(parser.add_argument)
    parser.set_defaults(handler=_bisect)


def _bisect(arguments: argparse.Namespace) -> int:
    over_git = (arguments.tree, arguments.good, arguments.bad)
    if (arguments.job is None) == (None in over_git) or (arguments.job and any(over_git)):
        raise UsageError("bisect: expected --tree, --good and --bad, or --job alone")
    if arguments.kernel:
        raise UsageError("bisect: --kernel: expected --tree or --job to say which kernels")
    if arguments.job is not None:
        job = load_job(arguments.job)
        found = bisect_list([kernel.name for kernel in job.kernels], _job_asker(job, arguments))
    else:
        tree = arguments.tree.resolve()
        found = bisect_revisions(
            tree,
            arguments.good,
            arguments.bad,
            _asker(arguments, lambda commit: _words(arguments, f"{commit[:12]}={tree}@{commit}")),
        )
    _tell(found, arguments.tree)
    return 0


def _job_asker(job: Job, arguments: argparse.Namespace) -> Callable[[str], Answer]:
    kernels = {kernel.name: kernel for kernel in job.kernels}

    def words(name: str) -> list[str]:
        kernel = kernels[name]
        chosen = ["--kernel", f"{name}={job.spec(kernel)}", "--guest", job.guests[0]]
        chosen += [word for path in job.patch_paths(kernel) for word in ("--patch", str(path))]
        chosen += [word for line in kernel.kconfig_add for word in ("--kconfig-add", line)]
        return [*chosen, *(f"--append={text}" for text in kernel.append)]

    return _asker(arguments, words)


def _words(arguments: argparse.Namespace, kernel: str) -> list[str]:
    chosen = ["--kernel", kernel, "--guest", arguments.guest, "--accel", arguments.accel]
    chosen += [word for path in arguments.patch for word in ("--patch", str(Path(path).resolve()))]
    chosen += [word for line in arguments.kconfig_add for word in ("--kconfig-add", line)]
    return [*chosen, *(f"--append={text}" for text in arguments.append)]


def _asker(
    arguments: argparse.Namespace, words: Callable[[str], Sequence[str]]
) -> Callable[[str], Answer]:
    """Runs the cases on one kernel, in a process of its own."""

    def ask(kernel: str) -> Answer:
        with scratch_directory() as scratch:
            (scratch / "cases").write_text("".join(f"{case}\n" for case in arguments.case))
            suites = [
                str(path)
                for path in sorted((CHECKOUT / "suites").iterdir())
                if path.is_dir() and path.name not in ("selftest", "__pycache__")
            ]
            argv = [sys.executable, "-m", "pytest", *suites, "--rootdir", str(CHECKOUT), "-q"]
            argv += ["-p", "no:cacheprovider", "--shard", "none", *words(kernel)]
            argv += ["--cases-from", str(scratch / "cases")]
            argv += ["--results", str(scratch / "r.jsonl"), "--artefacts", str(scratch / "a")]
            run_program(argv, cwd=CHECKOUT, log=scratch / "log", check=False)
            answer = _answer(scratch / "r.jsonl", set(arguments.case))
        print(f"{kernel}: {answer.value}", flush=True)
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


def _tell(found: Found, tree: Path | None) -> None:
    if len(found.first_bad) > 1:
        print(f"first bad: one of these {len(found.first_bad)} (the others gave no answer)")
    else:
        print("first bad:")
    for kernel in found.first_bad:
        subject = ""
        if tree is not None:
            argv = ["git", "-C", str(tree), "log", "-1", "--format=%s (%an, %ad)", kernel]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            subject = f"  {done.stdout.strip()}"
        print(f"  {kernel}{subject}")
    print(f"{len(found.asked)} kernels asked")
