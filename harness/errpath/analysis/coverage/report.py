"""What was reached, as text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from errpath.analysis.coverage.collect import Line
from errpath.analysis.coverage.csource import Exit
from errpath.images.crafted.catalogue import Unreachable

__all__ = ["Judged", "judge_exits", "render"]


@dataclass(frozen=True)
class Judged:
    """One exit and what became of it."""

    exit: Exit
    # Cases that took it, in the order in which they ran.
    cases: tuple[str, ...]
    # Why no image takes it; empty where one does, or where no reason is given.
    reason: str = ""


def judge_exits(
    exits: Sequence[Exit],
    reached: Mapping[Line, Sequence[str]],
    unreachable: Sequence[Unreachable],
    *,
    below: Callable[[Sequence[str]], Collection[str]] = frozenset,
) -> tuple[Judged, ...]:
    """Each exit with the cases that took it, or the reason why none does.

    `below` gives the functions that nothing but some others lead to; what is said of those is said
    of what is below them.
    """
    wholes = {item: below(_whole_functions(item)) for item in unreachable}
    judged = []
    for found in sorted(exits, key=lambda found: (found.file, found.line)):
        cases = tuple(reached.get((found.file, found.line), ()))
        reason = "" if cases else _reason(found, wholes)
        judged.append(Judged(found, cases, reason))
    return tuple(judged)


def _whole_functions(item: Unreachable) -> tuple[str, ...]:
    """The functions that an entry speaks of as a whole: "name:" without a part of an exit."""
    parts = (place.partition(":") for place in item.source)
    return tuple(function for function, _, part in parts if not part.strip())


def _reason(found: Exit, unreachable: Mapping[Unreachable, Collection[str]]) -> str:
    for item, below in unreachable.items():
        if found.function in below:
            return item.reason
        for place in item.source:
            function, _, part = place.partition(":")
            if function == found.function and part.strip() and part.strip() in str(found):
                return item.reason
    return ""


def render(filesystem: str, judged: Sequence[Judged], *, cases: int, lost: Sequence[str]) -> str:
    """The report of one filesystem."""
    return "\n".join(_lines(filesystem, judged, cases, lost)) + "\n"


def _lines(
    filesystem: str, judged: Sequence[Judged], cases: int, lost: Sequence[str]
) -> Iterator[str]:
    reached = [item for item in judged if item.cases]
    argued = [item for item in judged if item.reason]
    open_ = len(judged) - len(reached) - len(argued)
    yield (
        f"{filesystem}: {len(reached)} of {len(judged)} error exits of the mount path reached by "
        f"{cases} mounts; {len(argued)} out of reach and argued, {open_} left"
    )
    for name in lost:
        yield f"  no coverage of {name}: its guest died with it"
    for file, in_file in groupby(judged, key=lambda item: item.exit.file):
        yield ""
        yield file
        for function, in_function in groupby(in_file, key=lambda item: item.exit.function):
            yield f"  {function}"
            for item in in_function:
                yield from _exit_lines(item)


def _exit_lines(item: Judged) -> Iterator[str]:
    found = item.exit
    mark = "+" if item.cases else "-" if item.reason else "?"
    yield f"  {mark} {found.line:5} {found.condition} {found.statement}"
    if item.cases:
        more = f" and {len(item.cases) - 1} more" if len(item.cases) > 1 else ""
        yield f"          {item.cases[0]}{more}"
    elif item.reason:
        yield f"          not reached: {item.reason}"
