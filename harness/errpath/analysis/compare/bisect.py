"""The cases of the matrix on one kernel: is it good?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from errpath.analysis.compare.observe import Observed, observe_all
from errpath.cases.lifecycle import Planned
from errpath.results.session import RunSession
from errpath.runner.options import Choice
from errpath.util.progress import Progress

__all__ = ["check_kernel"]


def check_kernel(
    choice: Choice,
    planned: Iterable[Planned],
    directory: Path,
    progress: Progress,
    *,
    jobs: int | None = None,
    repeats: int = 2,
    make: Callable[..., RunSession] = RunSession,
) -> tuple[Observed, ...]:
    """Build a kernel, run what is planned on it, and return what each case came to.

    Raises:
        ErrpathError: no answer is possible, such as a kernel that does not compile.
    """
    wanted = [one for one in planned if one.case is not None]
    chosen = {choice.name: choice}
    session = make(chosen, directory, progress)
    try:
        for filesystem in dict.fromkeys(one.filesystem for one in wanted):
            testbed = session.testbeds.get(choice.name, filesystem)
            testbed.check()
            testbed.modules(filesystem)
    finally:
        session.close()
    cases = {choice.name: [one.case for one in wanted if one.case is not None]}
    return tuple(observe_all(chosen, cases, directory, jobs=jobs, repeats=repeats).values())
