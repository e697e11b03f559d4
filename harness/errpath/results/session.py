"""One test session: testbeds per kernel, batches of cases, reports and artefacts.

Knows nothing of pytest: the plugin hands it the cases in groups and asks for one result at a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from errpath.cases.case import MountCase
from errpath.errors import ErrpathError, InfrastructureError, UsageError
from errpath.faults.plan import FaultPlan
from errpath.filesystems import load_filesystem
from errpath.kernel import KernelStore
from errpath.oracles.kmemleak import Record
from errpath.results.artefacts import write_artefacts
from errpath.results.reports.text import render
from errpath.runner.availability import without_filesystem
from errpath.runner.batch_runner import BatchRunner, PreparedGuest, Result
from errpath.runner.options import Choice, rerun_words
from errpath.runner.resource_check import check_resources
from errpath.runner.testbed import Testbed, TestbedOptions, batch_size, guest_factory
from errpath.runner.verdict import Status
from errpath.util.lanes import Lanes
from errpath.util.progress import Progress

__all__ = ["Group", "RunSession", "run_directory"]


# Compared by identity: a group is a key, and to hash a thousand cases takes milliseconds.
@dataclass(frozen=True, eq=False)
class Group:
    """Cases of one kernel that are run as one batch."""

    kernel: str
    cases: tuple[MountCase, ...]


@dataclass
class RunSession:
    """Results are computed group by group, when the first of a group is asked for, or ahead of that
    for groups that are sure to be asked for (`expect`)."""

    choices: Mapping[str, Choice]
    # Artefacts of this run.
    directory: Path
    progress: Progress
    repeats: int = 2
    # How many groups that are expected run at once.
    lanes: int = 1
    # Leaks that belong to no case, told at the end.
    stray: list[Record] = field(default_factory=list)
    # Artefact folders by kernel and case id; what is kept of each built kernel, by name.
    folders: dict[tuple[str, str], Path] = field(default_factory=dict)
    described: dict[str, dict[str, Any]] = field(default_factory=dict)
    # What else no case is to blame for alone.
    notes: list[str] = field(default_factory=list)
    _testbeds: dict[str, Testbed] = field(default_factory=dict)
    _results: dict[tuple[str, str], Result] = field(default_factory=dict)
    _broken: dict[Group, ErrpathError] = field(default_factory=dict)
    # Why filesystems of a group cannot be had, by group.
    _lost: dict[Group, dict[str, ErrpathError]] = field(default_factory=dict)
    _reports: dict[tuple[str, str], str] = field(default_factory=dict)
    _expected: tuple[Group, ...] = ()
    _ahead: Lanes[Group] | None = None
    _runners: set[BatchRunner] = field(default_factory=set)
    _ended: bool = False

    def expect(self, groups: Sequence[Group]) -> None:
        """All of these will be asked for: they may run ahead, in this order."""
        self._expected = tuple(groups)

    def testbed(self, kernel: str, filesystem: str = "") -> Testbed:
        """The test bed of one kernel; its kernel is built when it is first used.

        A filesystem that does not go with the others gets another build of the same sources.
        """
        own = load_filesystem(filesystem).own_fragments if filesystem else ()
        key = "-".join((kernel, *(fragment.stem for fragment in own)))
        if key not in self._testbeds:
            store = KernelStore(progress=self.progress)
            options = with_fragments(self.choices[kernel].testbed, own)
            artefacts = self.directory / "guests" / str(len(self._testbeds))
            self._testbeds[key] = Testbed(
                options, store=store, artefacts=artefacts, progress=self.progress
            )
        return self._testbeds[key]

    def result(self, group: Group, case: MountCase) -> Result:
        """The result of one case; the first of a group runs the group.

        Raises:
            ErrpathError: the group cannot be run at all, as its kernel cannot be had.
        """
        key = (group.kernel, case.id)
        if key not in self._results:
            broken = self._broken.get(group)
            if broken is not None:
                raise broken
            try:
                self._have_run(group)
            except ErrpathError as error:
                # Said for every case of the group, tried once.
                self._broken[group] = error
                raise
        return self._results[key]

    def prepare(self) -> None:
        """Build every chosen kernel now, so that what cannot be built is said once and first."""
        for kernel in self.choices:
            self.testbed(kernel).check()

    def report(self, group: Group, case: MountCase) -> str:
        """The text of a result that is not a pass."""
        key = (group.kernel, case.id)
        if key not in self._reports:
            self._reports[key] = self._render(group, self._results[key])
        return self._reports[key]

    @property
    def judged(self) -> bool:
        """Whether any case has run."""
        return any(result.verdict.outcome is not None for result in self._results.values())

    def known(self, kernel: str, case_id: str) -> Result | None:
        """The result of a case that has run."""
        return self._results.get((kernel, case_id))

    def add(self, kernel: str, cases: Sequence[MountCase], results: Mapping[str, Result]) -> Group:
        """Take in results that were had outside of a group; the group that they make."""
        for case_id, result in results.items():
            self._results[kernel, case_id] = result
        return Group(kernel, tuple(cases))

    def guests(self, boot: Callable[[], PreparedGuest]) -> Callable[[], PreparedGuest]:
        """`boot`, until the session is closed."""
        return self._guests(boot)

    def rerun(self, kernel: str, case_id: str) -> str:
        """The command that runs one case again."""
        return rerun_words(case_id, self.choices[kernel].words)

    def built_testbeds(self) -> tuple[tuple[str, Testbed], ...]:
        """Test beds whose kernel has been built, by name."""
        return tuple(
            (name, testbed) for name, testbed in self._testbeds.items() if "kernel" in vars(testbed)
        )

    def close(self) -> None:
        """End every guest, also of groups that are still under way."""
        self._ended = True
        if self._ahead is not None:
            # A group whose guest goes away ends, for it gets no other.
            for runner in tuple(self._runners):
                runner.close()
            self._ahead.stop()
        for testbed in self._testbeds.values():
            testbed.close()

    def begin(self) -> None:
        """Run what is expected from now on, where lanes do that: something else keeps this thread
        busy first."""
        if self._ahead is None and self.lanes > 1 and len(self._expected) > 1:
            self._ahead = self._begin()

    def _have_run(self, group: Group) -> None:
        """Have the results of `group`."""
        self.begin()
        if self._ahead is not None and group in self._ahead:
            self._ahead.wait(group)
        else:
            self._run(group, self._ready(group))

    def _begin(self) -> Lanes[Group]:
        """Run what is expected, in lanes. Everything is built before, here: builds have their own
        parallelism."""
        testbeds: dict[Group, Testbed] = {}
        for group in self._expected:
            try:
                testbeds[group] = self._ready(group)
            except ErrpathError as error:
                self._broken[group] = error
        return Lanes(
            testbeds,
            lambda group: self._run(group, testbeds[group]),
            count=self.lanes,
            progress=self.progress,
        )

    def _ready(self, group: Group) -> Testbed:
        """The test bed of a group, with everything built that its guests need."""
        if group in self._broken:
            raise self._broken[group]
        filesystems = dict.fromkeys(case.filesystem for case in group.cases)
        own = dict.fromkeys(load_filesystem(name).own_kernel for name in filesystems)
        if len(own) > 1:
            raise UsageError(f"{', '.join(filesystems)}: cannot share a kernel; run them apart")
        testbed = self.testbed(group.kernel, next(iter(filesystems)))
        testbed.check()
        self._lost[group] = testbed.build_each(tuple(filesystems))
        return testbed

    def _run(self, group: Group, testbed: Testbed) -> None:
        lost = self._lost.get(group, {})
        for case in group.cases:
            if case.filesystem in lost:
                verdict = without_filesystem(case, lost[case.filesystem])
                self._results[group.kernel, case.id] = Result(verdict)
        cases = [case for case in group.cases if case.filesystem not in lost]
        if not cases:
            return
        filesystems = tuple(dict.fromkeys(case.filesystem for case in cases))
        faults = [case.fault for case in cases if case.fault]
        plans = [fault for fault in faults if isinstance(fault, FaultPlan)]
        functions = tuple(dict.fromkeys(plan.function for plan in plans))
        others = [fault for fault in faults if not isinstance(fault, FaultPlan)]
        points = tuple(dict.fromkeys(fault.function for fault in others)) if others else None
        boot = self._guests(guest_factory(testbed, filesystems, functions, points=points))
        runner = BatchRunner(
            boot,
            confirm=self._guests(
                guest_factory(testbed, filesystems, functions, points=points, confirm=True)
            ),
            batch=batch_size(testbed.options),
            repeats=self.repeats,
            progress=self.progress,
        )
        self._runners.add(runner)
        try:
            results = runner.run(cases)
        finally:
            runner.close()
            self._runners.discard(runner)
        self.stray += runner.stray
        self.notes += runner.notes
        reasons = {result.verdict.reasons for result in results.values()}
        if len(reasons) == 1 and all(_never_ran(result) for result in results.values()):
            # No guest came up: that is one message, not one per case.
            raise InfrastructureError(next(iter(reasons))[0])
        if testbed.options.conservation:
            results, together = check_resources(boot, results, self.progress)
            self.notes += together
        for case_id, result in results.items():
            self._results[group.kernel, case_id] = result

    def _guests(self, boot: Callable[[], PreparedGuest]) -> Callable[[], PreparedGuest]:
        """`boot`, until the session is closed."""

        def guest() -> PreparedGuest:
            if self._ended:
                raise InfrastructureError("the run has been ended")
            return boot()

        return guest

    def _render(self, group: Group, result: Result) -> str:
        case = result.verdict.case
        decoder = None
        folder = None
        note = ""
        try:
            if result.verdict.leak is not None or result.verdict.crashes:
                testbed = self.testbed(group.kernel, case.filesystem)
                decoder = testbed.symbolizer((case.filesystem,))
            if result.verdict.status not in (Status.PASS, Status.SKIP):
                folder = write_artefacts(
                    result, self.directory / folder_name(group.kernel), decoder
                )
        except ErrpathError as error:
            note = f"\n  report     incomplete: {error}"
        rerun = self.rerun(group.kernel, case.id)
        text = render(result, decoder, rerun=rerun, folder=folder) + note
        if folder is not None:
            self.folders[group.kernel, case.id] = folder
            try:
                (folder / "report.txt").write_text(text + "\n")
            except OSError as error:
                text += f"\n  report     not written: {error.strerror}"
        return text


def _never_ran(result: Result) -> bool:
    verdict = result.verdict
    return verdict.status is Status.ERROR and verdict.outcome is None and result.artefacts is None


def with_fragments(options: TestbedOptions, fragments: tuple[Path, ...]) -> TestbedOptions:
    """The options of the same kernel with more configuration; the user's own lines still win."""
    every = (*options.kernel.fragments, *fragments)
    return replace(options, kernel=replace(options.kernel, fragments=every))


def folder_name(kernel: str) -> str:
    """Name of the artefact folder of a kernel."""
    return "".join(c if c.isalnum() or c in ".-_" else "_" for c in kernel)


def run_directory(root: Path, *, worker: str = "") -> Path:
    """A new directory for one run's artefacts, named by time and process."""
    stamp = time.strftime("%Y%m%dT%H%M%S")
    return root / f"{stamp}-{os.getpid()}{worker}"


def split_evenly(cases: Sequence[MountCase], groups: int) -> list[tuple[MountCase, ...]]:
    """At most `groups` runs of neighbours, as even as can be."""
    groups = max(1, min(groups, len(cases)))
    size, more = divmod(len(cases), groups)
    out, at = [], 0
    for number in range(groups):
        end = at + size + (number < more)
        out.append(tuple(cases[at:end]))
        at = end
    return out
