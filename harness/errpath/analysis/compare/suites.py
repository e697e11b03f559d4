"""What a patch cannot reach of a suite that runs on the patched kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from errpath.analysis.compare.compare import same_code, without_same
from errpath.analysis.compare.judge import SAME_CODE
from errpath.analysis.compare.tracing import (
    FunctionTracer,
    leave_out_untouched,
    trace_functions,
)
from errpath.cases.case import MountCase
from errpath.cases.lifecycle import Planned
from errpath.kernel import KernelStore
from errpath.results.testbeds import TestbedFactory, Testbeds
from errpath.runner.options import Choice
from errpath.util.progress import Progress

__all__ = ["Untouched", "find_untouched", "unpatched"]


@dataclass(frozen=True)
class Untouched:
    """What runs nothing that a patch changes."""

    # Case ids.
    cases: frozenset[str] = frozenset()
    # Filesystems of which no code differs.
    filesystems: frozenset[str] = frozenset()


def unpatched(choice: Choice) -> Choice:
    """The same kernel without its patches."""
    testbed = choice.testbed
    kernel = replace(testbed.kernel, patches=(), name=f"{testbed.kernel.name} before")
    return replace(choice, testbed=replace(testbed, kernel=kernel))


def find_untouched(
    cases: Sequence[MountCase],
    filesystems: Iterable[str],
    patched: Choice,
    directory: Path,
    progress: Progress,
    *,
    make: TestbedFactory,
    store: Callable[[], KernelStore] | None = None,
    trace: FunctionTracer = trace_functions,
) -> Untouched:
    """Which of the cases, and which of these further filesystems, the patches of a kernel cannot
    reach. The kernel is also built without them, and the cases traced there once (`trace`);
    `directory` is for what the guests leave. What is left out is reported.

    Raises:
        ErrpathError: one of the kernels cannot be had.
    """
    testbeds = Testbeds({"before": unpatched(patched), "after": patched}, directory, progress, make)
    books = store() if store is not None else KernelStore(progress=progress)
    try:
        kernels = (testbeds.get("before").kernel, testbeds.get("after").kernel)
        changed = books.sources.changed(*kernels)
        planned = [Planned(case.id, case.filesystem, case.point, case) for case in cases]
        rest = without_same(planned, changed)
        _tell_same(rest, progress)
        rest = leave_out_untouched(
            rest,
            patched.testbed.kernel.patches,
            kernels,
            books,
            partial(testbeds.get, "before"),
            progress,
            trace=trace,
        )
    finally:
        testbeds.close()
    return Untouched(
        frozenset(one.id for one in rest if one.case is None),
        frozenset(name for name in filesystems if same_code(name, changed)),
    )


def _tell_same(planned: Iterable[Planned], progress: Progress) -> None:
    same = [one.filesystem for one in planned if one.reason == SAME_CODE]
    if same:
        names = tuple(dict.fromkeys(same))
        what = names[0] if len(names) == 1 else f"{len(names)} filesystems"
        progress.say(f"touched: {len(same)} cases of {what} are left out: {SAME_CODE}")
