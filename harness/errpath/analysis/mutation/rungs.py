"""The tests that a mutant goes through, the quickest first."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from errpath.cases import crafted
from errpath.cases.case import MountCase
from errpath.cases.failing import failing
from errpath.cases.files import file_cases
from errpath.cases.lifecycle import plan
from errpath.cases.sweeping import cannot_have
from errpath.cases.trees import tree_cases
from errpath.filesystems import EVENTS, load_filesystem
from errpath.runner.batch_judge import Announce
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.guests import Boot
from errpath.runner.result import Result
from errpath.runner.sweep import Sweeper
from errpath.runner.sweep_units import Recordings, SweepUnit
from errpath.runner.testbed import Testbed
from errpath.util.progress import silent

__all__ = ["CaseRung", "Look", "Rung", "SweepRung", "every_test", "rungs_of"]

# Cases that run first, from all over the suites: most mutants fail at once, and each that leaks
# is counted again a dozen times.
_FIRST = 8
# Cases that share a guest: what fails is known when its batch is over.
_BATCH = 256
# As the suites do: what one repeat alone shows can be chance.
_REPEATS = 2
# Events whose sweeps run, and what of them. What fails by itself shares guests, whatever the event;
# calls that are forced take guests down, and come last.
_SWEEPS = (
    ("mount-rw", ("plain", "alloc", "io")),
    ("umount", ("plain", "alloc", "io")),
    ("grow", ("plain", "alloc", "io")),
    ("mount-rw", ("call",)),
)

# Events that come after those, by which less is killed.
_MORE = (
    ("recovery", ("plain", "alloc", "io")),
    ("reconfigure", ("plain", "alloc", "io")),
    ("reconfigure-ro", ("plain", "alloc", "io")),
    ("fsopen", ("plain",)),
    ("freeze", ("plain",)),
)
# What is swept of each further volume.
_OF_VOLUMES = (("mount-rw", ("plain", "alloc", "io")),)
_IMAGES = (("mount-rw", ("image",)),)
_READ_ONLY = {"mount-rw": "mount-ro"}

# Is shown results as soon as they are there, and may raise.
Look = Callable[[Mapping[str, Result]], None]
# Whether a test of this id is wanted.
Wanted = Callable[[str], bool]


def every_test(test: str) -> bool:
    """Every test is wanted."""
    return bool(test)


class Rung(Protocol):
    """Some of the tests that a mutant goes through."""

    @property
    def name(self) -> str:
        """For people; no other has it."""

    @property
    def kind(self) -> str:
        """What it is counted as."""

    def groups(self, testbed: Testbed) -> Iterator[tuple[Sequence[MountCase], Boot]]:
        """All its cases, with what boots a guest for them; builds what that needs.

        Raises:
            ErrpathError: what cannot be built.
        """

    def run(
        self,
        testbed: Testbed,
        look: Look,
        announce: Announce = lambda verdict: None,
        wanted: Wanted = every_test,
    ) -> Mapping[str, Result]:
        """Results of what is wanted, by case id, unless `look` or `announce` raises for what is
        there before."""


@dataclass(frozen=True)
class CaseRung:
    """Cases of one filesystem."""

    name: str
    filesystem: str
    cases: Sequence[MountCase]
    kind: str = "suites"

    def groups(self, testbed: Testbed) -> Iterator[tuple[Sequence[MountCase], Boot]]:
        """All its cases, with what boots a guest for them."""
        for cases in self._split(testbed, self.cases):
            functions, points = failing(cases)
            yield cases, testbed.guest_source((self.filesystem,), functions, points=points)

    def run(
        self,
        testbed: Testbed,
        look: Look,
        announce: Announce = lambda verdict: None,
        wanted: Wanted = every_test,
    ) -> Mapping[str, Result]:
        """Results of what is wanted, by case id, unless `look` or `announce` raises for what is
        there before."""
        found: dict[str, Result] = {}
        for some in self._split(testbed, [case for case in self.cases if wanted(case.id)]):
            found |= self._run(testbed, some, look, announce)
        return found

    def _split(self, testbed: Testbed, cases: Sequence[MountCase]) -> Iterator[Sequence[MountCase]]:
        """Cases that may share guests, for which everything has been built. Nobody can wait at a
        function of which a single call is failed: guests of their own."""
        single: list[MountCase] = []
        others: list[MountCase] = []
        for case in cases:
            (others if failing([case])[1] is None else single).append(case)
        for some in filter(None, (others, single)):
            for error in testbed.build((self.filesystem,), points=some is single).values():
                raise error
            yield some

    def _run(
        self, testbed: Testbed, cases: Sequence[MountCase], look: Look, announce: Announce
    ) -> Mapping[str, Result]:
        functions, points = failing(cases)
        source = partial(testbed.guest_source, (self.filesystem,), functions, points=points)
        runner = BatchRunner(
            source(),
            confirm=source(confirm=True),
            repeats=_REPEATS,
            progress=silent(),
            batch=_BATCH,
            count=testbed.options.conservation,
            first=_FIRST,
            usual=testbed.usual,
            announce=announce,
        )
        try:
            return runner.run(_spread(cases), look)
        finally:
            runner.close()


def _spread(cases: Sequence[MountCase]) -> tuple[MountCase, ...]:
    """The cases, so that the first of them come from all over."""
    step = -(-len(cases) // _FIRST)
    return tuple(itertools.chain(*(cases[at::step] for at in range(step))))


@dataclass(frozen=True)
class SweepRung:
    """Sweeps: every call, allocation or block request of some events fails once."""

    name: str
    units: tuple[SweepUnit, ...]
    kind: str = "sweeps"

    def groups(self, testbed: Testbed) -> Iterator[tuple[Sequence[MountCase], Boot]]:
        """The cases of each unit, with what boots a guest for them."""
        sweeper = self._sweeper(testbed, every_test)
        for unit in self.units:
            boot = testbed.guest_source((unit.filesystem,), (), points=())
            yield sweeper.plan(unit).cases, boot

    def run(
        self,
        testbed: Testbed,
        look: Look,
        announce: Announce = lambda verdict: None,
        wanted: Wanted = every_test,
    ) -> Mapping[str, Result]:
        """Results of the points that are wanted, by their ids, unless `look` raises for what is
        there before; a sweep announces nothing."""
        sweeper = self._sweeper(testbed, wanted)
        found: dict[str, Result] = {}
        for unit in self.units:
            results = sweeper.run(sweeper.plan(unit)).results
            found |= results
            look(results)
        return found

    def _sweeper(self, testbed: Testbed, wanted: Wanted) -> Sweeper:
        for unit in self.units[:1]:
            for error in testbed.build((unit.filesystem,), points=True).values():
                raise error
        recordings = Recordings(testbed, expected=self.units)
        return Sweeper(recordings, repeats=_REPEATS, wanted=wanted)


def rungs_of(filesystem: str, *, sweeps: bool) -> tuple[Rung, ...]:
    """The cases of the default suites, but for known hangs and crashes, which show no more; then
    sweeps."""
    cycle = [one.case for one in plan((filesystem,), tuple(EVENTS)) if one.case is not None]
    made = [case for case in crafted.crafted_cases() if case.filesystem == filesystem]
    cases = [
        *(case for case in tree_cases() if case.filesystem == filesystem),
        *file_cases((filesystem,)),
        *cycle,
        *(case for case in made if not case.exclusive),
    ]
    rungs: list[Rung] = [CaseRung("suites", filesystem, cases)]
    if sweeps:
        volumes = load_filesystem(filesystem).volumes
        swept = [
            SweepRung("sweeps", tuple(_units(filesystem, _SWEEPS))),
            SweepRung("further sweeps", tuple(_units(filesystem, _MORE))),
            *(
                SweepRung(f"sweeps of {volume}", tuple(_units(filesystem, _OF_VOLUMES, volume)))
                for volume in volumes
            ),
            SweepRung("sweeps of broken images", tuple(_units(filesystem, _IMAGES))),
        ]
        rungs += [rung for rung in swept if rung.units]
    return tuple(rungs)


def _units(
    filesystem: str, events: Iterable[tuple[str, tuple[str, ...]]], volume: str = ""
) -> Iterator[SweepUnit]:
    """Those of events that a volume can have; what mounts read-only alone has the mount that it can
    have."""
    fs = load_filesystem(filesystem)
    for event, kinds in events:
        for possible in (event, _READ_ONLY.get(event, event)):
            if not cannot_have(fs, possible, volume):
                yield from (SweepUnit(filesystem, possible, kind, volume) for kind in kinds)
                break
