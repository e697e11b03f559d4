"""The same cases on two kernels, and what the change between them did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from errpath.analysis.compare.judge import SAME_CODE, Comparison, compare_case, group_runs
from errpath.analysis.compare.observe import Observed, doubtful, observe_all
from errpath.analysis.compare.tracing import leave_out_untouched
from errpath.cases.lifecycle import Planned
from errpath.errors import AbsentError, BuildError, ErrpathError, UsageError
from errpath.filesystems import home_directory, known_filesystems
from errpath.kernel import BuiltKernel, KernelStore
from errpath.results.session import RunSession
from errpath.runner.options import Choice
from errpath.util.progress import Progress

__all__ = [
    "Request",
    "Summary",
    "compare",
    "config_hashes",
    "describe",
    "same_code",
    "without_same",
]


@dataclass(frozen=True)
class Request:
    """What to compare, over which part of the matrix."""

    before: Choice
    after: Choice
    planned: tuple[Planned, ...]
    # How often a verdict that is not plainly clean on both is looked at.
    repeats: int
    directory: Path
    jobs: int | None = None
    # Also run what is the same code before and after.
    every: bool = False
    # Run what runs a function that the patches of the kernel after change.
    touched: bool = False
    # Run the kernel before alone, and take it for both.
    alone: bool = False

    @property
    def kernels(self) -> dict[str, Choice]:
        """What is run, by "before" and "after"."""
        if self.alone:
            return {"before": self.before}
        return {"before": self.before, "after": self.after}


@dataclass(frozen=True)
class Summary:
    """The result of a comparison."""

    comparisons: tuple[Comparison, ...]
    # Kernels as they describe themselves.
    before: str
    after: str
    # Hashes of the configurations, see `config_hashes`.
    config: str
    # Seconds of wall time, kernels included.
    seconds: float


def compare(
    request: Request,
    progress: Progress,
    *,
    make: Callable[..., RunSession] = RunSession,
) -> Summary:
    """Build both kernels, run what may differ on both, and compare.

    Raises:
        ErrpathError: no answer is possible, such as a kernel that does not compile.
    """
    began = time.monotonic()
    both = request.kernels
    after = tuple(both)[-1]
    session = make(both, request.directory, progress)
    try:
        for name in both:
            # Also that there is a QEMU: without one, every case would be a case that did not run.
            session.testbeds.get(name).check()
        kernels = {name: session.testbeds.get(name).kernel for name in both}
        store = KernelStore(progress=progress)
        changed = store.sources.changed(kernels["before"], kernels[after])
        planned = request.planned if request.every else without_same(request.planned, changed)
        for name in both:
            _build_modules(session, name, planned)
        if request.touched:
            planned = leave_out_untouched(
                planned,
                request.after.testbed.kernel.patches,
                (kernels["before"], kernels[after]),
                store,
                partial(session.testbeds.get, "before"),
                progress,
            )
        built = {name: testbed.kernel for name, testbed in session.testbeds.built()}
    finally:
        session.close()
    found = _run(request, both, planned)
    comparisons = tuple(
        compare_case(one, group_runs(found, "before", one.id), group_runs(found, after, one.id))
        for one in planned
    )
    return Summary(
        comparisons,
        describe(kernels["before"]),
        describe(kernels[after]),
        config_hashes(
            {name: sha256(one.config.read_bytes()).hexdigest() for name, one in built.items()}
        ),
        time.monotonic() - began,
    )


def describe(kernel: BuiltKernel) -> str:
    """Release, and what it was built from, with the commit of a git tree."""
    return f"Linux {kernel.release}, {kernel.description}"


def config_hashes(hashes: Mapping[str, str]) -> str:
    """The configurations of both kernels, and of what else was built for them, in one line.

    `hashes` are of the final `.config`, by the names of `Testbeds.built`: "before",
    "after", and the same with "-apart" behind it.
    """
    parts = []
    for name, before in hashes.items():
        _, kernel, variant = name.partition("before")
        if not kernel:
            continue
        after = hashes.get(f"after{variant}", before)
        text = before[:16] if before == after else f"{before[:16]} before, {after[:16]} after"
        parts.append(f"{variant.removeprefix('-')}: {text}" if variant else text)
    return "; ".join(parts)


def same_code(filesystem: str, changed: frozenset[str] | None) -> bool:
    """Whether nothing that a filesystem runs differs.

    `changed` is as `KernelStore.changed` gives it. A directory that is no filesystem's own, such
    as fs/jbd2, may be below any of them.
    """
    if changed is None:
        return False
    own = {home_directory(name) for name in known_filesystems()}
    return not (changed - own) and home_directory(filesystem) not in changed


def without_same(planned: Iterable[Planned], changed: frozenset[str] | None) -> tuple[Planned, ...]:
    """The cases without those of filesystems of which nothing differs, see `same_code`."""
    return tuple(
        replace(one, case=None, reason=SAME_CODE)
        if one.case is not None and same_code(one.filesystem, changed)
        else one
        for one in planned
    )


def _build_modules(session: RunSession, kernel: str, planned: Iterable[Planned]) -> None:
    """Build everything before the workers start: two of them would only wait for each other.

    A filesystem that cannot be had is left for its cases to say so.

    Raises:
        ErrpathError: none of them can be had.
    """
    names = tuple(dict.fromkeys(one.filesystem for one in planned if one.case is not None))
    lost: list[ErrpathError] = []
    for name in names:
        try:
            session.testbeds.get(kernel, name).modules(name)
        except (UsageError, BuildError) as error:
            session.progress.say(f"{kernel}: {error}")
            lost.append(error)
    if lost and len(lost) == len(names) and not all(isinstance(x, AbsentError) for x in lost):
        raise lost[0]


def _run(
    request: Request, both: dict[str, Choice], planned: Sequence[Planned]
) -> dict[tuple[str, str], Observed]:
    """Every case once on each kernel, and again what is not plainly clean on both."""
    cases = [one.case for one in planned if one.case is not None]
    first = dict.fromkeys(both, cases)
    found = observe_all(both, first, request.directory / "1", jobs=request.jobs, repeats=1)
    to_repeat = [
        case
        for case in cases
        if doubtful(found.get(("before", case.id)), found.get((tuple(both)[-1], case.id)))
    ]
    again = [
        replace(case, id=f"{case.id}#{number}")
        for case in to_repeat
        for number in range(2, request.repeats + 1)
    ]
    if again:
        more = dict.fromkeys(both, again)
        found |= observe_all(both, more, request.directory / "2", jobs=request.jobs, repeats=1)
    return found
