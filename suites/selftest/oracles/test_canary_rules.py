"""The canary: what was planted is found and taken out, or nothing is believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.errors import InfrastructureError
from errpath.oracles import canary, kmemleak
from errpath.oracles.canary import Checked, Planted
from errpath.oracles.kmemleak import CallSite, Record
from suites.selftest.runner.simguest import World


def _record(size: int, function: str = "errpath_canary_plant") -> Record:
    return Record(
        1, size, "canary", 9, 1, (CallSite("kmalloc", 1, None), CallSite(function, 2, "m")), ""
    )


def test_all_found_and_taken_out() -> None:
    other = _record(64, "hfs_init_fs_context")
    records = [_record(64), other, _record(512)]
    assert Planted((64, 512)).split(records) == Checked((other,))


@pytest.mark.parametrize(
    ("found", "missed", "sizes"),
    [((), 3, "64, 64, 512"), ((64,), 2, "64, 512"), ((64, 64), 1, "512"), ((512, 64), 1, "64")],
)
def test_one_missed_is_enough(found: tuple[int, ...], missed: int, sizes: str) -> None:
    # An object of another origin and of the right size is no canary.
    records = [_record(512, "elsewhere"), *map(_record, found)]
    checked = Planted((64, 512, 64)).split(records)
    assert checked.records == (records[0],)
    assert checked.blind.startswith(
        f"canary: {missed} of 3 planted leaks were not found (sizes {sizes})"
    )


def _world(directory: Path, files: dict[str, bytes]) -> World:
    return World(directory, files=files)


def test_plant_check_reap(tmp_path: Path) -> None:
    guest = World(tmp_path).boot().guest
    planted = canary.plant(guest)
    assert planted.sizes == (64, 512, 2048)
    records = kmemleak.slow_check(guest)
    assert {record.comm for record in records} == {"canary"}
    assert planted.split(records) == Checked(())
    canary.reap(guest)
    assert kmemleak.slow_check(guest) == ()
    guest.close()


def test_a_module_that_plants_nothing_is_refused(tmp_path: Path) -> None:
    guest = _world(tmp_path, {canary.CANARY_FILE: b"\n"}).boot().guest
    with pytest.raises(InfrastructureError, match="gives no sizes"):
        canary.plant(guest)
    guest.close()
