"""Which tests a mutant goes through."""

from __future__ import annotations

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
    rungs = rungs_of(filesystem, sweeps=True)
    swept = [rung.units[0].event for rung in rungs if isinstance(rung, SweepRung)]
    assert swept == events
    assert rungs_of(filesystem, sweeps=False) == rungs[:1]
