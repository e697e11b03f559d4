"""Leaked objects and resources → failures. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from errpath.oracles.failure import LEAK, RESOURCE_LEAK, Failure, stable_text
from errpath.oracles.frames import first_named, own_frames
from errpath.oracles.kmemleak import Record
from errpath.oracles.resources import ResourceLeak

__all__ = ["leak_failures", "resource_failures"]

# So many functions of a backtrace distinguish two leaks: the one that allocated, and the way to
# it. More of them change with what is inlined.
_DEPTH = 3
# Functions that allocate for their callers, by their names: syzbot does not call a leak after them.
_FOR_CALLERS = re.compile(r"alloc|create_object|mmap|kmem|slab|idr_get|list_lru_init|pcpu_create")


def leak_failures(
    records: Sequence[Record], *, confirmed: int = 0, repeats: int = 0
) -> tuple[Failure, ...]:
    """One failure for each way in which objects were lost, in the order of their signatures.

    In `confirmed` of `repeats` further runs the case leaked again; 0 of 0 for no further runs.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        functions = tuple(site.function for site in record.backtrace)
        own = own_frames(functions)[:_DEPTH] or [first_named(functions) or "unknown"]
        groups.setdefault(f"memory leak in {' < '.join(own)}", []).append(record)
    look = f", confirmed {confirmed} of {repeats}" if repeats else ""
    failures = []
    for signature, group in sorted(groups.items()):
        functions = tuple(site.function for site in group[0].backtrace)
        count = len(group)
        objects = "1 unreferenced object" if count == 1 else f"{count} unreferenced objects"
        failures.append(
            Failure(
                LEAK,
                f"memory leak in {_leaker(functions)}",
                signature=signature,
                functions=functions,
                size=group[0].size,
                detail=f"{objects}, {sum(record.size for record in group)} bytes{look}",
                evidence="\n".join(record.raw for record in group),
            )
        )
    return tuple(failures)


def _leaker(functions: Sequence[str]) -> str:
    """The function that a leak is called after."""
    callers = [name for name in own_frames(functions) if not _FOR_CALLERS.search(name)]
    return callers[0] if callers else first_named(functions) or "unknown"


def resource_failures(losses: Iterable[ResourceLeak]) -> tuple[Failure, ...]:
    """One failure for each count that changed with every repeat."""
    return tuple(_resource(loss) for loss in losses)


def _resource(loss: ResourceLeak) -> Failure:
    kept = loss.more > 0
    # As histories and known issues have it: what it is called may be said better in time.
    known_as = "not given back" if kept else "given back too often"
    return Failure(
        RESOURCE_LEAK,
        f"{'resource leak' if kept else 'given back too often'}: {loss.holding}",
        signature=stable_text(f"{known_as}: {loss.holding}"),
        functions=_allocator(loss.holding.name),
        resource=str(loss.holding),
        detail=str(loss).removeprefix(f"{loss.holding}: "),
        evidence=str(loss),
    )


def _allocator(name: str) -> tuple[str, ...]:
    """The function that allocated it, with its callers where the name has them."""
    stack = name.partition(" from ")[2]
    function = name.partition("func:")[2]
    return tuple(stack.split(" < ")) if stack else (function,) if function else ()
