"""Which commit brought the lines that a patch takes away: `Fixes:`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from errpath.errors import PatchError
from errpath.kernel.source.gittree import GitRevision
from errpath.util.process import Completed, run

__all__ = ["Suspect", "Touched", "find_suspect", "replaced_lines"]

_FILE = re.compile(r"^--- (?:a/)?([^\t\n]+)")
_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
# Hexadecimal digits of a commit in a tag (Documentation/process/submitting-patches.rst).
_DIGITS = 12


@dataclass(frozen=True)
class Touched:
    """A line of a file before a patch."""

    path: str
    # From 1.
    line: int


@dataclass(frozen=True)
class Suspect:
    """The commit that brought most of some lines."""

    commit: str
    subject: str
    # So many of the lines, of so many.
    lines: int
    of: int

    @property
    def tag(self) -> str:
        """As it stands at the end of a commit message."""
        return f'Fixes: {self.commit[:_DIGITS]} ("{self.subject}")'


def replaced_lines(diff: str) -> tuple[Touched, ...]:
    """The lines that a diff takes away; where a hunk only adds, the line that it adds behind."""
    found: list[Touched] = []
    for path, at, lines in _hunks(diff):
        number = at
        removed, behind = [], []
        for mark, line in ((line[:1], line[1:]) for line in lines):
            if mark == "-":
                # A blank line, or a brace alone, says nothing of who wrote the rest.
                if line.strip(" \t{}"):
                    removed.append(Touched(path, number))
            elif mark == "+":
                behind.append(Touched(path, max(number - 1, 1)))
            number += mark in ("-", " ", "")
        found += removed or behind[:1]
    return tuple(dict.fromkeys(found))


def _hunks(diff: str) -> Iterator[tuple[str, int, list[str]]]:
    """File, first line before, and lines of each hunk."""
    path, at = "", 0
    lines: list[str] = []
    for line in diff.splitlines():
        if match := _HUNK.match(line):
            if lines:
                yield path, at, lines
            at, lines = int(match[1]), []
        elif line.startswith(("--- ", "diff --git ")):
            if lines:
                yield path, at, lines
            lines = []
            at = 0
            if match := _FILE.match(line):
                path = match[1]
        elif at and line[:1] in ("-", "+", " ") and not line.startswith("+++ "):
            lines.append(line)
    if lines:
        yield path, at, lines


def find_suspect(base: GitRevision, diff: str) -> Suspect | None:
    """The commit that brought most of the lines that a diff removes or changes; None where the
    history of the tree does not reach back to it.

    Raises:
        PatchError: git does not know; the text is git's.
    """
    votes: Counter[str] = Counter()
    lines = replaced_lines(diff)
    for one in lines:
        span = f"{one.line},{one.line}"
        done = _git(base, "blame", "--porcelain", "-w", "-L", span, base.commit, "--", one.path)
        # The first commit of a shallow clone, or of an import, brought everything there is.
        if "\nboundary\n" not in done.text and one.path != "/dev/null":
            votes[done.text.split(" ", 1)[0]] += 1
    if not votes:
        return None
    commit, count = votes.most_common(1)[0]
    subject = _git(base, "show", "--no-patch", "--format=%s", commit).text.strip()
    return Suspect(commit, subject, count, len(lines))


def _git(base: GitRevision, *words: str) -> Completed:
    done = run(["git", "-C", base.root, *words], check=False)
    if done.returncode:
        printed = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise PatchError(f"git {words[0]}: {printed}")
    return done
