"""The text of a comparison for a mail to a kernel list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath import __version__
from errpath.analysis.compare.judge import Comparison, State, summarize, table
from errpath.errors import ErrpathError
from errpath.util import process

__all__ = ["Subject", "mail_text", "patch_id"]


# The line that begins a file's change in a plain diff.
_FILE = re.compile(rb"^--- a/(\S+)(?=[^\n]*\n\+\+\+ )", re.MULTILINE)


@dataclass(frozen=True)
class Subject:
    """What was compared."""

    before: str
    after: str
    # What tells the configurations apart.
    config: str
    # Of the kernel before only, and of the kernel after only.
    patches_before: tuple[Path, ...]
    patches: tuple[Path, ...]
    # "Name <mail>", or "" for the user that git knows.
    tested_by: str
    # URLs of reports.
    closes: tuple[str, ...]
    # Seconds that everything took.
    seconds: float
    # Runs of what was not plainly clean.
    repeats: int


def mail_text(subject: Subject, comparisons: Sequence[Comparison]) -> str:
    """What was run on what, the table, and Tested-by where it has been earned.

    It has been earned when everything that the change fixed was red in every run before and green
    in every run after, and nothing regressed.
    """
    minutes, seconds = divmod(round(subject.seconds), 60)
    lines = [
        f"errpath {__version__}: killsb matrix, {minutes} min {seconds:02d} s",
        f"before: {subject.before}",
        f"after:  {subject.after}",
        f"config: {subject.config} (sha256 of .config)",
    ]
    for path in subject.patches_before:
        lines.append(f"patch:  {path.name} (patch-id {patch_id(path)}), before only")
    lines += [f"patch:  {path.name} (patch-id {patch_id(path)})" for path in subject.patches]
    cells = summarize(comparisons)
    lines += ["", table(cells, every=False)]
    count = sum(1 for one in comparisons if one.state is State.CLEAN)
    missed = sum(1 for one in comparisons if one.state is State.NOT_RUN)
    lines.append(f"(and {count} cases clean on both, {missed} not run)")
    fixed = [one for one in comparisons if one.state is State.FIXED]
    regressed = any(one.state is State.REGRESSED for one in comparisons)
    if fixed and not regressed and all(one.certain for one in fixed):
        lines += ["", *(f"Closes: {url}" for url in subject.closes)]
        who = subject.tested_by or _git_user()
        if who:
            lines.append(f"Tested-by: {who}")
    elif fixed and not regressed:
        lines += [
            "",
            f"(no tag: not red before and green after in all of {subject.repeats} runs)",
        ]
    return "\n".join(lines)


def patch_id(path: Path) -> str:
    """git's name for a change, whatever its context lines' numbers; "unknown" without git."""
    try:
        diff = path.read_bytes()
        if b"\ndiff --git " not in diff:
            # git counts nothing before a header of its own.
            diff = _FILE.sub(rb"diff --git a/\1 b/\1\n\g<0>", diff)
        done = process.run(["git", "patch-id", "--stable"], stdin=diff, check=False)
    except ErrpathError:
        return "unknown"
    words = done.text.split()
    return words[0][:16] if words else "unknown"


def _git_user() -> str:
    """The user that git knows, or ""."""
    found = []
    for key in ("user.name", "user.email"):
        try:
            done = process.run(["git", "config", "--get", key], check=False)
        except ErrpathError:
            return ""
        found.append(done.text.strip())
    return f"{found[0]} <{found[1]}>" if all(found) else ""
