"""Which cases a patch can reach: those that run a function that it changes.

What a case runs is traced once on the kernel before (`errpath.oracles.ownership.graph_tracer`),
and kept in the cache. Where a function has no code of its own, its callers stand for it. Whatever
is not known counts as reached: a patch to a header, to data or to what lies below every
filesystem, and a case that has no trace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from errpath.analysis.coverage.csource import definitions
from errpath.cases.lifecycle import Planned

__all__ = [
    "UNTOUCHED",
    "Change",
    "Traced",
    "carriers",
    "changed_functions",
    "choose",
]

# Why a case is not run that runs nothing of what a patch changes.
UNTOUCHED = "it runs no function that the patch changes"

# Case id -> the functions that it ran; a case without a trace is missing.
Traced = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Change:
    """What a patch changes."""

    # Functions that are another afterwards, or gone.
    functions: frozenset[str] = frozenset()
    # Why it may reach any case; "" where it does not.
    wide: str = ""


def changed_functions(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> Change:
    """What differs between two texts of the same files, by path; None for no such file."""
    functions: set[str] = set()
    for path, old in before.items():
        new = after[path]
        if old is None or new is None or not path.endswith(".c"):
            return Change(wide=f"{path} is no C file of both kernels")
        (ours, rest), (theirs, other) = definitions(old), definitions(new)
        if rest != other:
            return Change(wide=f"{path} changes outside of functions")
        # What is new is reached through those that call it, which are changed.
        functions |= {name for name, text in ours.items() if theirs.get(name) != text}
    return Change(frozenset(functions))


def carriers(
    names: Iterable[str], texts: Mapping[str, str], has_code: Callable[[str], bool]
) -> Change:
    """The functions with code of their own in which others lie, themselves included. `texts` are
    the functions of the filesystem, by name."""
    found: set[str] = set()
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if has_code(name):
            found.add(name)
            continue
        word = re.compile(rf"\b{name}\b")
        callers = [one for one, text in texts.items() if one != name and word.search(text)]
        if not callers:
            return Change(wide=f"{name} has no code of its own, and nothing is known to call it")
        waiting += callers
    return Change(frozenset(found))


def choose(planned: Sequence[Planned], change: Change, traced: Traced) -> tuple[Planned, ...]:
    """The cases with those left out that the change cannot reach."""
    if change.wide:
        return tuple(planned)
    return tuple(_unless_untouched(one, change.functions, traced) for one in planned)


def _unless_untouched(one: Planned, functions: frozenset[str], traced: Traced) -> Planned:
    ran = traced.get(one.id)
    if one.case is None or ran is None or ran & functions:
        return one
    return replace(one, case=None, reason=UNTOUCHED)
