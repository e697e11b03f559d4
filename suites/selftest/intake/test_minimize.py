"""The smallest case that fails the same way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount, Umount
from errpath.cases.volume_steps import Mkdir, Sync, Unlink
from errpath.faults.plan import FaultPlan
from errpath.images.crafted.catalogue import base_image
from errpath.intake.minimize import changes, minimize

_BASE = base_image("hfs")


def _case(pieces: list[tuple[int, bytes]], **more: object) -> MountCase:
    image = _BASE.patched_all(pieces)
    steps = (Mount("hfs"), Mkdir("a"), Sync(), Unlink("a"), Umount())
    return MountCase("c", "hfs", Device(image), steps)


@settings(deadline=None, max_examples=30)
@given(
    st.sets(st.integers(1024, _BASE.size - 1), min_size=1, max_size=40),
    st.integers(0, 2**32),
)
def test_what_matters_stays_and_nothing_else(places: set[int], seed: int) -> None:
    wanted = sorted(places)[seed % len(places)]
    old = {place: _BASE.read(place, 1)[0] for place in places}
    case = _case([(place, bytes([value ^ 0xFF])) for place, value in old.items()])

    def shows(one: MountCase) -> bool:
        content = one.device.content
        assert content is not None
        steps = [step.op for step in one.steps]
        byte = content.read(wanted, 1)[0]
        return byte == old[wanted] ^ 0xFF and steps[:1] == ["mount"] and "unlink" in steps

    said: list[str] = []
    found = minimize(case, _BASE, shows, said.append)
    assert shows(found.case)
    assert [step.op for step in found.case.steps] == ["mount", "unlink"]
    assert found.case.device.pieces == ((wanted, bytes([old[wanted] ^ 0xFF])),)
    assert (found.steps_before, found.bytes_before, found.bytes_after) == (5, len(places), 1)
    assert said[-1] == "2 steps, 1 bytes in 1 places"


def test_a_fault_that_is_not_needed_is_dropped() -> None:
    steps = (Mount("hfs", fail=FaultPlan("setup_bdev_super", "EIO")), Umount())
    case = MountCase("c", "hfs", Device(_BASE), steps)
    assert minimize(case, _BASE, lambda one: True).fault_dropped
    kept = minimize(case, _BASE, lambda one: one.fault is not None)
    assert not kept.fault_dropped
    assert kept.case.fault == FaultPlan("setup_bdev_super", "EIO")
    assert (kept.bytes_before, kept.bytes_after) == (0, 0)


def test_another_size_is_compared_with_zeros() -> None:
    case = MountCase("c", "hfs", Device(_BASE.placed(512, _BASE.size + 1024)), (Mount("hfs"),))
    found = minimize(case, _BASE, lambda one: True)
    assert found.bytes_before > 0
    assert found.bytes_after == 0


def test_changes_are_runs_of_bytes() -> None:
    image = _BASE.patched_all([(2000, b"\xff\xfe\xfd"), (2010, b"\xfc"), (5000, b"\xfb")])
    assert changes(image, _BASE) == [(2000, b"\xff\xfe\xfd"), (2010, b"\xfc"), (5000, b"\xfb")]
    assert changes(_BASE, _BASE) == []
