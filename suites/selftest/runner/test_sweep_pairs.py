"""Points behind other faults."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from errpath.errors import InfrastructureError
from errpath.faults.chains import Chain
from errpath.faults.model import Alloc, Both, Read
from errpath.faults.points import Point
from errpath.runner.sweep_pairs import points_behind

_KNOWN = (Chain("slab", "", 1, "1"),)


def _points(chains: Sequence[Chain]) -> list[Point]:
    return [Point(f"f>g>h{chain.hash}", Alloc(chain=chain.hash)) for chain in chains]


def test_a_chain_that_is_new_behind_a_failed_read_is_a_point_of_both() -> None:
    first = Point("f>read", Read(chain="9"))
    found, left = points_behind(
        [first],
        _KNOWN,
        record=lambda point: [*_KNOWN, Chain("slab", "", 1, "2")],
        points=_points,
    )
    assert [(point.name, point.fault) for point in found] == [
        ("f>read&g>h2", Both(Read(chain="9"), Alloc(chain="2")))
    ]
    assert left == ()


def test_behind_a_broken_field_the_volume_is_the_broken_one_and_each_chain_comes_once() -> None:
    firsts = [Point(name, None, pieces=((0, name.encode()),)) for name in ("a", "b")]
    found, _ = points_behind(
        firsts, _KNOWN, record=lambda point: [Chain("slab", "", 1, "2")], points=_points
    )
    (point,) = found
    assert point.fault == Alloc(chain="2")
    assert point.pieces in [first.pieces for first in firsts]


def test_long_names_are_cut_and_stay_apart() -> None:
    firsts = [Point("x" * 200 + end, Read(chain=end)) for end in "12"]
    hashes = iter("56")
    found, _ = points_behind(
        firsts,
        (),
        record=lambda point: [Chain("slab", "", 1, next(hashes))],
        points=lambda chains: [Point("f>g", Alloc(chain=chain.hash)) for chain in chains],
    )
    assert len({point.name for point in found}) == 2
    assert all(len(point.name) <= 150 for point in found)


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_what_is_not_recorded_is_told(seconds: float) -> None:
    def record(point: Point) -> Sequence[Chain]:
        raise InfrastructureError("the guest is lost")

    found, left = points_behind(
        [Point("a", Read())], (), record=record, points=_points, seconds=seconds - 1
    )
    assert found == ()
    expected = "not recorded: the guest is lost" if seconds else "not recorded: -1 s were over"
    assert [(one.name, one.reason) for one in left] == [("a", expected)]
