"""Points: what of a recorded step can be failed, each with a name and the fault that fails it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from errpath.errors import UsageError
from errpath.faults.chains import Chain, Expand, name_chain, number, own_functions
from errpath.faults.model import ALLOCATORS, Alloc, Call, Fault, Flush, Read, Write
from errpath.faults.shapes import Shape, artefact

__all__ = ["POINT_KINDS", "UNTOUCHED", "LeftOut", "Point", "parse_point_kinds", "points_of"]

# The one point of the kind "plain".
UNTOUCHED = "untouched"
# Kinds of points, and the kinds of the module that belong to each; where there are none, nothing is
# failed: the event itself is looked at.
POINT_KINDS = {
    "plain": (),
    "call": ("call",),
    "alloc": ALLOCATORS,
    "io": ("read", "write", "flush"),
}
# Which calls of a function are failed.
_CALLS = (1, 2)
_REQUESTS = {"read": Read, "write": Write, "flush": Flush}


@dataclass(frozen=True)
class Point:
    """One place that can fail."""

    # Unique among the points of its kind in one step; holds no address and no line.
    name: str
    # None: nothing is failed.
    fault: Fault | None
    # The filesystem's functions that lead there, innermost first.
    through: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """What is not failed, and why."""

    name: str
    reason: str


def parse_point_kinds(words: str) -> tuple[str, ...]:
    """The kinds that `--kinds` names, all without it.

    Raises:
        UsageError: there is no such kind.
    """
    names = tuple(dict.fromkeys(words.replace(",", " ").split()))
    for name in names:
        if name not in POINT_KINDS:
            raise UsageError(f"--kinds {name}: unknown; expected some of: {', '.join(POINT_KINDS)}")
    return names or tuple(POINT_KINDS)


def points_of(
    kind: str,
    chains: Sequence[Chain],
    *,
    modules: Collection[str],
    expand: Expand,
    shape: Callable[[str], Shape],
) -> tuple[tuple[Point, ...], tuple[LeftOut, ...]]:
    """The points of one kind among recorded chains, in the order of first sight.

    `modules` are the filesystem's own; `shape` gives how a function of them fails.
    """
    if kind == "plain":
        return (Point(UNTOUCHED, None),), ()
    mine = [chain for chain in chains if chain.kind in POINT_KINDS[kind]]
    if kind == "call":
        return _calls(mine, shape)
    plain = (ALLOCATORS[0], "read")
    names = number(
        name_chain(chain, modules, expand) + ("" if chain.kind in plain else f":{chain.kind}")
        for chain in mine
    )
    through = (own_functions(chain, modules, expand) for chain in mine)
    return tuple(
        Point(name, _fault(chain), way)
        for name, chain, way in zip(names, mine, through, strict=True)
    ), ()


def _fault(chain: Chain) -> Fault:
    if chain.kind in ALLOCATORS:
        return Alloc(kind=chain.kind, chain=chain.hash)
    return _REQUESTS[chain.kind](chain=chain.hash)


def _calls(
    chains: Sequence[Chain], shape: Callable[[str], Shape]
) -> tuple[tuple[Point, ...], tuple[LeftOut, ...]]:
    points, left = [], []
    for chain in chains:
        name = chain.function
        why = artefact(name)
        found = None if why else shape(name)
        if found is None or found.reason:
            left.append(LeftOut(name, why or (found.reason if found else "")))
            continue
        for nth in _CALLS:
            if nth <= chain.count:
                for retval in found.retvals:
                    call = Call(name, retval, nth=nth)
                    points.append(Point(name if nth == 1 else f"{name}#{nth}", call, (name,)))
    return tuple(points), tuple(left)
