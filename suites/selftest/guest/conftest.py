"""Rigs for tests that need a real guest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from harness.cases import MountCase
from harness.executor import Executor, Result
from harness.guest.definition import GUESTS, load_guest
from harness.kernel import KernelRequest, KernelStore
from harness.progress import silent
from harness.rig import Rig, RigOptions, executor_boot

RunCases = Callable[..., dict[str, Result]]


@pytest.fixture
def make_rig(tmp_path: Path) -> Callable[..., Rig]:
    """A rig on the default kernel, with patches of ours and boot arguments if wanted."""

    def make(*, patches: Sequence[str] = (), append: Sequence[str] = ()) -> Rig:
        definition = load_guest("microvm")
        files = tuple(GUESTS / "patches" / name for name in patches)
        request = KernelRequest(patches=files, fragments=definition.fragments)
        options = RigOptions(request, append=tuple(append))
        progress = silent()
        return Rig(
            options,
            store=KernelStore(progress=progress),
            artefacts=tmp_path / "guests",
            progress=progress,
        )

    return make


@pytest.fixture
def run_cases(make_rig: Callable[..., Rig]) -> Iterator[RunCases]:
    """Runs cases on such a rig and gives their results by id."""
    executors: list[Executor] = []

    def run(
        cases: Sequence[MountCase], *, patches: Sequence[str] = (), append: Sequence[str] = ()
    ) -> dict[str, Result]:
        rig = make_rig(patches=patches, append=append)
        filesystems = tuple(dict.fromkeys(case.filesystem for case in cases))
        functions = tuple(dict.fromkeys(case.fault.function for case in cases if case.fault))
        executor = Executor(executor_boot(rig, filesystems, functions), progress=silent())
        executors.append(executor)
        return executor.run(cases)

    yield run
    for executor in executors:
        executor.close()
