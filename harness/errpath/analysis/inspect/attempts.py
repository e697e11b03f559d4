"""Attempts of one case in clones of one frozen guest, and where they differ. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

__all__ = ["Attempt", "difference"]


@dataclass(frozen=True)
class Attempt:
    """What one clone did."""

    # What each step gave.
    steps: tuple[str, ...]
    # The kernel's messages in the case, without times.
    messages: tuple[str, ...]
    # Function and depth of each call, in order.
    calls: tuple[tuple[str, int], ...]
    # Size and address of each object that it leaked.
    leaks: tuple[str, ...]

    def __str__(self) -> str:
        counts = (
            (len(self.calls), "call"),
            (len(self.messages), "message"),
            (len(self.leaks), "leaked object"),
        )
        words = [f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts]
        return f"{', '.join(words)}; {', '.join(self.steps)}"


def difference(one: Attempt, other: Attempt) -> str:
    """The first thing in which `other` differs from `one`, as one line; "" where they are the
    same."""
    calls = ([f"{name}(), {depth} deep" for name, depth in a.calls] for a in (one, other))
    for kind, left, right in (
        ("step", one.steps, other.steps),
        ("call", *calls),
        ("message", one.messages, other.messages),
        ("leaked object", one.leaks, other.leaks),
    ):
        found = _first(left, right)
        if found:
            return f"{kind} {found}"
    return ""


def _first(left: Sequence[str], right: Sequence[str]) -> str:
    pairs = zip_longest(left, right, fillvalue="none")
    for place, (mine, its) in enumerate(pairs, 1):
        if mine != its:
            return f"{place} of {max(len(left), len(right))}: {its}; expected {mine}"
    return ""
