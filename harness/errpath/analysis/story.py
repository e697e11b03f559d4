"""Does a report name the function that the fix changes? Its `look at` and the patch. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from errpath.oracles.message_source import enclosing_function

__all__ = ["Row", "changed_functions", "look_at", "markdown"]

_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
_FILE = re.compile(r"^--- (?:a/)?([^\t\n]+)")
# `.kill_sb = adfs_kill_sb`: what a function that the patch adds is called by.
_HOOK = re.compile(r"^[-+]\s*\.(\w+)\s*=")
_LOOK = re.compile(r"(?m)^ +look at +(.+)$")
# Characters of a title.
_TITLE_MAX = 90
# Titles of what loses, crashes or hangs. A wrong errno has no stack, and so no function.
_COUNTED = re.compile(
    r"leak|BUG|[Hh]ang|hung|WARNING|panic|Oops|fault|[Ff]ree|deadlock|not given"
    r"|Busy inodes|Objects remaining|still in use|overwritten"
)


@dataclass(frozen=True)
class Row:
    """One bug."""

    bug: str
    case: str
    # What went wrong, in one line; "" where the case did not fail.
    title: str
    # Where the report says to look.
    look: str
    # Functions and hooks that the patch changes.
    changed: tuple[str, ...]

    @property
    def counted(self) -> bool:
        """Whether it is a leak, a crash or a hang, of which a function is to be named."""
        return bool(_COUNTED.search(self.title))

    @property
    def named(self) -> bool:
        """Whether the report names one of the functions that the patch changes."""
        words = set(re.findall(r"\w+", self.look.partition("(")[0]))
        return bool(words & set(self.changed))


def changed_functions(diff: str, source: Callable[[str], str | None]) -> tuple[str, ...]:
    """The functions whose lines a diff takes away or adds to, and the hooks that it fills.

    `source` gives a file as it is before.
    """
    found: dict[str, None] = {}

    def add(path: str, name: str) -> None:
        found[name] = None
        # fs/hfsplus/hfsplus_fs.h gives the functions that hfs has as well names of their own.
        directory = PurePosixPath(path).parent
        header = source(f"{directory}/{directory.name}_fs.h") or ""
        if match := re.search(rf"(?m)^#define {name}[ \t]+(\w+)$", header):
            found[match[1]] = None

    path, number = "", 0
    lines: list[str] = []
    for line in diff.splitlines():
        if match := _FILE.match(line):
            path = match[1]
            lines = (source(path) or "").splitlines()
            number = 0
        elif match := _HUNK.match(line):
            number = int(match[1]) - 1
        elif number >= 0 and line[:1] in ("-", "+") and not line.startswith(("--- ", "+++ ")):
            if hook := _HOOK.match(line):
                found[hook[1]] = None
            elif line[1:].strip() and (name := enclosing_function(lines, number)):
                add(path, name)
            number += line[0] == "-"
        elif line.startswith(" ") or not line:
            number += 1
    return tuple(found)


def look_at(report: str) -> str:
    """Where a report says to look first: what comes later may follow from it; "" where it does not
    say."""
    match = _LOOK.search(report)
    return match[1] if match is not None else ""


def markdown(rows: Iterable[Row]) -> Iterator[str]:
    """A table, row by row as they come, and how many name the function."""
    every: list[Row] = []
    yield "| bug | what the report calls it | look at | the patch changes | named |"
    yield "|---|---|---|---|---|"
    for row in rows:
        every.append(row)
        changed = ", ".join(f"`{name}`" for name in row.changed[:4])
        more = f" and {len(row.changed) - 4} more" if len(row.changed) > 4 else ""
        look = f"`{row.look}`" if row.look else "–"
        title = row.title.replace("|", "\\|") or "the case does not fail"
        title = title if len(title) <= _TITLE_MAX else f"{title[: _TITLE_MAX - 1]}…"
        named = ("yes" if row.named else "no") if row.counted else "–"
        yield f"| {row.bug} | {title} | {look} | {changed}{more} | {named} |"
    counted = [row for row in every if row.counted]
    yield ""
    yield (
        f"{sum(row.named for row in counted)} of {len(counted)} leaks, crashes and hangs name a "
        f"function that the patch changes; the other {len(every) - len(counted)} are none of these."
    )
