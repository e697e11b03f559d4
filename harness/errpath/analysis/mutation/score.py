"""The score of the oracles: mutants of one filesystem, each built, run and judged.

The cases run in rungs, the quickest first, and a mutant is killed by the first failure that the
kernel without it does not show. Mutants that change nothing run among them as controls. Results are
appended to a file one by one: a run that was cut short goes on from there.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from errpath.analysis.mutation.mutants import (
    Mutant,
    find_mutants,
    mount_functions,
    patch_text,
)
from errpath.analysis.mutation.results import Fate, Judged, ResultFile
from errpath.analysis.mutation.rungs import Rung
from errpath.errors import BuildError, ErrpathError, InfrastructureError, UsageError
from errpath.kernel import BuiltKernel, KernelStore
from errpath.kernel.build.compiled import source_files
from errpath.runner.known_issues import KnownIssues
from errpath.runner.result import Result
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.runner.verdict import Status, Verdict
from errpath.util.progress import Progress, silent

__all__ = ["Score", "is_new", "mutants_of"]


class _KilledError(Exception):
    """A failure that the kernel without the mutant does not show."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.signature)
        self.verdict = verdict


def mutants_of(
    store: KernelStore, kernel: BuiltKernel, filesystem: str, wanted: Iterable[str] = ()
) -> tuple[Mutant, ...]:
    """The mutants of a filesystem's mount path; of the functions `wanted` alone, if any.

    Raises:
        InfrastructureError: the kernel's source is not there any more.
        UsageError: no function of such a name, or none with a statement that can be left out.
    """
    sources = _sources(store, kernel, filesystem)
    known = mount_functions(sources)
    names = tuple(wanted)
    for name in names:
        if name not in known:
            raise UsageError(f"--function {name}: not a function that a mount of {filesystem} runs")
    chosen = [function for name, function in known.items() if not names or name in names]
    found = find_mutants(chosen)
    if not found:
        raise UsageError(f"{filesystem}: no statement that could be left out")
    return found


def is_new(verdict: Verdict, stock: Mapping[str, str], known: KnownIssues, guest: str) -> bool:
    """Whether a failure is none that the kernel without the mutant shows, or is known to show in
    a guest of this definition; `stock` is the signatures of its failures, by case."""
    if verdict.status is not Status.FAIL or verdict.signature == stock.get(verdict.case.id):
        return False
    return not known.explain_today(verdict, guest)


def _sources(store: KernelStore, kernel: BuiltKernel, filesystem: str) -> dict[str, str]:
    makefile = store.sources.text(kernel, f"fs/{filesystem}/Makefile")
    if makefile is None:
        raise InfrastructureError(
            f"{kernel.description}: no source of fs/{filesystem}; expected the kernel's own"
        )
    paths = [f"fs/{filesystem}/{name}" for name in source_files(makefile)]
    texts = {path: store.sources.text(kernel, path) for path in paths}
    return {path: text for path, text in texts.items() if text is not None}


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
    # Failures of the kernel without a mutant, by case.
    _stock: dict[str, str] = field(default_factory=dict)

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
            "tests": list(dict.fromkeys(rung.name for rung in self.rungs)),
            "sample": self.sample,
        }
        file = ResultFile(self.results, by)
        left = [one for one in mutants if one.id not in file.known]
        if left:
            self._stock = self._observe_stock()
        total = len(mutants)
        with (
            self.progress.step(f"{total} mutants of {self.filesystem}", total=total) as step,
            ThreadPoolExecutor(jobs, thread_name_prefix="mutant") as pool,
        ):
            for number, one in enumerate(pool.map(self._judge, left), total - len(left) + 1):
                file.add(one)
                killed = sum(found.fate == Fate.KILLED for found in file.known.values())
                step.update(number, note=f"{killed} killed")
        return tuple(file.known[one.id] for one in mutants)

    def _observe_stock(self) -> dict[str, str]:
        """What fails anyway: the signature of each failure, by case. Not kept: the cases may be
        others when a run goes on."""
        testbed = self._testbed(())
        found: dict[str, str] = {}
        errors: list[Verdict] = []
        try:
            for rung in self.rungs:
                for case_id, result in rung.run(testbed, lambda results: None).items():
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
        """Fate, the rung and the verdict that killed it, why there is no answer."""
        text = self._store.sources.text(self._kernel, mutant.file) or ""
        patch = self.directory / f"mutant-{next(self._numbers)}.patch"
        patch.write_text(patch_text(mutant, text))
        testbed = self._testbed((patch,))
        why = name = ""
        try:
            for rung in self.rungs:
                name = rung.name
                results = rung.run(testbed, self._look, self._hear)
                errors = [r.verdict for r in results.values() if r.verdict.status is Status.ERROR]
                new = [one for one in errors if one.case.id not in self._stock]
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
        if verdict.case.id not in self._stock and self._is_new(verdict):
            raise _KilledError(verdict)

    def _is_new(self, verdict: Verdict) -> bool:
        return is_new(verdict, self._stock, self.known, self.options.guest)

    def _testbed(self, patches: tuple[Path, ...]) -> Testbed:
        kernel = replace(self.options.kernel, patches=(*self.options.kernel.patches, *patches))
        artefacts = self.directory / "guests" / str(next(self._numbers))
        return Testbed(
            replace(self.options, kernel=kernel),
            store=KernelStore(progress=silent(), jobs=1),
            artefacts=artefacts,
            progress=silent(),
        )
