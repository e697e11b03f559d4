"""The score of the oracles: mutants of one filesystem, each built, run and judged.

The cases run in rungs, the quickest first, and a mutant is killed by the first failure that the
kernel without it does not show. Results are appended to a file one by one: a run that was cut short
goes on from there.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from errpath.analysis.mutation.mutants import (
    Mutant,
    find_mutants,
    mount_functions,
    patch_text,
    source_files,
)
from errpath.cases.case import MountCase
from errpath.errors import BuildError, ErrpathError, InfrastructureError, UsageError
from errpath.faults.plan import FaultPlan
from errpath.kernel import BuiltKernel, KernelStore
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.result import Result
from errpath.runner.sweep import Sweeper, SweepUnit
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.runner.verdict import Status, Verdict
from errpath.util.progress import Progress, silent

__all__ = [
    "CaseRung",
    "Fate",
    "Judged",
    "Rung",
    "Score",
    "SweepRung",
    "mutants_of",
    "read_results",
]

# Cases that run first: most mutants fail at once.
_FIRST = 32
# As the suites do: what one repeat alone shows can be chance.
_REPEATS = 2


class Fate(enum.Enum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    # It survived, and no test can kill it (`errpath.analysis.mutation.argued`).
    EQUIVALENT = "equivalent"
    # The infrastructure failed in a case, and no other noticed anything.
    NO_ANSWER = "no answer"
    # It does not compile: there is no such mutant.
    NOT_BUILT = "not built"


@dataclass(frozen=True)
class Judged:
    """A mutant with its fate."""

    mutant: str
    kind: str
    fate: str
    # Case, kind and title of the failure that killed it, or why there is no answer.
    case: str = ""
    oracle: str = ""
    title: str = ""
    # Wall time from the patch to the fate.
    seconds: float = 0.0


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


def _sources(store: KernelStore, kernel: BuiltKernel, filesystem: str) -> dict[str, str]:
    makefile = store.sources.text(kernel, f"fs/{filesystem}/Makefile")
    if makefile is None:
        raise InfrastructureError(
            f"{kernel.description}: no source of fs/{filesystem}; expected the kernel's own"
        )
    paths = [f"fs/{filesystem}/{name}" for name in source_files(makefile)]
    texts = {path: store.sources.text(kernel, path) for path in paths}
    return {path: text for path, text in texts.items() if text is not None}


def read_results(path: Path) -> dict[str, Judged]:
    """What an earlier run has written, by mutant; a line that was cut short is left out."""
    found = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        with contextlib.suppress(ValueError, TypeError):
            one = Judged(**json.loads(line))
            found[one.mutant] = one
    return found


# Is shown results as soon as they are there, and may raise.
_Look = Callable[[Mapping[str, Result]], None]


class Rung(Protocol):
    """Some of the tests that a mutant goes through."""

    def run(self, testbed: Testbed, look: _Look) -> Mapping[str, Result]:
        """Results by case id."""


@dataclass(frozen=True)
class CaseRung:
    """Cases of one filesystem."""

    filesystem: str
    cases: Sequence[MountCase]

    def run(self, testbed: Testbed, look: _Look) -> Mapping[str, Result]:
        """Results by case id, unless `look` raises for what is there before."""
        if not self.cases:
            return {}
        for error in testbed.build((self.filesystem,)).values():
            raise error
        plans = [case.fault.function for case in self.cases if isinstance(case.fault, FaultPlan)]
        functions = tuple(dict.fromkeys(plans))
        runner = BatchRunner(
            testbed.guest_source((self.filesystem,), functions),
            confirm=testbed.guest_source((self.filesystem,), functions, confirm=True),
            repeats=_REPEATS,
            progress=silent(),
            count=testbed.options.conservation,
            first=_FIRST,
        )
        try:
            return runner.run(self.cases, look)
        finally:
            runner.close()


@dataclass(frozen=True)
class SweepRung:
    """A sweep of one event: every call, allocation or block request fails once."""

    unit: SweepUnit

    def run(self, testbed: Testbed, look: _Look) -> Mapping[str, Result]:
        """Results by the point's id."""
        for error in testbed.build((self.unit.filesystem,), points=True).values():
            raise error
        sweeper = Sweeper(testbed, repeats=_REPEATS)
        results = sweeper.run(sweeper.plan(self.unit)).results
        look(results)
        return results


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
    # Failures of the kernel without a mutant, by case.
    _stock: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._store = KernelStore(progress=silent())

    @property
    def results(self) -> Path:
        """One JSON object a line."""
        return self.directory / "mutants.jsonl"

    def run(self, mutants: Sequence[Mutant], *, jobs: int) -> tuple[Judged, ...]:
        """The fate of each mutant, `jobs` at once; those of an earlier run are not judged again.

        Raises:
            ErrpathError: the kernel without a mutant cannot be tested.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        known = read_results(self.results)
        left = [one for one in mutants if one.id not in known]
        if left:
            self._stock = self._observe_stock()
        total = len(mutants)
        with (
            self.progress.step(f"{total} mutants of {self.filesystem}", total=total) as step,
            ThreadPoolExecutor(jobs, thread_name_prefix="mutant") as pool,
            self.results.open("a") as file,
        ):
            for one in pool.map(self._judge, left):
                known[one.mutant] = one
                file.write(json.dumps(asdict(one)) + "\n")
                file.flush()
                killed = sum(found.fate == Fate.KILLED.value for found in known.values())
                step.update(total - len(left) + len(known), note=f"{killed} killed")
        return tuple(known[one.id] for one in mutants)

    def _observe_stock(self) -> dict[str, str]:
        """What fails anyway: the signature of each failure, by case."""
        testbed = self._testbed(())
        try:
            found: dict[str, str] = {}
            for rung in self.rungs:
                for case_id, result in rung.run(testbed, lambda results: None).items():
                    if result.verdict.status is not Status.PASS:
                        found[case_id] = result.verdict.signature
            return found
        finally:
            testbed.close()

    def _judge(self, mutant: Mutant) -> Judged:
        began = time.monotonic()
        fate, verdict, why = self._fate(mutant)
        failure = verdict.failures[0] if verdict is not None else None
        return Judged(
            mutant.id,
            mutant.kind,
            fate.value,
            verdict.case.id if verdict is not None else "",
            failure.kind.name if failure is not None else "",
            failure.title if failure is not None else why,
            round(time.monotonic() - began, 2),
        )

    def _fate(self, mutant: Mutant) -> tuple[Fate, Verdict | None, str]:
        text = self._store.sources.text(self._store.build(self.options.kernel), mutant.file) or ""
        patch = self.directory / f"mutant-{next(self._numbers)}.patch"
        patch.write_text(patch_text(mutant, text))
        testbed = self._testbed((patch,))
        why = ""
        try:
            for rung in self.rungs:
                results = rung.run(testbed, self._look)
                errors = [r.verdict for r in results.values() if r.verdict.status is Status.ERROR]
                new = [one for one in errors if one.case.id not in self._stock]
                why = why or (new[0].reasons[0] if new else "")
        except _KilledError as killed:
            return Fate.KILLED, killed.verdict, ""
        except BuildError as error:
            return Fate.NOT_BUILT, None, str(error)
        except ErrpathError as error:
            return Fate.NO_ANSWER, None, str(error)
        finally:
            testbed.close()
            patch.unlink()
        return (Fate.NO_ANSWER if why else Fate.SURVIVED), None, why

    def _look(self, results: Mapping[str, Result]) -> None:
        for case_id, result in results.items():
            verdict = result.verdict
            known = self._stock.get(case_id)
            if verdict.status is Status.FAIL and verdict.signature != known:
                raise _KilledError(verdict)

    def _testbed(self, patches: tuple[Path, ...]) -> Testbed:
        kernel = replace(self.options.kernel, patches=(*self.options.kernel.patches, *patches))
        artefacts = self.directory / "guests" / str(next(self._numbers))
        return Testbed(
            replace(self.options, kernel=kernel),
            store=KernelStore(progress=silent(), jobs=1),
            artefacts=artefacts,
            progress=silent(),
        )
