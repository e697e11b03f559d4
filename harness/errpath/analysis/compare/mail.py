"""The text of a comparison for a mail to a kernel list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath import __version__
from errpath.analysis.compare.judge import Comparison, State, exit_status, summarize, table
from errpath.errors import ErrpathError
from errpath.kernel.source.patches import patch_id
from errpath.util import process
from errpath.util.times import duration

__all__ = ["Subject", "git_user", "mail_text", "short_patch_id", "tag_earned"]


@dataclass(frozen=True)
class Subject:
    """What was compared."""

    before: str
    after: str
    # What distinguishes the configurations.
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
    # Which cases.
    what: str = "life-cycle matrix"


def mail_text(subject: Subject, comparisons: Sequence[Comparison]) -> str:
    """What was run on what, the table, and Tested-by where it has been earned.

    `tag_earned` says when it has been.
    """
    lines = [
        f"errpath {__version__}: {subject.what}, {duration(subject.seconds)}",
        f"before: {subject.before}",
        f"after:  {subject.after}",
        f"config: {subject.config} (sha256 of .config)",
    ]
    for path in subject.patches_before:
        lines.append(f"patch:  {path.name} (patch-id {short_patch_id(path)}), before only")
    lines += [f"patch:  {path.name} (patch-id {short_patch_id(path)})" for path in subject.patches]
    cells = summarize(comparisons)
    lines += ["", table(cells, every=False)]
    count = sum(1 for one in comparisons if one.state is State.CLEAN)
    missed = sum(1 for one in comparisons if one.state is State.NOT_RUN)
    lines.append(f"(and {count} cases clean on both, {missed} not run)")
    if tag_earned(comparisons):
        lines += ["", *(f"Closes: {url}" for url in subject.closes)]
        who = subject.tested_by or git_user()
        if who:
            lines.append(f"Tested-by: {who}")
    elif exit_status(comparisons) == 0:
        lines += [
            "",
            f"(no tag: not red before and green after in all of {subject.repeats} runs)",
        ]
    return "\n".join(lines)


def tag_earned(comparisons: Sequence[Comparison]) -> bool:
    """Whether a Tested-by may be given: something is fixed, all of it red in every run before and
    green in every run after, and nothing regressed."""
    fixed = [one for one in comparisons if one.state is State.FIXED]
    regressed = any(one.state is State.REGRESSED for one in comparisons)
    return bool(fixed) and not regressed and all(one.certain for one in fixed)


def short_patch_id(path: Path) -> str:
    """git's name for a change, its first 16 digits; "unknown" without git."""
    return patch_id(path.read_bytes())[:16] or "unknown"


def git_user() -> str:
    """The user that git knows, or ""."""
    found = []
    for key in ("user.name", "user.email"):
        try:
            done = process.run(["git", "config", "--get", key], check=False)
        except ErrpathError:
            return ""
        found.append(done.text.strip())
    return f"{found[0]} <{found[1]}>" if all(found) else ""
