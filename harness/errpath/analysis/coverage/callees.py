"""What the functions of a superblock's life call, and what of it a sweep fails.

The calls are read from the machine code: what the compiler inlined calls for the function that it
is part of, and has no entry at which it could be failed by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.analysis.coverage.csource import Function
from errpath.faults.points import LeftOut, Point
from errpath.kernel.symbols.elf import function_symbols
from errpath.util import process

__all__ = [
    "Callee",
    "Coverage",
    "calls_in",
    "calls_of",
    "inlined_into",
    "judge_callees",
    "operations",
]

_HEAD = re.compile(r"^[0-9a-f]+ <(?P<name>[^>]+)>:$")
_CALL = re.compile(r"\t(?:call|jmp)\s+[0-9a-f]+ <(?P<name>[^>+]+)(?P<inside>\+0x[0-9a-f]+)?>$")
# Where the linker still has to fill in what is called: the addend counts from the next instruction.
_RELOCATION = re.compile(r"R_X86_64_(?:PLT32|PC32)\t(?P<name>[\w.]+?)(?P<addend>[+-]0x[0-9a-f]+)?$")
_NEXT = 4
# The compiler's parts of a function.
_PART = re.compile(r"\.(?:cold|part|isra|constprop)\b.*")
# Of the operations of superblocks and contexts, in the order in which they are shown.
_OPERATIONS = {
    "reconfigure": re.compile(r"\.(?:reconfigure|remount_fs)\s*=\s*(\w+)"),
    "put_super": re.compile(r"\.put_super\s*=\s*(\w+)"),
}


@dataclass(frozen=True)
class Callee:
    """A function of the filesystem's own that a root calls."""

    name: str
    # How many of the points of the sweep fail it, and how many something below it.
    failed: int
    below: int
    # Why it is not failed itself, else "".
    reason: str = ""


@dataclass(frozen=True)
class Coverage:
    """The callees of one root."""

    # Such as `put_super`, and the function.
    operation: str
    root: str
    callees: tuple[Callee, ...]
    inlined: tuple[str, ...]

    @property
    def fallible(self) -> tuple[Callee, ...]:
        """Those that a caller could see fail."""
        return tuple(one for one in self.callees if one.failed or not one.reason)

    @property
    def failed(self) -> tuple[Callee, ...]:
        """Those that are failed, or in which something is."""
        return tuple(one for one in self.fallible if one.failed or one.below)


def operations(sources: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The functions that are a superblock's `reconfigure` (`remount_fs` before the new mount API)
    and `put_super`, by operation."""
    texts = tuple(sources)
    return {
        name: tuple(dict.fromkeys(found for text in texts for found in pattern.findall(text)))
        for name, pattern in _OPERATIONS.items()
    }


def calls_of(module: Path) -> dict[str, frozenset[str]]:
    """The functions that each function of a module calls, by name.

    Raises:
        ProgramError: objdump does not disassemble it.
    """
    output = process.run(["objdump", "-dr", "--no-show-raw-insn", module])
    starts = {(symbol.section, symbol.address): symbol.name for symbol in function_symbols(module)}
    found: dict[str, set[str]] = {}
    for caller, callee in calls_in(output.text.splitlines(), starts):
        found.setdefault(caller, set()).add(callee)
    return {name: frozenset(callees) for name, callees in found.items()}


def calls_in(
    lines: Sequence[str], starts: Mapping[tuple[str, int], str]
) -> Iterable[tuple[str, str]]:
    """Caller and callee of every call; jumps into another function are calls."""
    caller = ""
    for at, line in enumerate(lines):
        if head := _HEAD.match(line):
            caller = _PART.sub("", head["name"])
            continue
        call = _CALL.search(line)
        if call is None:
            continue
        below = lines[at + 1] if at + 1 < len(lines) else ""
        relocation = _RELOCATION.search(below)
        if relocation is not None:
            addend = int(relocation["addend"] or "0", 16)
            name = starts.get((relocation["name"], addend + _NEXT), relocation["name"])
        elif call["inside"]:
            continue
        else:
            name = call["name"]
        name = _PART.sub("", name)
        if name != caller:
            yield caller, name


def inlined_into(
    root: str, sources: Mapping[str, Function], compiled: Collection[str]
) -> tuple[str, ...]:
    """The functions that a root's source calls, in what was inlined of it too, and that have no
    code of their own."""
    found: dict[str, None] = {}
    waiting = [root]
    while waiting:
        function = sources.get(waiting.pop())
        for word in re.findall(r"\b(\w+)\s*\(", function.body) if function else ():
            if word in sources and word not in compiled and word not in found:
                found[word] = None
                waiting.append(word)
    return tuple(sorted(found))


def judge_callees(
    names: Iterable[str],
    points: Sequence[Point],
    left_out: Sequence[LeftOut],
    why: Callable[[str], str],
) -> tuple[Callee, ...]:
    """What the points of a sweep do to functions; `why` says of one that did not run why it could
    not be failed, or nothing."""
    reasons = {item.name: item.reason for item in left_out}
    judged = []
    for name in sorted(names):
        failed = sum(1 for one in points if one.fault is not None and one.fault.function == name)
        below = sum(
            1 for one in points if one.fault and not one.fault.function and name in one.through
        )
        reason = "" if failed else reasons.get(name) or why(name)
        judged.append(Callee(name, failed, below, reason))
    return tuple(judged)
