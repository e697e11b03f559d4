"""Delta debugging: which of many items fail, together or each by itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["smallest_subset", "split_evenly"]

Item = TypeVar("Item")


def split_evenly(items: Sequence[Item], parts: int) -> list[tuple[Item, ...]]:
    """At most `parts` runs of neighbours, as even as can be; one where there are no items."""
    parts = max(1, min(parts, len(items)))
    size, longer = divmod(len(items), parts)
    bounds = [number * size + min(number, longer) for number in range(parts + 1)]
    return [tuple(items[a:b]) for a, b in itertools.pairwise(bounds)]


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
        pieces = split_evenly(items, parts)
        # (part, parts to go on with); of two parts, all but one is the other.
        rest = [sum((*pieces[:n], *pieces[n + 1 :]), ()) for n in range(parts)]
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
