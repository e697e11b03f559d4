"""Which tests a mutant goes through."""

from __future__ import annotations

import itertools

import pytest

from errpath.analysis.mutation.rungs import SweepRung, rungs_of


@pytest.mark.parametrize(
    ("filesystem", "events"),
    [
        ("exfat", ["mount-rw", "umount", "grow", "mount-rw"]),
        # It cannot be mounted for writing.
        ("isofs", ["mount-ro", "umount", "mount-ro"]),
    ],
)
def test_what_a_filesystem_cannot_have_is_left_out(filesystem: str, events: list[str]) -> None:
    cases, sweeps = rungs_of(filesystem, sweeps=True)
    assert isinstance(sweeps, SweepRung)
    assert [event for event, _ in itertools.groupby(unit.event for unit in sweeps.units)] == events
    assert [unit.kind for unit in sweeps.units].index("call") == len(sweeps.units) - 1
    assert rungs_of(filesystem, sweeps=False) == (cases,)
