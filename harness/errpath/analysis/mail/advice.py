"""What the kernel's own tree says of a patch: `Fixes:`, the habit of subjects, its scripts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.analysis.mail.message import PatchMessage
from errpath.kernel.source.blame import find_suspect
from errpath.kernel.source.gittree import GitRevision
from errpath.kernel.source.posting import checkpatch, wide_lines
from errpath.kernel.source.tree import Tree
from errpath.util.process import run

__all__ = ["Earlier", "complaints", "fixes_tag", "subject_habit"]

# Subjects of some files' last commits that are asked for their habit.
_COMMITS = 100
_PREFIX = re.compile(r"([^:]+(?::[^: ]+)*): ")


@dataclass(frozen=True)
class Earlier:
    """What the cases of a bug did on the parent of the commit that is suspected."""

    # Whether they failed; None where they gave no verdict.
    failed: bool | None
    # Which did, or why there is none.
    text: str = ""


def fixes_tag(
    tree: Tree,
    patch: PatchMessage,
    tell: Callable[[str], None],
    run_at: Callable[[str], Earlier] | None = None,
) -> list[str]:
    """`Fixes:` of the commit that brought what the patch takes away; none without a git tree, where
    its history is too short, or where `run_at` (its argument is a spec of a kernel) shows the bug
    before that commit. `tell` gets what a person should look at.

    Raises:
        PatchError: git does not know.
    """
    if not isinstance(tree.base, GitRevision):
        return []
    suspect = find_suspect(tree.base, patch.diff)
    if suspect is None:
        tell("Fixes: the tree's history does not reach back to it")
        return []
    short = suspect.commit[:12]
    if suspect.lines < suspect.of:
        tell(
            f"Fixes: {short} brought {suspect.lines} of {suspect.of} lines that the "
            "patch takes away: see that it is the one"
        )
    if run_at is not None:
        earlier = run_at(f"{tree.base.root}@{suspect.commit}~")
        if earlier.failed:
            tell(f"Fixes: left out: before {short} as well {earlier.text} fails")
            return []
        if earlier.failed is None:
            tell(f"Fixes: {short} is not confirmed: {earlier.text}")
        else:
            tell(f"Fixes: {short} is confirmed: before it {earlier.text} passes")
    return [suspect.tag]


def subject_habit(tree: Tree, files: Sequence[str]) -> str:
    """How subjects of these files' commits begin most often; "" without a git tree."""
    if not isinstance(tree.base, GitRevision) or not files:
        return ""
    argv: list[str | Path] = [
        "git",
        "-C",
        tree.base.root,
        "log",
        f"-{_COMMITS}",
        "--no-merges",
        "--format=%s",
    ]
    done = run([*argv, tree.base.commit, "--", *files], check=False)
    found = Counter(m[1] for line in done.text.splitlines() if (m := _PREFIX.match(line)))
    return found.most_common(1)[0][0] if found else ""


def complaints(tree: Tree, patch: PatchMessage, mail: str, files: Sequence[str]) -> Iterator[str]:
    """What a maintainer would say of a mail.

    Raises:
        PatchError: the tree has no checkpatch.pl.
    """
    for one in checkpatch(tree, mail.encode()):
        if one.error and one.kind != "MISSING_SIGN_OFF":
            yield one
    for line in wide_lines(mail.encode()):
        yield f"a line of more than 75 columns: {line}"
    habit = subject_habit(tree, files)
    if habit and not patch.subject.startswith(f"{habit}: "):
        yield f"subjects of these files mostly begin with {habit!r}"
