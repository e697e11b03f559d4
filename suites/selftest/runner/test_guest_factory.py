"""A kernel that does not boot is waited for once, however many guests are wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from errpath.errors import BootError, InfrastructureError
from errpath.guest.definition import load_guest
from errpath.guest.machine import Machine
from errpath.guest.snapshot import SnapshotStore
from errpath.runner.guest_factory import GuestFactory
from errpath.util.progress import silent


class _Kernel:
    bzimage = Path("bzImage")


class _Source:
    machine = load_guest("microvm")
    kernel = _Kernel()
    accel = "tcg"
    append = ()


@pytest.mark.parametrize(
    ("error", "boots"),
    [(BootError("kernel bzImage: no word"), 1), (InfrastructureError("no room"), 2)],
)
def test_only_the_kernels_own_fault_is_remembered(
    error: Exception, boots: int, tmp_path: Path
) -> None:
    booted = []

    def boot(*arguments: Any, **words: Any) -> Machine:
        booted.append(words["artefacts"])
        raise error

    factory = GuestFactory(
        cast(Any, _Source()),
        artefacts=tmp_path,
        snapshots=cast(SnapshotStore, None),
        progress=silent(),
        boot=boot,
    )
    for _ in range(2):
        with pytest.raises(type(error), match=str(error)):
            factory.boot()
    assert len(booted) == boots
