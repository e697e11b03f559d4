"""Test beds for tests that need a real guest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from errpath.cases.case import MountCase
from errpath.guest.definition import load_guest
from errpath.kernel import KernelRequest, KernelStore
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.result import Result
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.util.progress import silent
from errpath.util.resources import GUESTS

RunCases = Callable[..., dict[str, Result]]


@pytest.fixture
def make_testbed(tmp_path: Path) -> Callable[..., Testbed]:
    """A test bed on the default kernel of a guest definition, with patches and plants of ours and
    boot arguments if wanted."""

    def make(
        *,
        guest: str = "microvm",
        patches: Sequence[str] = (),
        append: Sequence[str] = (),
        plants: Sequence[str] = (),
    ) -> Testbed:
        definition = load_guest(guest)
        files = tuple(GUESTS / "patches" / name for name in patches)
        request = KernelRequest(patches=files, fragments=definition.fragments)
        options = TestbedOptions(request, guest, append=tuple(append), plants=tuple(plants))
        progress = silent()
        return Testbed(
            options,
            store=KernelStore(progress=progress),
            artefacts=tmp_path / "guests",
            progress=progress,
        )

    return make


@pytest.fixture
def run_cases(make_testbed: Callable[..., Testbed]) -> Iterator[RunCases]:
    """Runs cases on such a test bed and gives their results by id."""
    runners: list[BatchRunner] = []

    def run(
        cases: Sequence[MountCase],
        *,
        guest: str = "microvm",
        patches: Sequence[str] = (),
        append: Sequence[str] = (),
        plants: Sequence[str] = (),
    ) -> dict[str, Result]:
        testbed = make_testbed(guest=guest, patches=patches, append=append, plants=plants)
        filesystems = tuple(dict.fromkeys(case.filesystem for case in cases))
        functions = tuple(dict.fromkeys(case.fault.function for case in cases if case.fault))
        runner = BatchRunner(testbed.guest_source(filesystems, functions), progress=silent())
        runners.append(runner)
        return runner.run(cases)

    yield run
    for runner in runners:
        runner.close()
