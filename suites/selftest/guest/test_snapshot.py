"""The store of frozen guests, with a machine of a few lines in QEMU's place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from errpath.guest import snapshot
from errpath.guest.machine import Machine
from errpath.guest.qmp import CloneError, Qmp
from errpath.guest.ram import GuestRam
from errpath.guest.snapshot import SnapshotStore, snapshot_key
from errpath.kernel.layout import Layout
from errpath.util.progress import silent
from suites.selftest.runner.fakes import FakeMonitor


class FakeMachine:
    """What freezing needs of a running guest."""

    def __init__(self, word: int, *, status: str = "completed") -> None:
        self.ram = GuestRam(1 << 20)
        self.ram.write_word(4096, word)
        self.monitor = Qmp(FakeMonitor(status=status).ours)
        self.release = "7.2-fake"
        self.images = frozenset({"image"})
        self.closed = False
        self.killed_by = ""

    def close(self) -> None:
        self.closed = True
        self.ram.close()


class Maker:
    """Prepares guests and counts them."""

    def __init__(self, *, status: str = "completed") -> None:
        self.made: list[FakeMachine] = []
        self._status = status

    def __call__(self) -> tuple[Machine, Mapping[str, Any]]:
        self.made.append(FakeMachine(100 + len(self.made), status=self._status))
        return cast("Machine", self.made[-1]), {"number": len(self.made)}


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(Layout(tmp_path), progress=silent())


def _word(frozen: snapshot.Frozen) -> int:
    ram = GuestRam(frozen.ram_size)
    try:
        frozen.fill(ram)
        return ram.read_word(4096)
    finally:
        ram.close()


def test_a_guest_is_frozen_once(store: SnapshotStore, tmp_path: Path) -> None:
    make = Maker()
    first = store.get("key", "cases", make)
    again = SnapshotStore(Layout(tmp_path), progress=silent()).get("key", "cases", make)
    assert len(make.made) == 1
    assert make.made[0].closed
    for frozen in (first, again):
        assert _word(frozen) == 100
        assert os.pread(frozen.state_fd, 10, 0) == b"state"
        assert (frozen.release, frozen.images, frozen.notes) == (
            "7.2-fake",
            ("image",),
            {"number": 1},
        )
        frozen.close()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_clones_do_not_share_memory(store: SnapshotStore) -> None:
    frozen = store.get("key", "cases", Maker())
    one = GuestRam(frozen.ram_size)
    frozen.fill(one)
    one.write_word(4096, 1)
    assert _word(frozen) == 100
    one.close()
    frozen.close()


def _flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda d: _flip(d / "ram", 4097), id="a byte of RAM"),
        pytest.param(lambda d: os.truncate(d / "ram", 4096), id="RAM cut short"),
        pytest.param(lambda d: _flip(d / "state", 2), id="a byte of the state"),
        pytest.param(lambda d: (d / "state").unlink(), id="no state"),
        pytest.param(lambda d: os.truncate(d / "meta.json", 40), id="meta cut short"),
        pytest.param(lambda d: (d / "meta.json").write_text("{}"), id="meta empty"),
    ],
)
def test_what_is_damaged_is_made_again(store: SnapshotStore, tmp_path: Path, damage: Any) -> None:
    make = Maker()
    store.get("key", "cases", make).close()
    damage(tmp_path / "snapshots" / "key")
    frozen = store.get("key", "cases", make)
    assert len(make.made) == 2
    assert _word(frozen) == 101
    frozen.close()


def test_who_has_one_open_keeps_it(store: SnapshotStore) -> None:
    frozen = store.get("key", "cases", Maker())
    store.forget("key")
    assert _word(frozen) == 100
    frozen.close()


def test_only_those_used_last_are_kept(tmp_path: Path) -> None:
    store = SnapshotStore(Layout(tmp_path), progress=silent(), kept=2)
    for number, name in enumerate(("a", "b", "c")):
        store.get(name, "cases", Maker()).close()
        os.utime(tmp_path / "snapshots" / name, (number, number))
    # "a" is of use again: then "b" is the one that goes.
    store.get("a", "cases", Maker()).close()
    store.get("d", "cases", Maker()).close()
    assert {path.name for path in (tmp_path / "snapshots").iterdir()} == {"a", "d"}


def test_a_machine_that_cannot_be_frozen_leaves_nothing(
    store: SnapshotStore, tmp_path: Path
) -> None:
    make = Maker(status="failed")
    with pytest.raises(CloneError):
        store.get("key", "cases", make)
    assert make.made[0].closed
    assert not (tmp_path / "snapshots" / "key").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_every_part_changes_the_key() -> None:
    keys = {snapshot_key(), snapshot_key("a"), snapshot_key("a", "b"), snapshot_key("ab")}
    keys |= {snapshot_key(("a",), "b"), snapshot_key(("a", "b"))}
    assert len(keys) == 6
