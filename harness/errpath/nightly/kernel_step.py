"""A kernel's own results: does it build, do its modules, does it boot.

Run as a program, so that a build can be stopped with everything it started. Writes the same lines
as `pytest --results`.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from errpath import __version__
from errpath.errors import BootError, BuildError, ConfigError, ErrpathError, PatchError
from errpath.kernel import KernelStore
from errpath.oracles.failure import TEST, Failure, infrastructure
from errpath.results.kernel_record import kernel_record
from errpath.results.records import CaseRecord, CaseStatus, ShardRecord
from errpath.results.reports.jsonl import ResultWriter
from errpath.runner.options import Choice, GuestOptions, KernelOptions, RunOptions, choices
from errpath.runner.testbed import Testbed
from errpath.util.cache import scratch_directory
from errpath.util.progress import Progress
from errpath.util.signals import sigterm_interrupts

__all__ = ["main"]

# These are about the kernel; whatever else goes wrong is about the infrastructure.
_KERNELS_OWN = (BuildError, PatchError, ConfigError, BootError)


@sigterm_interrupts()
def main(argv: Sequence[str] | None = None) -> int:
    """0: it builds and boots. 1: it does not. 3: the infrastructure failed."""
    parser = argparse.ArgumentParser(prog="errpath-kernelstep")
    KernelOptions.add_to(parser.add_argument)
    GuestOptions.add_to(parser.add_argument)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--filesystem", action="append", default=[])
    options = parser.parse_args(argv)
    (chosen,) = choices(RunOptions.from_namespace(options))
    writer = ResultWriter(options.results)
    writer.run(version=__version__, shard=ShardRecord(), started=time.time())
    statuses: list[CaseStatus] = []
    reason = ""
    with scratch_directory() as scratch:
        step = _Steps(chosen, scratch, writer, statuses)
        try:
            step.run(options.filesystem)
        except KeyboardInterrupt:
            reason = "interrupted"
    writer.plan(step.tried, step.tried)
    worst = 3 if reason or CaseStatus.ERROR in statuses else int(CaseStatus.FAIL in statuses)
    writer.end(status=worst, reason=reason, ended=time.time())
    return worst


class _Steps:
    def __init__(
        self, chosen: Choice, scratch: Path, writer: ResultWriter, statuses: list[CaseStatus]
    ) -> None:
        progress = Progress()
        self._chosen = chosen
        self._store = KernelStore(progress=progress)
        self._testbed = Testbed(
            chosen.testbed, store=self._store, artefacts=scratch, progress=progress
        )
        self._writer = writer
        self._statuses = statuses
        self.tried: list[str] = []

    def run(self, filesystems: Sequence[str]) -> None:
        """Each step that makes sense after the one before."""
        built = self._step("kernel-builds", lambda: self._testbed.kernel)
        request = self._chosen.testbed.kernel
        kernel = self._testbed.kernel if built else None
        self._writer.kernel(kernel_record(request, self._store, kernel, name=self._chosen.name))
        if built:
            for name in filesystems:
                self._step(f"module-builds-{name}", functools.partial(self._testbed.modules, name))
            self._step("kernel-boots", lambda: self._testbed.guests.boot().close())

    def _step(self, case: str, action: Callable[[], object]) -> bool:
        self.tried.append(case)
        began = time.monotonic()
        status, reason = CaseStatus.PASS, ""
        try:
            action()
        except _KERNELS_OWN as error:
            status, reason = CaseStatus.FAIL, str(error)
        except ErrpathError as error:
            status, reason = CaseStatus.ERROR, str(error)
        if reason:
            print(f"{case}: {status.value}: {reason}", flush=True)
        self._statuses.append(status)
        record = CaseRecord(
            case,
            status,
            reasons=(reason,) if reason else (),
            failures=_failures(status, reason),
            seconds=time.monotonic() - began,
            nodeid=case,
        )
        self._writer.case(self._chosen.name, record)
        return status is CaseStatus.PASS


def _failures(status: CaseStatus, reason: str) -> tuple[Failure, ...]:
    if not reason:
        return ()
    title = reason.splitlines()[0]
    failed = status is CaseStatus.FAIL
    return (Failure(TEST, title) if failed else infrastructure(title),)


if __name__ == "__main__":
    sys.exit(main())
