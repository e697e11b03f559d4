"""Units as processes: pytest for a suite, our own step for a kernel."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from errpath.errors import InfrastructureError
from errpath.nightly.job import Job, JobKernel
from errpath.nightly.plan import Unit
from errpath.runner.options import (
    GuestOptions,
    KernelOptions,
    OracleOptions,
    ResultOptions,
    RunOptions,
    SelectionOptions,
)
from errpath.util.option_group import OptionGroup
from errpath.util.process import find_program
from errpath.util.resources import PYTEST_WORDS, suite_path

__all__ = ["ProcessLauncher", "job_options", "pytest_argv", "unit_argv"]

# Seconds that pytest gets to end its guests by itself before everything is killed.
_GRACE_SECONDS = 15.0


def job_options(job: Job, kernel: JobKernel, guest: str, spec: str) -> RunOptions:
    """What a job says of one of its kernels in one of its guests; `spec` is the kernel's."""
    return RunOptions(
        KernelOptions(
            kernel=(f"{kernel.name}={spec}",),
            patch=tuple(str(path) for path in job.patch_paths(kernel)),
            kconfig_add=kernel.kconfig_add,
        ),
        GuestOptions(guest=guest, accel=job.accel, append=kernel.append),
        # Said in any case: a suite that is alone would choose for itself.
        oracles=OracleOptions(resource_leaks=job.conservation),
    )


def pytest_argv(suites: Sequence[str], *groups: OptionGroup | RunOptions) -> list[str]:
    """pytest over shipped suites, or directories of tests with absolute paths, in a process of its
    own."""
    paths = [name if Path(name).is_absolute() else suite_path(name) for name in suites]
    argv = [sys.executable, "-m", "pytest", *paths, *PYTEST_WORDS]
    argv += ["-q", "-p", "no:cacheprovider", "--tb=short"]
    return argv + [word for group in groups for word in group.to_argv()]


def unit_argv(job: Job, unit: Unit, spec: str, directory: Path, durations: Path) -> list[str]:
    """The command of a unit; its results go to `directory`."""
    options = job_options(job, unit.kernel, unit.track.guest, spec)
    results = ResultOptions(results=directory / "results.jsonl")
    if unit.kind == "kernel":
        groups: tuple[OptionGroup, ...] = (options.kernel, options.guest, results)
        chosen = [word for group in groups for word in group.to_argv()]
        wanted = [word for name in job.filesystems for word in ("--filesystem", name)]
        return [sys.executable, "-m", "errpath.nightly.kernel_step", *chosen, *wanted]
    selection = SelectionOptions(
        shard=unit.shard,
        durations_from=durations if unit.shard != "none" else None,
        cases_from=directory / "cases" if unit.cases is not None else None,
    )
    results = replace(results, artefacts=directory / "artefacts")
    argv = pytest_argv([unit.track.suite], options, results, selection)
    argv += ["--junitxml", str(directory / "junit.xml")]
    if job.workers:
        argv += ["-n", str(job.workers)]
    if job.select:
        argv += ["-m", job.select]
    if job.keyword:
        argv += ["-k", job.keyword]
    return argv


class _Process:
    """A child in a process group of its own, with a descriptor that polls readable at its end."""

    def __init__(self, argv: Sequence[str], log: Path) -> None:
        # Whatever ends us, pytest hears of it and ends its guests.
        words = [find_program("setpriv"), "--pdeathsig", "TERM", *argv]
        with log.open("ab") as sink:
            self._child = subprocess.Popen(
                words,
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._descriptor = os.pidfd_open(self._child.pid)

    def fileno(self) -> int:
        return self._descriptor

    def stop(self) -> None:
        # As a Ctrl-C would: pytest closes guests and files.
        self._signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_GRACE_SECONDS)
        self.result()

    def result(self) -> int:
        # What the child left behind in its group goes with it.
        self._signal(signal.SIGKILL)
        status = self._child.wait()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        return status

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)


class ProcessLauncher:
    """Starts units below a run's directory."""

    def __init__(
        self, job: Job, directory: Path, durations: Path, spec: Callable[[Unit], str]
    ) -> None:
        """`spec` gives a unit's kernel: as the job has it, or pinned since."""
        self._job = job
        self._directory = directory
        self._durations = durations
        self._spec = spec

    def start(self, unit: Unit) -> _Process:
        """Start a unit. What an interrupted run left of it is set aside.

        Raises:
            InfrastructureError: the disk is full.
        """
        directory = self._directory / "units" / unit.id
        try:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "results.jsonl").unlink(missing_ok=True)
            if unit.cases is not None:
                (directory / "cases").write_text("".join(f"{case}\n" for case in unit.cases))
            spec = self._spec(unit)
            argv = unit_argv(self._job, unit, spec, directory, self._durations)
            return _Process(argv, directory / "log")
        except OSError as error:
            raise InfrastructureError(
                f"{directory}: {error.strerror}; expected room for a run"
            ) from None
