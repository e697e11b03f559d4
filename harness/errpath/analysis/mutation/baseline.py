"""What the tests do on the kernel without a mutant: which statements each reaches, and which of
them fail anyway."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from errpath.analysis.mutation.mutants import CONTROL, Mutant
from errpath.analysis.mutation.reach import Marks, Reach, marks_patch, observe
from errpath.analysis.mutation.rungs import Rung
from errpath.analysis.mutation.sources import together
from errpath.cases.case import MountCase
from errpath.errors import ErrpathError
from errpath.runner.guests import Boot
from errpath.runner.result import Result
from errpath.runner.testbed import Testbed
from errpath.runner.verdict import Status, Verdict
from errpath.util.progress import Progress

__all__ = ["Baseline", "Observer"]


@dataclass(frozen=True)
class Baseline:
    """The tests without a mutant."""

    # Signatures of failures, by test.
    failing: Mapping[str, str] = field(default_factory=dict)
    # By name of the rung: what its tests reach of the statements that are left out. Where that is
    # not known, every test may reach any.
    reach: Mapping[str, Reach] = field(default_factory=dict)

    def may_tell(self, rung: Rung, mutant: str, test: str) -> bool:
        """Whether a test of a rung may run otherwise with a mutant than without."""
        reach = self.reach.get(rung.name)
        return reach is None or reach.may_tell(mutant, test)

    def may_kill(self, rung: Rung, mutant: str) -> bool:
        """Whether any test of a rung may."""
        reach = self.reach.get(rung.name)
        return reach is None or any(reach.may_tell(mutant, test) for test in reach.by_test)


@dataclass(frozen=True)
class Observer:
    """Runs the tests of a filesystem without a mutant."""

    filesystem: str
    rungs: Sequence[Rung]
    # Gives a test bed of the kernel with these patches.
    testbed: Callable[[tuple[Path, ...]], Testbed]
    progress: Progress
    # How many guests run at once.
    jobs: int

    def observe(
        self,
        mutants: Sequence[Mutant],
        sources: Mapping[str, Mapping[str, str]],
        directory: Path,
    ) -> Baseline:
        """What is to be known for these mutants of modules with these `sources` (path → text).
        Nothing of it is kept: the tests may be others when a run goes on.

        Raises:
            ErrpathError: the kernel cannot be tested.
        """
        known = Baseline(reach=self._reach(mutants, sources, directory))
        ids = [one.id for one in mutants]
        return Baseline(self._failing(ids, known), known.reach)

    def _reach(
        self,
        mutants: Sequence[Mutant],
        sources: Mapping[str, Mapping[str, str]],
        directory: Path,
    ) -> dict[str, Reach]:
        ids = tuple(one.id for one in mutants if one.kind != CONTROL)
        found: dict[str, Reach] = {}
        patch = directory / "marks.patch"
        testbed = self.testbed((patch,))
        try:
            patch.write_text(marks_patch(mutants, together(sources), exported=len(sources) > 1))
            marks = Marks(ids, next(iter(sources)))
            for rung in self.rungs:
                found[rung.name] = self._reach_of(rung, testbed, marks)
        except ErrpathError as error:
            self.progress.say(f"{self.filesystem}: any test may reach a statement: {error}")
        finally:
            testbed.close()
            patch.unlink(missing_ok=True)
        return found

    def _reach_of(self, rung: Rung, testbed: Testbed, marks: Marks) -> Reach:
        work = [
            (cases[at :: self.jobs], boot)
            for cases, boot in rung.groups(testbed)
            for at in range(min(self.jobs, len(cases)))
        ]
        total = sum(len(cases) for cases, _ in work)
        done = itertools.count(1)
        reach = Reach(frozenset(marks.mutants))
        with (
            self.progress.step(f"what {total} tests of {rung.name} reach", total=total) as step,
            ThreadPoolExecutor(self.jobs, thread_name_prefix="reach") as pool,
        ):

            def show(note: str) -> None:
                step.update(next(done), note=note)

            def see(part: tuple[Sequence[MountCase], Boot]) -> Reach:
                cases, boot = part
                return observe(cases, boot, marks, show)

            for own in pool.map(see, work):
                reach.add(own)
        return reach

    def _failing(self, mutants: Sequence[str], known: Baseline) -> dict[str, str]:
        """Signatures of failures by test, of the tests that may tell of these mutants."""
        testbed = self.testbed(())
        found: dict[str, str] = {}
        errors: list[Verdict] = []

        def run(rung: Rung) -> Mapping[str, Result]:
            def wanted(test: str) -> bool:
                return any(known.may_tell(rung, mutant, test) for mutant in mutants)

            return rung.run(testbed, lambda results: None, wanted=wanted)

        try:
            # What several threads need is built by one.
            for error in testbed.build((self.filesystem,), points=True).values():
                raise error
            with ThreadPoolExecutor(self.jobs, thread_name_prefix="stock") as pool:
                for results in pool.map(run, self.rungs):
                    for case_id, result in results.items():
                        verdict = result.verdict
                        if verdict.status is not Status.PASS:
                            found[case_id] = verdict.signature
                        if verdict.status is Status.ERROR:
                            errors.append(verdict)
        finally:
            testbed.close()
        if errors:
            first = errors[0]
            self.progress.say(
                f"{self.filesystem}: {len(errors)} tests have no verdict without a mutant and kill "
                f"none: {first.case.id}: {first.reasons[0]}"
            )
        return found
