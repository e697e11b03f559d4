"""Which function should have released what was lost with what held it: asked of the source. Pure.

Two rules, in this order. A function other than that which stored the pointer releases this member:
it does so in vain, or did not run. Or none does any more: then the function that releases the
members stored beside it, since what is set up together is taken down together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from errpath.oracles.message_source import defined_function
from errpath.oracles.timeline import Holder, Place

__all__ = ["Release", "find_release"]

# `HFS_SB(sb)->ext_tree`: what the member is of, and its name.
_MEMBER = re.compile(r"^(.*?)(?:->|\.)(\w+)$")
# A call, with brackets two deep in what it is given.
_CALL = re.compile(
    r"\b(?!(?:if|while|for|switch|return|sizeof)\b)(\w+)[ \t]*"
    r"\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)"
)
# Of a name's parts, between underscores.
_VERBS = re.compile(
    r"(?:^|_)(?:[id]?put|k?v?free|release|relse|brelse|bforget|close|destroy|stop|unload|drop|cancel"
    r"|shutdown|unregister)(?:_|$)"
)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


@dataclass(frozen=True)
class Release:
    """A function that releases, by its source, what was lost or what was stored beside it."""

    # The function, and the first of the calls.
    place: Place
    # The member whose pointer was lost, and the function that stored it.
    member: str
    stored_by: str
    # What it releases instead; () where it releases the member itself.
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Function:
    name: str
    file: str
    # From 1.
    line: int
    # Without comments, line for line.
    body: str

    def calls(self) -> Iterator[tuple[int, str, str]]:
        """Line, name and arguments of each call that releases something."""
        for match in _CALL.finditer(self.body):
            if _VERBS.search(match[1]):
                yield self.line + self.body.count("\n", 0, match.start()), match[1], match[2]

    def stored(self, owner: str) -> set[str]:
        """The members that it stores of what it calls `owner`."""
        pattern = rf"(?<![\w>.]){re.escape(owner)}(?:->|\.)(\w+)\s*=[^=]"
        return set(re.findall(pattern, self.body))

    def released(self, members: set[str]) -> dict[str, Place]:
        """Which of some members it releases, by their own name or a local variable's."""
        named = dict.fromkeys(members, "")
        for member in members:
            names = [rf"(?:->|\.){member}"]
            local = rf"\b(\w+)\s*=\s*[^;={{}}]*(?:->|\.){member}\s*;"
            names += [rf"(?<![\w>.]){name}" for name in re.findall(local, self.body)]
            named[member] = "|".join(names)
        found: dict[str, Place] = {}
        for line, name, arguments in self.calls():
            for member, pattern in named.items():
                if re.search(rf"(?:{pattern})\s*(?:,|$)", arguments):
                    text = f"{name}({' '.join(arguments.split())});"
                    found.setdefault(member, Place(self.name, self.file, line, text))
        return found


def find_release(holder: Holder, sources: Mapping[str, str]) -> Release | None:
    """The function that should have released what a holder pointed to, which went with all that
    it was in; None where the source does not tell. `sources` are files by path."""
    match = _MEMBER.match(holder.name)
    if not holder.with_all or match is None:
        return None
    owner, member = match.groups()
    storing = holder.stored
    functions = [one for path, text in sources.items() for one in _functions(path, text)]
    others = [one for one in functions if one.name != storing.function]
    itself = [found for one in others if (found := one.released({member}))]
    if itself:
        chosen = _only(itself, storing.file)
        return Release(chosen[member], member, storing.function) if chosen else None
    stores = next((one for one in functions if _is(one, storing)), None)
    siblings = stores.stored(owner) - {member} if stores is not None else set()
    beside = [found for one in others if (found := one.released(siblings))]
    most = max(map(len, beside), default=0)
    chosen = _only([found for found in beside if len(found) == most], storing.file)
    if not chosen:
        return None
    first = min(chosen.values(), key=lambda place: place.line)
    return Release(first, member, storing.function, tuple(sorted(chosen)))


def _is(one: _Function, place: Place) -> bool:
    return (one.name, one.file) == (place.function, place.file)


def _only(found: Sequence[dict[str, Place]], file: str) -> dict[str, Place]:
    """The one function of several, in the file in question where it is not the only one; {} where
    more than one could be meant."""
    here = [one for one in found if next(iter(one.values())).file == file]
    chosen = here or found
    return chosen[0] if len(chosen) == 1 else {}


def _functions(path: str, source: str) -> Iterator[_Function]:
    """The functions that a file defines."""
    text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), source)
    lines = text.splitlines()
    start, name = 0, ""
    for number, line in enumerate(lines):
        if line.startswith("}") and name:
            yield _Function(name, path, start + 1, "\n".join(lines[start : number + 1]))
            name = ""
        elif not name and (name := defined_function(line)):
            start = number
