"""Which tests a mutant goes through."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from errpath.analysis.mutation.rungs import CaseRung, Look, SweepRung, rungs_of
from errpath.cases.case import MountCase
from errpath.errors import ErrpathError
from errpath.faults.model import Alloc, Call
from errpath.filesystems import load_filesystem
from errpath.runner.batch_judge import Announce
from errpath.runner.result import Result
from errpath.runner.testbed import Testbed


@pytest.mark.parametrize(
    ("filesystem", "events"),
    [
        ("exfat", ["mount-rw", "umount", "grow", "mount-rw"]),
        # It cannot be mounted for writing.
        ("isofs", ["mount-ro", "umount", "mount-ro"]),
    ],
)
def test_what_a_filesystem_cannot_have_is_left_out(filesystem: str, events: list[str]) -> None:
    cases, sweeps, *_ = rungs_of(filesystem, sweeps=True)
    assert isinstance(sweeps, SweepRung)
    assert [event for event, _ in itertools.groupby(unit.event for unit in sweeps.units)] == events
    assert [unit.kind for unit in sweeps.units].index("call") == len(sweeps.units) - 1
    assert rungs_of(filesystem, sweeps=False) == (cases,)


def test_further_volumes_and_broken_images_come_last() -> None:
    rungs = rungs_of("exfat", sweeps=True)
    assert len({rung.name for rung in rungs}) == len(rungs)
    assert {rung.kind for rung in rungs} == {"suites", "sweeps"}
    images, *further = (rung for rung in reversed(rungs) if isinstance(rung, SweepRung))
    assert isinstance(images, SweepRung)
    assert {unit.kind for unit in images.units} == {"image"}
    volumes = {unit.volume for rung in further for unit in rung.units}
    assert volumes == {"", *load_filesystem("exfat").volumes}


def test_cases_that_fail_single_calls_have_guests_that_can() -> None:
    groups: list[list[MountCase]] = []
    built: list[bool] = []

    class Recorded(CaseRung):
        def _run(
            self, testbed: Testbed, cases: Sequence[MountCase], look: Look, announce: Announce
        ) -> dict[str, Result]:
            groups.append(list(cases))
            return {}

    class Bed(Testbed):
        def __init__(self) -> None:
            pass

        def build(
            self, filesystems: Sequence[str], *, points: bool = False
        ) -> dict[str, ErrpathError]:
            built.append(points)
            return {}

    suites, *_ = rungs_of("hfsplus", sweeps=True)
    assert isinstance(suites, CaseRung)
    Recorded(suites.name, suites.filesystem, suites.cases).run(Bed(), lambda results: None)
    assert built == [False, True]
    plain, single = groups
    assert len(plain) + len(single) == len(suites.cases)
    assert any(isinstance(fault, Alloc) for case in single for fault in case.faults)
    assert not any(isinstance(fault, Alloc | Call) for case in plain for fault in case.faults)
    assert not any(case.places for case in single)
