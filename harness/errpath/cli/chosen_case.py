"""One case of the shipped suites by its id, and the guest that it runs in: for commands that look
inside of it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from errpath.cases.case import MountCase
from errpath.cases.failing import failing
from errpath.cli.pytest_run import run_cases
from errpath.errors import UsageError
from errpath.guest.clones import Added
from errpath.results.testbeds import Testbeds
from errpath.runner.guests import PreparedGuest
from errpath.runner.options import ImageOptions, RunOptions, choices
from errpath.runner.testbed import Testbed
from errpath.util.cache import scratch_directory
from errpath.util.progress import Progress

__all__ = ["ChosenCase", "chosen_case", "find_case"]


@dataclass
class _Collector:
    """A pytest plugin that keeps the cases of the collected tests."""

    cases: list[MountCase] = field(default_factory=list)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            case = parameters.get("case")
            if isinstance(case, MountCase):
                self.cases.append(case)


def find_case(case_id: str, image: Path | None = None) -> MountCase:
    """The case of an id, of whichever suite has it; on a volume of the user's (`--image`).

    Raises:
        UsageError: none has; the text is pytest's.
    """
    collector = _Collector()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        run_cases(
            [case_id], ["--collect-only", *ImageOptions(image).to_argv()], plugins=[collector]
        )
    found = [case for case in collector.cases if case.id == case_id]
    if not found:
        lines = [line for line in printed.getvalue().splitlines() if "no such case" in line]
        why = lines[0].partition(": --case ")[2] if lines else f"{case_id}: no such case"
        raise UsageError(why)
    return found[0]


@dataclass(frozen=True)
class ChosenCase:
    """A case with the test bed that it runs on."""

    case: MountCase
    testbed: Testbed

    @property
    def functions(self) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
        """What its guest must be able to fail: functions, and functions of which single calls
        fail."""
        return failing([self.case])

    def clone(self, added: Added | None = None) -> PreparedGuest:
        """A clone that is ready for it, with `added` on its QEMU's command line.

        Raises:
            CloneError: guests cannot be cloned here.
        """
        functions, points = self.functions
        return self.testbed.clone((self.case.filesystem,), functions, points, added)


@contextlib.contextmanager
def chosen_case(case_id: str, options: RunOptions, *, command: str) -> Iterator[ChosenCase]:
    """The case of an id on the one kernel that was chosen.

    Raises:
        UsageError: no such case, or several kernels.
        ErrpathError: its guest cannot be had.
    """
    chosen = choices(options)
    if len(chosen) != 1:
        raise UsageError(f"{command}: expected one --kernel")
    case = find_case(case_id)
    with scratch_directory() as scratch:
        beds = Testbeds({one.name: one for one in chosen}, scratch, Progress())
        try:
            testbed, lost = beds.ready(chosen[0].name, (case.filesystem,))
            if lost:
                raise lost[case.filesystem]
            yield ChosenCase(case, testbed)
        finally:
            beds.close()
