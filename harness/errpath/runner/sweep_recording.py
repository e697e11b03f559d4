"""What a sweep can fail: the sequence of an event, recorded, and the points that it gives.

The sequence runs twice with a recording, in one guest. What the second one saw is what a case meets
that others came before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

from errpath.cases.case import MountCase, Outcome
from errpath.cases.run import run_case
from errpath.cases.sweeping import sequence
from errpath.errors import ErrpathError, InfrastructureError
from errpath.faults import point_module
from errpath.faults.chains import Chain, ChainFrame
from errpath.faults.points import POINT_KINDS, LeftOut, Point, points_of
from errpath.faults.shapes import Shape, definition_at, shape_of
from errpath.filesystems import load_filesystem
from errpath.guest.machine import Guest
from errpath.kernel.symbols.symbolizer import Symbolizer
from errpath.runner.guests import Boot
from errpath.runner.testbed import Testbed

__all__ = ["Recorded", "record_events"]

_TASKS = ("errpath-record1", "errpath-record2")
# Seconds of wall time of one case: so many times what the recording took, or so many more, and no
# less than the second. What takes longer counts as hung.
_PATIENCE = 40
_LEAST_SECONDS = 8.0


@dataclass(frozen=True)
class Recorded:
    """What can be failed in an event of a filesystem."""

    # By kind: the points, and what is left out.
    points: Mapping[str, tuple[tuple[Point, ...], tuple[LeftOut, ...]]]
    # Seconds of wall time after which a case of it counts as hung.
    seconds: float

    def natural(self) -> tuple[tuple[str, Point], ...]:
        """The points that can fail on any machine, each with its kind."""
        return tuple(
            (kind, point)
            for kind in self.points
            if kind != "call"
            for point in self.points[kind][0]
        )


def record_events(
    testbed: Testbed,
    guests: Callable[[Boot], Boot],
    filesystem: str,
    events: Iterable[str],
    volume: str = "",
) -> dict[str, Recorded | ErrpathError]:
    """Record events on a volume of a filesystem ("" is the smallest), one after another in one
    guest; what each gave, or why it cannot be swept: its sequence fails by itself, or takes the
    guest down. The next then has a fresh one.

    Raises:
        ErrpathError: there is no guest to be had.
    """
    modules = frozenset(
        module.name for module in testbed.modules(filesystem) if not module.name.startswith("nls_")
    )
    boot = guests(partial(testbed.guests.prepare, (filesystem,), (), points=()))
    found: dict[str, Recorded | ErrpathError] = {}
    guest: Guest | None = None
    try:
        with testbed.symbolizer((filesystem,)) as symbolizer:
            expand = cache(partial(_expand, symbolizer))
            shape = cache(partial(_shape, testbed, symbolizer, modules))
            for event in events:
                guest = guest or boot().guest
                try:
                    chains, seconds = _record(guest, filesystem, event, volume)
                except ErrpathError as error:
                    found[event] = error
                    guest.close()
                    guest = None
                    continue
                points = {
                    kind: points_of(kind, chains, modules=modules, expand=expand, shape=shape)
                    for kind in POINT_KINDS
                }
                found[event] = Recorded(points, _patience(seconds))
    finally:
        if guest is not None:
            guest.close()
    return found


def _patience(seconds: float) -> float:
    """Seconds after which a case counts as hung whose sequence has taken so many."""
    return float(math.ceil(max(_LEAST_SECONDS, min(_PATIENCE * seconds, _PATIENCE + seconds))))


def _record(
    guest: Guest, filesystem: str, event: str, volume: str
) -> tuple[tuple[Chain, ...], float]:
    """The chains, and how many seconds the sequence took."""
    steps = sequence(load_filesystem(filesystem), event, volume)
    name = f"sweep-{filesystem}-{event}-recording"
    case = MountCase(name, filesystem, steps.device, steps.steps)
    chains: tuple[Chain, ...] = ()
    seconds = 0.0
    for task in _TASKS:
        point_module.forget(guest)
        began = time.monotonic()
        _check(case, run_case(guest, case, task))
        seconds = time.monotonic() - began
        chains = point_module.read_chains(guest)
    return chains, seconds


def _check(case: MountCase, outcome: Outcome) -> None:
    """See that what stands before the armed steps worked, and that all of them were tried. What
    they give is for the point in which nothing is forced.

    Raises:
        InfrastructureError: there is nothing to fail.
    """
    last = max(at for at, step in enumerate(case.steps) if step.armed)
    for step, got in list(zip(case.steps, outcome.steps, strict=False))[: last + 1]:
        if got.errno and not step.armed and step.op != "use":
            raise InfrastructureError(
                f"{case.id}: {step.op}: {got}; expected a sequence that works up to what is armed"
            )
    if len(outcome.steps) <= last:
        raise InfrastructureError(f"{case.id}: the recording did not end; expected every step")


def _expand(symbolizer: Symbolizer, frame: ChainFrame) -> Sequence[str]:
    frames = symbolizer.resolve(frame.function, frame.offset, frame.module or None, size=frame.size)
    return [found.function for found in frames] or [frame.function]


def _shape(
    testbed: Testbed, symbolizer: Symbolizer, modules: Collection[str], function: str
) -> Shape:
    for module in sorted(modules):
        frames = symbolizer.resolve(function, 0, module, exact=True)
        if frames:
            place = frames[-1]
            text = testbed.source(place.file) or ""
            return shape_of(definition_at(text, function, place.line), function)
    return Shape("", (), "its definition was not found in the source")
