"""Delta debugging: the fewest of many items that still fail together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["smallest_subset"]

Item = TypeVar("Item")


def smallest_subset(
    items: Sequence[Item], fails: Callable[[Sequence[Item]], bool], *, tries: int = 64
) -> Sequence[Item]:
    """The fewest of `items`, in their order, for which `fails` holds; it holds for all of them.

    Parts are tried first, then all but one part, then smaller parts. After `tries` calls the
    smallest failing subset so far is the answer. (Zeller and Hildebrandt, "Simplifying and
    Isolating Failure-Inducing Input", 2002.)
    """
    parts = 2
    while len(items) > 1:
        parts = min(parts, len(items))
        bounds = [len(items) * number // parts for number in range(parts + 1)]
        pieces = [items[a:b] for a, b in itertools.pairwise(bounds)]
        # (part, parts to go on with); of two parts, all but one is the other.
        rest = [[*items[:a], *items[b:]] for a, b in itertools.pairwise(bounds)]
        smaller = [(piece, 2) for piece in pieces]
        smaller += [(others, parts - 1) for others in rest] if parts > 2 else []
        for some, then in smaller:
            if tries == 0:
                return items
            tries -= 1
            if fails(some):
                items, parts = some, then
                break
        else:
            if parts == len(items):
                return items
            parts *= 2
    return items
