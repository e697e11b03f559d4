"""Points: what of a recorded step can be failed, each with a name and the fault that fails it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from errpath.errors import UsageError
from errpath.faults.chains import Chain, Expand, name_chain, number, own_functions
from errpath.faults.model import ALLOCATORS, Alloc, Call, Fault, Flush, Read, Write
from errpath.faults.shapes import Shape, artefact

__all__ = [
    "COSTLY",
    "FORCED",
    "NATURAL",
    "POINT_KINDS",
    "UNTOUCHED",
    "USUAL",
    "WAIT",
    "LeftOut",
    "Point",
    "parse_point_kinds",
    "points_of",
]

# The one point of the kind "plain".
UNTOUCHED = "untouched"
# The kind of which nothing fails: a task waits for a second one.
WAIT = "wait"
# What fails by itself, of the module's kinds.
_NATURAL = (*ALLOCATORS, "read", "write", "flush")
# Kinds of points, and the kinds of the module that belong to each; where there are none, nothing is
# failed: the event itself is looked at.
POINT_KINDS = {
    "plain": (),
    "call": ("call",),
    "alloc": ALLOCATORS,
    "io": ("read", "write", "flush"),
    "gone": ("read", "write", "flush"),
    "zeroes": ("read",),
    "lost": ("write", "flush"),
    "value": ("call",),
    "image": (),
    WAIT: ("call",),
    "behind-alloc": _NATURAL,
    "behind-io": _NATURAL,
    "behind-image": _NATURAL,
}
# Kinds that a recording of the event alone does not give.
COSTLY = ("image", "behind-alloc", "behind-io", "behind-image")
# The kinds that a sweep has by default; those that fail a call by force; and those that
# any machine can have.
USUAL = ("plain", "call", "alloc", "io")
FORCED = ("call", "value")
NATURAL = ("alloc", "io")
_ALL = "all"
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
    # What is written over the volume: of the kind "image".
    pieces: tuple[tuple[int, bytes], ...] = ()
    # The function at which the armed step waits for a second task, and at which of its calls: of
    # the kind "wait".
    at: str = ""
    nth: int = 1


@dataclass(frozen=True)
class LeftOut:
    """What is not failed, and why."""

    name: str
    reason: str


def parse_point_kinds(words: str) -> tuple[str, ...]:
    """The kinds that `--kinds` names, the usual ones without it, every one by `all`.

    Raises:
        UsageError: there is no such kind.
    """
    names = tuple(dict.fromkeys(words.replace(",", " ").split()))
    for name in names:
        if name not in POINT_KINDS and name != _ALL:
            known = ", ".join((*POINT_KINDS, _ALL))
            raise UsageError(f"--kinds {name}: unknown; expected some of: {known}")
    return tuple(POINT_KINDS) if _ALL in names else names or USUAL


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
    if kind == WAIT:
        return tuple(_waits(mine)), ()
    if kind in FORCED:
        return _calls(mine, shape, values=kind == "value")
    plain = (ALLOCATORS[0], "read")
    names = number(
        name_chain(chain, modules, expand) + ("" if chain.kind in plain else f":{chain.kind}")
        for chain in mine
    )
    through = (own_functions(chain, modules, expand) for chain in mine)
    return tuple(
        Point(name, _fault(kind, chain), way)
        for name, chain, way in zip(names, mine, through, strict=True)
    ), ()


def _fault(kind: str, chain: Chain) -> Fault:
    if chain.kind in ALLOCATORS:
        return Alloc(kind=chain.kind, chain=chain.hash)
    result = kind if kind in ("gone", "zeroes", "lost") else "error"
    return _REQUESTS[chain.kind](chain=chain.hash, result=result)


def _waits(chains: Sequence[Chain]) -> Iterator[Point]:
    for chain in chains:
        name = chain.function
        for nth in _CALLS:
            if nth <= chain.count:
                shown = name if nth == 1 else f"{name}#{nth}"
                yield Point(shown, None, (name,), at=name, nth=nth)


def _calls(
    chains: Sequence[Chain], shape: Callable[[str], Shape], *, values: bool
) -> tuple[tuple[Point, ...], tuple[LeftOut, ...]]:
    points, left = [], []
    for chain in chains:
        name = chain.function
        why = artefact(name)
        found = None if why else shape(name)
        if found is not None and values and found.values:
            points += [Point(f"{name}={v}", Call(name, v), (name,)) for v in found.values]
            continue
        if found is None or found.reason or values:
            reason = found.reason or "has no value that is neither" if found else ""
            left.append(LeftOut(name, why or reason))
            continue
        for nth in _CALLS:
            if nth <= chain.count:
                for retval in found.retvals:
                    call = Call(name, retval, nth=nth)
                    points.append(Point(name if nth == 1 else f"{name}#{nth}", call, (name,)))
    return tuple(points), tuple(left)
