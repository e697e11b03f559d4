"""A check is believed only when it found a whole canary; one hidden address is not the end."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from errpath.oracles import canary
from errpath.oracles.canary import CanaryMissedError
from errpath.oracles.kmemleak import LeakGuest, Record
from suites.selftest.runner.fakes import record


@dataclass
class FakeGuest:
    """Plants objects; of each canary, the `hidden` ones cannot be seen."""

    # Numbers of canaries of which one object stays unseen.
    hidden: frozenset[int] = frozenset()
    leaked: tuple[Record, ...] = ()
    planted: list[Record] = field(default_factory=list)
    canaries: int = 0
    checks: int = 0

    def read_file(self, path: str) -> bytes:
        return b"64\n512\n"

    def write_file(
        self, path: str, data: bytes | str, *, mode: int | None = None, task: str | None = None
    ) -> None:
        if data == "plant":
            assert task is not None
            self.canaries += 1
            sizes = (64,) if self.canaries in self.hidden else (64, 512)
            self.planted += [
                record(task, 1, function="errpath_canary_plant", size=size) for size in sizes
            ]
        if data == "reap":
            self.planted.clear()

    def sleep(self, seconds: float) -> None: ...

    def quiesce(self) -> None: ...

    def check(self, guest: LeakGuest) -> tuple[Record, ...]:
        self.checks += 1
        return (*self.planted, *self.leaked)


@pytest.mark.parametrize(("hidden", "checks"), [((), 1), ((1,), 2), ((1, 2), 3)])
def test_another_canary_lies_elsewhere(hidden: tuple[int, ...], checks: int) -> None:
    guest = FakeGuest(frozenset(hidden), (record("case", 7),))
    assert canary.check_with_canary(guest, guest.check) == guest.leaked
    assert guest.checks == checks
    assert guest.planted == []


def test_an_older_canary_does_not_stand_in_for_a_later_one() -> None:
    guest = FakeGuest(frozenset({2}))
    canary.plant(guest)
    assert canary.plant(guest, task="later").split(guest.check(guest)).blind


def test_three_misses_are_enough() -> None:
    guest = FakeGuest(frozenset({1, 2, 3}))
    with pytest.raises(CanaryMissedError, match="sizes 512"):
        canary.check_with_canary(guest, guest.check)
