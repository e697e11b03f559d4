"""Points that stand behind another fault: what can fail where a failed request or a broken field
leads to.

Each first fault is recorded by itself; call chains that the sequence without it does not have are
points behind it. There are as many recordings as first faults, so that they have a time of their
own: what it does not suffice for is told.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from errpath.errors import ErrpathError
from errpath.faults.chains import Chain
from errpath.faults.model import Both, Single
from errpath.faults.points import LeftOut, Point

__all__ = ["PAIR_SECONDS", "points_behind"]

# Seconds of wall time for the recordings of one event.
PAIR_SECONDS = 60.0
# Longer names are cut; they become parts of file names.
_LONGEST = 150
# What of a name tells where a point is: its last functions.
_TAIL = 2


def _both(first: Point, second: Point) -> Point:
    """The point of two, of the kinds "alloc" and "io"; the first may also be of "image"."""
    tail = ">".join(second.name.split(">")[-_TAIL:])
    name = f"{first.name}&{tail}"
    if len(name) > _LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:6]
        name = f"~{digest}{name[-(_LONGEST - 7) :]}"
    fault = second.fault
    if isinstance(first.fault, Single) and isinstance(fault, Single):
        fault = Both(first.fault, fault)
    return replace(second, name=name, fault=fault, pieces=first.pieces)


def points_behind(
    firsts: Sequence[Point],
    known: Iterable[Chain],
    *,
    record: Callable[[Point], Sequence[Chain]],
    points: Callable[[Sequence[Chain]], Sequence[Point]],
    seconds: float = PAIR_SECONDS,
) -> tuple[tuple[Point, ...], tuple[LeftOut, ...]]:
    """The points behind `firsts`, each call chain once, and the firsts that were not recorded.

    `known` are the chains of the sequence by itself, `record` gives those behind a point, `points`
    their points. Where the time is too short for all, which are taken is the same every time.
    """
    until = time.monotonic() + seconds
    seen = {(chain.kind, chain.hash) for chain in known}
    order = list(range(len(firsts)))
    random.Random(0).shuffle(order)
    behind: dict[int, list[Point]] = {}
    left: list[LeftOut] = []
    for at in order:
        first = firsts[at]
        if time.monotonic() > until:
            left.append(LeftOut(first.name, f"not recorded: {seconds:.0f} s were over"))
            continue
        try:
            chains = record(first)
        except ErrpathError as error:
            left.append(LeftOut(first.name, f"not recorded: {error}"))
            continue
        fresh = [chain for chain in chains if (chain.kind, chain.hash) not in seen]
        seen |= {(chain.kind, chain.hash) for chain in fresh}
        behind[at] = [_both(first, point) for point in points(fresh)]
    found = [point for at in sorted(behind) for point in behind[at]]
    return tuple(found), tuple(left)
