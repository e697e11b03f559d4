"""What a sweep can fail: the sequence of an event, recorded, and the points that it gives.

The sequence runs twice with a recording, in one guest. What the second one saw is what a case meets
that others came before.
"""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from errpath.cases.case import MountCase, Outcome
from errpath.cases.run import run_case
from errpath.cases.sweeping import Sequence as EventSequence
from errpath.cases.sweeping import sequence
from errpath.errors import AbsentError, ErrpathError, InfrastructureError
from errpath.faults import point_module
from errpath.faults.chains import Chain, ChainFrame
from errpath.faults.model import Recording
from errpath.faults.points import (
    COSTLY,
    NATURAL,
    POINT_KINDS,
    UNTOUCHED,
    WAIT,
    LeftOut,
    Point,
    points_of,
)
from errpath.filesystems import load_filesystem
from errpath.filesystems.superblocks import broken_volumes
from errpath.guest.channel import AgentError
from errpath.guest.machine import Guest
from errpath.kernel.symbols.symbolizer import Symbolizer
from errpath.runner.call_shapes import call_shape
from errpath.runner.guests import Boot
from errpath.runner.sweep_pairs import points_behind
from errpath.runner.testbed import Testbed

__all__ = ["Recorded", "record_events"]

# Bytes; larger logical blocks are for newer kernels alone.
_PAGE = 4096
_NOTHING = Point(UNTOUCHED, None)
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
        return tuple((kind, point) for kind in NATURAL for point in self.points[kind][0])


_NONE: tuple[tuple[Point, ...], tuple[LeftOut, ...]] = ((), ())


def record_events(
    testbed: Testbed,
    guests: Callable[[Boot], Boot],
    filesystem: str,
    events: Iterable[str],
    volume: str = "",
    *,
    costly: Collection[str] = (),
) -> dict[str, Recorded | ErrpathError]:
    """Record events on a volume of a filesystem ("" is the smallest), one after another in one
    guest; what each gave, or why it cannot be swept: its sequence fails by itself, or takes the
    guest down. The next then has a fresh one. `costly` are the kinds of `COSTLY` that are wanted.

    Raises:
        ErrpathError: there is no guest to be had.
    """
    with testbed.symbolizer((filesystem,)) as symbolizer:
        recorder = _Recorder(testbed, guests, filesystem, volume, symbolizer)
        try:
            return {event: recorder.event(event, costly) for event in events}
        finally:
            recorder.close()


class _Recorder:
    """Records in one guest after another: what takes one down costs the next a fresh one."""

    def __init__(
        self,
        testbed: Testbed,
        guests: Callable[[Boot], Boot],
        filesystem: str,
        volume: str,
        symbolizer: Symbolizer,
    ) -> None:
        self._testbed = testbed
        self._filesystem, self._volume = filesystem, volume
        modules = (module.name for module in testbed.modules(filesystem))
        self._modules = frozenset(name for name in modules if not name.startswith("nls_"))
        self._boot = guests(partial(testbed.guests.prepare, (filesystem,), (), points=()))
        self._guest: Guest | None = None
        self._expand = cache(partial(_expand, symbolizer))
        self._shape = cache(partial(call_shape, testbed, symbolizer, sorted(self._modules)))

    def close(self) -> None:
        if self._guest is not None:
            self._guest.close()
        self._guest = None

    def event(self, event: str, costly: Collection[str]) -> Recorded | ErrpathError:
        """What an event gives, or why it gives nothing.

        Raises:
            ErrpathError: there is no guest to be had.
        """
        self._guest = self._guest or self._boot().guest
        try:
            chains, seconds = self._twice(event)
        except ErrpathError as error:
            self.close()
            return error
        own = _kinds(bool(self._sequence(event).second))
        points = {
            kind: self._points(kind, chains) if kind in own else _NONE
            for kind in POINT_KINDS
            if kind not in COSTLY
        }
        if "image" in costly or "behind-image" in costly:
            points["image"] = _broken(self._testbed, self._filesystem, event, self._volume)
        for kind in COSTLY:
            _, behind, first = kind.partition("behind-")
            if behind and kind in costly:
                points[kind] = self._behind(event, kind, points[first][0], chains)
        return Recorded(points, _patience(seconds))

    def _sequence(self, event: str) -> EventSequence:
        return sequence(load_filesystem(self._filesystem), event, self._volume)

    def _points(
        self, kind: str, chains: Sequence[Chain]
    ) -> tuple[tuple[Point, ...], tuple[LeftOut, ...]]:
        return points_of(
            kind, chains, modules=self._modules, expand=self._expand, shape=self._shape
        )

    def _twice(self, event: str) -> tuple[tuple[Chain, ...], float]:
        """The chains of a second run, and how many seconds it took."""
        chains: tuple[Chain, ...] = ()
        seconds = 0.0
        for task in _TASKS:
            began = time.monotonic()
            outcome, chains = self._record(event, task, _NOTHING)
            seconds = time.monotonic() - began
            _check(self._case(event, _NOTHING), outcome)
        return chains, seconds

    def _behind(
        self, event: str, kind: str, firsts: Sequence[Point], known: Sequence[Chain]
    ) -> tuple[tuple[Point, ...], tuple[LeftOut, ...]]:
        """The points behind others."""

        def record(first: Point) -> Sequence[Chain]:
            chains = self._record(event, _TASKS[0], first)[1]
            return [chain for chain in chains if chain.kind in POINT_KINDS[kind]]

        def points(chains: Sequence[Chain]) -> Sequence[Point]:
            return self._points(kind, chains)[0]

        return points_behind(firsts, known, record=record, points=points)

    def _case(self, event: str, point: Point) -> MountCase:
        steps = self._sequence(event)
        return MountCase(
            f"sweep-{self._filesystem}-{event}-recording",
            self._filesystem,
            replace(steps.device, pieces=point.pieces),
            steps.steps if point.fault is None else steps.failing(Recording(behind=point.fault)),
        )

    def _record(self, event: str, task: str, point: Point) -> tuple[Outcome, tuple[Chain, ...]]:
        """The sequence once, with a point failing. A guest in which that goes wrong is given up.

        Raises:
            ErrpathError: it cannot be run.
        """
        case = self._case(event, point)
        self._guest = self._guest or self._boot().guest
        try:
            point_module.forget(self._guest)
            outcome = run_case(self._guest, case, task)
            chains = point_module.read_chains(self._guest)
        except AgentError as error:
            self.close()
            if error.errno == errno.EINVAL and case.device.block_size > _PAGE:
                raise AbsentError(
                    f"{event}: the kernel has no block devices of that kind ({error}); expected "
                    "one of 6.15 or later with CONFIG_TRANSPARENT_HUGEPAGE"
                ) from None
            raise
        except ErrpathError:
            self.close()
            raise
        if outcome.signal or outcome.hung:
            # What the task was in the middle of is left behind.
            self.close()
        return outcome, chains


def _kinds(pair: bool) -> frozenset[str]:
    """The kinds of points that an event has: two tasks meet where it is a pair, and otherwise
    something fails."""
    return frozenset(("plain", WAIT)) if pair else frozenset(POINT_KINDS) - {WAIT}


def _patience(seconds: float) -> float:
    """Seconds after which a case counts as hung whose sequence has taken so many."""
    return float(math.ceil(max(_LEAST_SECONDS, min(_PATIENCE * seconds, _PATIENCE + seconds))))


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


def _broken(
    testbed: Testbed, filesystem: str, event: str, volume: str
) -> tuple[tuple[Point, ...], tuple[LeftOut, ...]]:
    """The points of volumes with one field broken, or why there are none."""
    steps = sequence(load_filesystem(filesystem), event, volume)
    fs = load_filesystem(filesystem).on_volume(volume)
    image = steps.device.image
    if not steps.begins_with_a_mount or image is None:
        return (), (LeftOut(event, "has a mount of its own before what is armed"),)
    if not fs.superblock:
        return (), (LeftOut(filesystem, "names no structure of its superblock"),)
    try:
        broken = broken_volumes(fs, image, testbed.source)
    except InfrastructureError as error:
        return (), (LeftOut(filesystem, str(error)),)
    return tuple(Point(one.name, None, pieces=one.pieces) for one in broken), ()


def _expand(symbolizer: Symbolizer, frame: ChainFrame) -> Sequence[str]:
    frames = symbolizer.resolve(frame.function, frame.offset, frame.module or None, size=frame.size)
    return [found.function for found in frames] or [frame.function]
