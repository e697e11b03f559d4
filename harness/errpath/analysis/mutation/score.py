"""The score of the oracles: mutants of one filesystem, each built, run and judged.

The cases run in rungs, the quickest first, and a mutant is killed by the first failure that the
kernel without it does not show. Mutants that change nothing run among them as controls. Results are
appended to a file one by one: a run that was cut short goes on from there.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path

from errpath.analysis.mutation.baseline import Baseline, Observer
from errpath.analysis.mutation.mutants import Mutant, patch_text
from errpath.analysis.mutation.results import NOT_REACHED, Fate, Judged, ResultFile
from errpath.analysis.mutation.rungs import Rung
from errpath.analysis.mutation.sources import module_sources
from errpath.errors import BuildError, ErrpathError
from errpath.kernel import BuiltKernel, KernelStore
from errpath.runner.known_issues import KnownIssues
from errpath.runner.result import Result
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.runner.verdict import Status, Verdict
from errpath.util.progress import Progress, silent

__all__ = ["Score", "is_new"]


class _KilledError(Exception):
    """A failure that the kernel without the mutant does not show."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.signature)
        self.verdict = verdict


def is_new(verdict: Verdict, stock: Mapping[str, str], known: KnownIssues, guest: str) -> bool:
    """Whether a failure is none that the kernel without the mutant shows, or is known to show in
    a guest of this definition; `stock` is the signatures of its failures, by case."""
    if verdict.status is not Status.FAIL or verdict.signature == stock.get(verdict.case.id):
        return False
    return not known.explain_today(verdict, guest)


@dataclass
class Score:
    """Judges mutants of one filesystem on one kernel."""

    options: TestbedOptions
    filesystem: str
    # Of this filesystem, the quickest first.
    rungs: Sequence[Rung]
    # Where patches, guests' artefacts and results go.
    directory: Path
    progress: Progress
    # How the mutants were chosen where they are a sample.
    sample: str = ""
    # Bugs of the kernel without a mutant: one that does not show each time kills nothing.
    known: KnownIssues = field(default_factory=KnownIssues)
    # The tests without a mutant.
    _baseline: Baseline = field(default_factory=Baseline)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._store = KernelStore(progress=silent())

    @property
    def results(self) -> Path:
        """A `ResultFile`."""
        return self.directory / "mutants.jsonl"

    @functools.cached_property
    def _kernel(self) -> BuiltKernel:
        """The kernel without a mutant."""
        return self._store.build(self.options.kernel)

    def run(self, mutants: Sequence[Mutant], *, jobs: int) -> tuple[Judged, ...]:
        """The fate of each mutant, `jobs` at once; those of an earlier run are not judged again.

        Raises:
            ErrpathError: the kernel without a mutant cannot be tested.
            UsageError: the directory holds results of something else.
        """
        kernel = self._kernel
        by = {
            "kernel": kernel.description,
            "configuration": kernel.key,
            "guest": self.options.guest,
            "tests": [rung.name for rung in self.rungs],
            "sample": self.sample,
        }
        file = ResultFile(self.results, by)
        left = [one for one in mutants if one.id not in file.known]
        if left:
            sources = module_sources(self._store, kernel, self.filesystem)
            observer = Observer(self.filesystem, self.rungs, self._testbed, self.progress, jobs)
            self._baseline = observer.observe(left, sources, self.directory)
        known = f", {len(mutants) - len(left)} known" if len(left) < len(mutants) else ""
        name = f"{len(mutants)} mutants of {self.filesystem}{known}"
        with (
            self.progress.step(name, total=len(left)) as step,
            ThreadPoolExecutor(jobs, thread_name_prefix="mutant") as pool,
        ):
            judged = as_completed(pool.submit(self._judge, one) for one in left)
            try:
                for number, done in enumerate(judged, 1):
                    file.add(done.result())
                    killed = sum(found.fate == Fate.KILLED for found in file.known.values())
                    step.update(number, note=f"{killed} killed")
            finally:
                # Of an interrupted run, those that have begun are the last.
                pool.shutdown(wait=False, cancel_futures=True)
        return tuple(file.known[one.id] for one in mutants)

    def _judge(self, mutant: Mutant) -> Judged:
        began = time.monotonic()
        fate, rung, verdict, why = self._fate(mutant)
        failure = verdict.failures[0] if verdict is not None else None
        return Judged(
            mutant.id,
            mutant.kind,
            fate,
            case=verdict.case.id if verdict is not None else "",
            oracle=failure.kind.name if failure is not None else "",
            title=failure.title if failure is not None else why,
            rung=rung,
            seconds=round(time.monotonic() - began, 2),
        )

    def _fate(self, mutant: Mutant) -> tuple[Fate, str, Verdict | None, str]:
        """Fate, the rung and the verdict that killed it, why there is no answer, or why no test
        was run."""
        rungs = [rung for rung in self.rungs if self._baseline.may_kill(rung, mutant.id)]
        if not rungs:
            return Fate.SURVIVED, "", None, NOT_REACHED
        text = self._store.sources.text(self._kernel, mutant.file) or ""
        patch = self.directory / f"mutant-{next(self._numbers)}.patch"
        patch.write_text(patch_text(mutant, text))
        testbed = self._testbed((patch,))
        why = name = ""
        try:
            for rung in rungs:
                name = rung.kind
                wanted = functools.partial(self._baseline.may_tell, rung, mutant.id)
                results = rung.run(testbed, self._look, self._hear, wanted)
                errors = [r.verdict for r in results.values() if r.verdict.status is Status.ERROR]
                new = [one for one in errors if one.case.id not in self._baseline.failing]
                why = why or (new[0].reasons[0] if new else "")
        except _KilledError as killed:
            return Fate.KILLED, name, killed.verdict, ""
        except BuildError as error:
            return Fate.NOT_BUILT, "", None, str(error)
        except ErrpathError as error:
            return Fate.NO_ANSWER, name, None, str(error)
        finally:
            testbed.close()
            patch.unlink()
        return (Fate.NO_ANSWER if why else Fate.SURVIVED), "", None, why

    def _look(self, results: Mapping[str, Result]) -> None:
        for result in results.values():
            if self._is_new(result.verdict):
                raise _KilledError(result.verdict)

    def _hear(self, verdict: Verdict) -> None:
        """A failure that is sure before its case is judged in full. One of a case that fails anyway
        waits for the rest: it may turn out to be the same."""
        if verdict.case.id not in self._baseline.failing and self._is_new(verdict):
            raise _KilledError(verdict)

    def _is_new(self, verdict: Verdict) -> bool:
        return is_new(verdict, self._baseline.failing, self.known, self.options.guest)

    def _testbed(self, patches: tuple[Path, ...]) -> Testbed:
        kernel = replace(self.options.kernel, patches=(*self.options.kernel.patches, *patches))
        artefacts = self.directory / "guests" / str(next(self._numbers))
        return Testbed(
            replace(self.options, kernel=kernel),
            store=KernelStore(progress=silent(), jobs=1),
            artefacts=artefacts,
            progress=silent(),
        )
