"""What a patch must be before it is posted: mails that git and the kernel's own scripts accept.

The scripts are those of the kernel that the patch is for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import PatchError
from errpath.kernel.source.tree import Tree
from errpath.util.cache import scratch_directory
from errpath.util.process import Completed, run

__all__ = [
    "BODY_WIDTH",
    "Complaint",
    "Recipients",
    "checkpatch",
    "recipients",
    "wide_lines",
]

# Columns of a commit message's body (Documentation/process/submitting-patches.rst).
BODY_WIDTH = 75
_GET_MAINTAINER = ("scripts/get_maintainer.pl", "MAINTAINERS", ".mailmap")
# "A <a@b> (maintainer:HFS FILESYSTEM)", "linux-fsdevel@vger.kernel.org (open list:HFS)"
_ROLE = re.compile(r"^(.+?) \(([^()]*(?:\([^()]*\)[^()]*)*)\)$")
_CHECKPATCH = ("scripts/checkpatch.pl", "scripts/spelling.txt", "scripts/const_structs.checkpatch")
# "-:12: ERROR:SPACING: spaces required around that '='"
_COMPLAINT = re.compile(r"^[^:]*:(\d*):? *(ERROR|WARNING|CHECK):(\w+): (.*)$")
# What a mail ends its message with: the notes and the diff follow.
_CUT = re.compile(rb"(?m)^(?:---$|diff --git )")


class Complaint(str):
    """One line of checkpatch.pl: `ERROR:MISSING_SIGN_OFF: Missing Signed-off-by: line(s)`."""

    @property
    def error(self) -> bool:
        """Whether checkpatch calls it an error, not a warning or a check."""
        return self.startswith("ERROR:")

    @property
    def kind(self) -> str:
        """`MISSING_SIGN_OFF`"""
        return self.split(":")[1]


@dataclass(frozen=True)
class Recipients:
    """Whom a mail goes to, as get_maintainer.pl has them."""

    # Those who take patches; the lists alone where there are none.
    to: tuple[str, ...]
    # Reviewers and lists.
    cc: tuple[str, ...]


def recipients(tree: Tree, paths: Sequence[str]) -> Recipients:
    """Who maintains some files, by the tree's own get_maintainer.pl and MAINTAINERS.

    Raises:
        PatchError: the tree has no such script, or it fails.
        ToolMissingError: there is no perl.
    """
    with scratch_directory() as scratch:
        if _GET_MAINTAINER[0] not in tree.write((*_GET_MAINTAINER, *paths), scratch):
            raise PatchError(f"{_GET_MAINTAINER[0]}: this kernel has none; expected its source")
        # No git: who has changed a line once need not hear of it.
        argv: list[str | Path] = ["perl", _GET_MAINTAINER[0], "--no-tree", "--no-git"]
        argv += ["--no-git-fallback", "--rolestats"]
        argv += [word for path in paths for word in ("-f", path)]
        done = run(argv, cwd=scratch, check=False, env={"LC_ALL": "C"})
    if done.returncode:
        raise PatchError(f"{_GET_MAINTAINER[0]}: {_error(done) or 'failed'}")
    found = [(m[1], m[2]) for line in done.text.splitlines() if (m := _ROLE.match(line))]
    keepers = ("maintainer", "supporter", "odd fixer")
    to = [who for who, role in found if role.startswith(keepers)]
    cc = [who for who, _ in found if who not in to]
    return Recipients(tuple(to or cc), tuple(cc if to else ()))


def checkpatch(tree: Tree, mail: bytes) -> tuple[Complaint, ...]:
    """What the tree's own checkpatch.pl says of a mail.

    Raises:
        PatchError: the tree has no checkpatch.pl, or it fails.
        ToolMissingError: there is no perl.
    """
    with scratch_directory() as scratch:
        if _CHECKPATCH[0] not in tree.write(_CHECKPATCH, scratch):
            raise PatchError(f"{_CHECKPATCH[0]}: this kernel has none; expected a kernel source")
        argv: list[str | Path] = ["perl", scratch / _CHECKPATCH[0], "--no-tree", "--terse"]
        # From standard input: a file that a git repository tracks it takes for a source file.
        argv += ["--no-summary", "--show-types", "-"]
        done = run(argv, cwd=scratch, stdin=mail, check=False, env={"LC_ALL": "C"})
    found = tuple(
        Complaint(f"{m[2]}:{m[3]}: {m[4]}")
        for line in done.text.splitlines()
        if (m := _COMPLAINT.match(line))
    )
    if done.returncode and not found:
        raise PatchError(f"{_CHECKPATCH[0]}: {(done.text or _error(done)).strip() or 'failed'}")
    return found


def wide_lines(mail: bytes) -> tuple[str, ...]:
    """The lines of a mail's body that are wider than `BODY_WIDTH`, quoted text and links apart."""
    message = _CUT.split(mail, maxsplit=1)[0].decode(errors="replace")
    body = message.partition("\n\n")[2].splitlines()
    return tuple(
        line
        for line in body
        if len(line) > BODY_WIDTH and "://" not in line and not line.startswith((" ", "\t", "["))
    )


def _error(done: Completed) -> str:
    return done.stderr.decode(errors="replace").strip().partition("\n")[0]
