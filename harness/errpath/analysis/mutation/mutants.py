"""Which statements can be left out of a filesystem's source, one at a time. Pure.

Left out are releases, unlocks, cancellations, errors that are assigned, and jumps, in functions
that a mount or an umount may run. They are found by the reading of
`errpath.analysis.coverage.csource`, so that no list has to be kept.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from errpath.analysis.coverage.csource import Function, called_from, functions

__all__ = [
    "CONTROL",
    "KINDS",
    "Mutant",
    "controls",
    "find_mutants",
    "mount_functions",
    "patch_text",
]

# Kind → what the name of a called function must have in it. The first that fits counts.
KINDS: Mapping[str, str] = {
    "unlock": r"unlock|up_read|up_write|up_\w*sem",
    "cancel": r"cancel|stop|flush_(?:work|delayed)|timer_(?:delete|shutdown)|del_timer|drain",
    "put": r"put|iput|dput|brelse|bforget|drop|unload",
    "release": r"k?v?free|free\w*|release|destroy|close|exit|deactivate|unregister|remove|cleanup|"
    r"clear_inode|discard|truncate|evict|end|abort|kill|shutdown|exit|fini|uninit|deinit",
}
# The kind of a mutant that changes nothing: whatever kills it is a false alarm.
CONTROL = "control"
_ERROR = "error"
_GOTO = "goto"
_CALL = re.compile(r"^\s*(?:\(void\)\s*)?(\w+)\s*\(.*\);$", re.DOTALL)
_ASSIGNED = re.compile(r"^\s*\w+ = -E[A-Z0-9]+;$")
_JUMP = re.compile(r"^\s*goto \w+;$")
# What the VFS calls by pointer: members of these structures.
_TABLE = re.compile(
    r"struct (?:file_system_type|fs_context_operations|super_operations|export_operations)\s+"
    r"\w+\s*=\s*\{(.*?)^\};",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Mutant:
    """A statement that is left out."""

    file: str
    function: str
    # One of KINDS, "error", "goto" or CONTROL.
    kind: str
    # In one line, such as `brelse(bh);`.
    statement: str
    # Of the same statements of the function, counted from 1.
    number: int
    # Its first line, counted from 1, and how many it takes.
    line: int
    lines: int

    @property
    def id(self) -> str:
        """The same as long as the function has the statement, wherever it stands."""
        again = f"#{self.number}" if self.number > 1 else ""
        return f"{self.file}:{self.function}:{self.statement}{again}"


def mount_functions(sources: Mapping[str, str]) -> dict[str, Function]:
    """The functions of these files, by path, that a mount or an umount may run: below what the
    tables name that the VFS calls."""
    known: dict[str, Function] = {}
    roots: list[str] = []
    for path, text in sources.items():
        known |= functions(path, text)
        for table in _TABLE.findall(text):
            roots += re.findall(r"=\s*&?(\w+)", table)
    return called_from(roots, known)


def find_mutants(wanted: Iterable[Function]) -> tuple[Mutant, ...]:
    """Every statement of these functions that can be left out, in the order of the source."""
    found = [one for function in wanted for one in _in_function(function)]
    return tuple(sorted(found, key=lambda one: (one.file, one.line)))


def controls(file: str, count: int) -> tuple[Mutant, ...]:
    """Mutants that add a comment behind a file's last line, each another: all of them are built."""
    return tuple(Mutant(file, "", CONTROL, f"/* {n} */", 1, 0, 0) for n in range(1, count + 1))


def _in_function(function: Function) -> Iterator[Mutant]:
    seen: Counter[str] = Counter()
    for line, count, text in _statements(function):
        kind = _kind(text)
        if not kind:
            continue
        statement = re.sub(r"\s+", " ", text.strip())
        seen[statement] += 1
        yield Mutant(function.file, function.name, kind, statement, seen[statement], line, count)


def _statements(function: Function) -> Iterator[tuple[int, int, str]]:
    """(line, lines, text) of statements that have lines of their own."""
    lines = function.lines
    at = 0
    while at < len(lines):
        count = 1
        text = lines[at]
        # A call goes on until its parentheses are closed.
        while text.count("(") > text.count(")") and at + count < len(lines):
            text += "\n" + lines[at + count]
            count += 1
        if text.rstrip().endswith(";"):
            yield function.line + 1 + at, count, text.rstrip()
        at += count


def _kind(text: str) -> str:
    if _ASSIGNED.match(text):
        return _ERROR
    if _JUMP.match(text):
        return _GOTO
    call = _CALL.match(text)
    if call is None:
        return ""
    for kind, words in KINDS.items():
        if re.search(rf"(?:^|_)(?:{words})(?:_|$)", call[1]):
            return kind
    return ""


def patch_text(mutant: Mutant, text: str) -> str:
    """A patch that leaves the statement out of the file's `text`; an empty one stands in its place,
    so that a condition above it guards nothing else."""
    old = text.splitlines(keepends=True)
    if mutant.kind == CONTROL:
        new = [*old, f"{mutant.statement}\n"]
    else:
        first = mutant.line - 1
        indent = re.match(r"\s*", old[first])
        blank = f"{indent[0] if indent else ''};\n"
        new = [*old[:first], blank, *old[first + mutant.lines :]]
    path = mutant.file
    return "".join(difflib.unified_diff(old, new, f"a/{path}", f"b/{path}"))
