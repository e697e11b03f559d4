"""Which frozen guest a clone comes from, and what happens to one that nobody can use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from errpath.guest.clones import Clones, MachineSpec
from errpath.guest.definition import load_guest
from errpath.guest.machine import Machine
from errpath.guest.qmp import CloneError
from errpath.guest.snapshot import SnapshotStore
from errpath.kernel.layout import Layout
from errpath.util.progress import silent
from suites.selftest.guest.test_snapshot import FakeMachine, Maker


class _Resumed(list[int]):
    """Stands in QEMU's place: the first word of each clone's memory; refuses a word below 100."""

    def resume(self, *_: object, ram: Any, fill: Any, **__: object) -> Machine:
        fill(ram)
        self.append(ram.read_word(4096))
        ram.close()
        if self[-1] < 100:
            raise CloneError("QEMU: a frozen guest does not go on")
        return cast("Machine", object())


@pytest.fixture
def resumed() -> _Resumed:
    return _Resumed()


def _clones(root: Path, resumed: _Resumed, *, key: str = "kernel") -> Clones:
    spec = MachineSpec(load_guest("microvm"), Path("bzImage"), key, "tcg")
    store = SnapshotStore(Layout(root), progress=silent())

    def boot() -> Machine:
        return cast("Machine", FakeMachine(500))

    return Clones(
        spec,
        store,
        boot=boot,
        artefacts=lambda: root,
        resume=resumed.resume,
        identity=(spec.kernel_key, spec.definition),
    )


def test_one_freezing_serves_all_runs(resumed: _Resumed, tmp_path: Path) -> None:
    make = Maker()
    for _ in range(2):
        one = _clones(tmp_path, resumed)
        notes: list[Mapping[str, Any]] = [one.prepared(("hfs",), make)[2] for _ in range(3)]
        one.close()
        assert notes == [{"number": 1}] * 3
    assert resumed == [100] * 6
    assert len(make.made) == 1


def test_other_contents_or_kernels_are_other_guests(resumed: _Resumed, tmp_path: Path) -> None:
    make = Maker()
    _clones(tmp_path, resumed).prepared(("hfs",), make)
    _clones(tmp_path, resumed).prepared(("hfsplus",), make)
    _clones(tmp_path, resumed, key="other").prepared(("hfs",), make)
    _clones(tmp_path, resumed).booted()
    assert resumed == [100, 101, 102, 500]


def test_one_that_does_not_go_on_is_made_again(resumed: _Resumed, tmp_path: Path) -> None:
    made: list[FakeMachine] = []

    def make() -> tuple[Machine, Mapping[str, Any]]:
        made.append(FakeMachine(7 if not made else 100))
        return cast("Machine", made[-1]), {}

    _clones(tmp_path, resumed).prepared(("hfs",), make)
    assert resumed == [7, 100]
    assert all(machine.closed for machine in made)


def test_two_that_do_not_go_on_are_enough(resumed: _Resumed, tmp_path: Path) -> None:
    made: list[FakeMachine] = []

    def make() -> tuple[Machine, Mapping[str, Any]]:
        made.append(FakeMachine(7))
        return cast("Machine", made[-1]), {}

    with pytest.raises(CloneError, match="does not go on"):
        _clones(tmp_path, resumed).prepared(("hfs",), make)
    assert len(made) == 2
