"""The units of a sweep, and what each of them can fail: recorded once, in turn."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from errpath.cases.case import MountCase
from errpath.cases.sweeping import sequence
from errpath.errors import ErrpathError
from errpath.faults.points import COSTLY, NATURAL, Point
from errpath.filesystems import load_filesystem
from errpath.runner.guests import Boot
from errpath.runner.sweep_recording import Recorded, record_events
from errpath.runner.sweep_rotation import Rotation
from errpath.runner.testbed import Testbed

__all__ = ["Recordings", "SweepUnit"]


@dataclass(frozen=True)
class SweepUnit:
    """The points of one kind of one event of one filesystem."""

    filesystem: str
    # One of `errpath.filesystems.SWEEP_EVENTS`.
    event: str
    # One of `errpath.faults.points.POINT_KINDS`.
    kind: str
    # One of the filesystem's further volumes; "" is the smallest.
    volume: str = ""

    @property
    def volume_id(self) -> str:
        """The same for all events of a volume, which one guest records."""
        volume = f"@{self.volume}" if self.volume else ""
        return f"sweep-{self.filesystem}{volume}"

    @property
    def event_id(self) -> str:
        """The same for all kinds of points."""
        return f"{self.volume_id}-{self.event}"

    @property
    def id(self) -> str:
        """Such as `sweep-hfs-mount-alloc`: its event and kind."""
        return f"{self.event_id}-{self.kind}"

    @property
    def group(self) -> str:
        """Units of the same group share guests and leak checks: all events of a volume, apart what
        may take a guest down: each forced kind, and broken images."""
        together = self.kind == "plain" or self.kind in NATURAL
        return f"{self.volume_id}-{'natural' if together else self.kind}"

    def holds(self, case_id: str) -> bool:
        """Whether a case of this id is one of this unit's."""
        return case_id.startswith(f"{self.id}-")


@dataclass
class Recordings:
    """The recordings of one test bed. Threads may share them."""

    testbed: Testbed
    # Wraps what boots a guest, so that a session that has ended gets none.
    guests: Callable[[Boot], Boot] = lambda boot: boot
    # The units that will be asked for: what of them belongs together is recorded and run at once.
    expected: tuple[SweepUnit, ...] = ()
    # Which of the points that several events share run; None: all of them.
    rotation: Rotation | None = None
    # By id of the event: what was recorded, or why nothing was.
    found: dict[str, Recorded | ErrpathError] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)

    def of(self, unit: SweepUnit) -> Recorded:
        """The points of a unit's event. All events of a volume that are wanted are recorded at
        once.

        Raises:
            ErrpathError: it cannot be recorded.
        """
        # dict.setdefault() is atomic.
        with self._locks.setdefault(unit.volume_id, threading.Lock()):
            if not self._has(unit):
                others = [one for one in self.expected if one.volume_id == unit.volume_id]
                wanted = (*(one for one in others if not self._has(one)), unit)
                by_event = {one.event: one.event_id for one in wanted}
                recorded = record_events(
                    *(self.testbed, self.guests, unit.filesystem, by_event, unit.volume),
                    costly={one.kind for one in wanted} & set(COSTLY),
                )
                self.found |= {by_event[event]: found for event, found in recorded.items()}
        found = self.found[unit.event_id]
        if isinstance(found, ErrpathError):
            raise found
        return found

    def _has(self, unit: SweepUnit) -> bool:
        """Whether a unit's points are known, or why there are none."""
        found = self.found.get(unit.event_id)
        return found is not None and (isinstance(found, ErrpathError) or unit.kind in found.points)

    def turn(self, unit: SweepUnit) -> tuple[Point, ...]:
        """The points of a unit whose turn it is.

        Raises:
            ErrpathError: they cannot be recorded.
        """
        points, _ = self.of(unit).points[unit.kind]
        if self.rotation is None or unit not in self.expected or unit.kind == "plain":
            return points
        alike = [
            other
            for other in self.expected[: self.expected.index(unit)]
            if (other.volume_id, other.kind) == (unit.volume_id, unit.kind)
        ]
        earlier: set[str] = set()
        for other in alike:
            with contextlib.suppress(ErrpathError):
                earlier |= {one.name for one in self.of(other).points[unit.kind][0]}
        return self.rotation.chosen(unit.id, points, earlier)

    def case(self, unit: SweepUnit, point: Point) -> MountCase:
        """The case of a point."""
        found = sequence(load_filesystem(unit.filesystem), unit.event, unit.volume)
        if point.fault is not None:
            steps = found.failing(point.fault)
        elif point.at:
            steps = found.waiting(point.at, point.nth)
        else:
            steps = found.of_any_volume() if point.pieces else found.untouched()
        return MountCase(
            f"{unit.id}-{point.name}",
            unit.filesystem,
            replace(found.device, pieces=point.pieces),
            steps,
            point=f"{unit.event}/{unit.kind}",
            batch=unit.id,
            seconds=self.of(unit).seconds,
        )
