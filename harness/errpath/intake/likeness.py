"""Whether a failure is the one that somebody reported."""

from __future__ import annotations

import re

from errpath.intake.decode import decode_text
from errpath.oracles.failure import Failure
from errpath.oracles.frames import own_frames

__all__ = ["same"]

# Frames from the innermost one in which the function of a title is looked for.
_DEPTH = 8
_AT = re.compile(r"kernel BUG at (\S+\.[ch]):(?:LINE|\d+)!")


def same(failure: Failure, title: str, expected: Failure | None) -> bool:
    """Whether a failure is the one that was reported: the same title, the same signature, or the
    same kind with the function that names it on the stack."""
    if failure.follows:
        return False
    if title and failure.title == title:
        return True
    expected = expected or next(iter(decode_text(title)), None)
    if expected is not None and failure.signature == expected.signature:
        return True
    # Until 2019 syzbot called a BUG() by its file, with a word for the line.
    if (place := _AT.match(title)) is not None:
        return f"kernel BUG at {place[1]}:" in f"{failure.detail}\n{failure.evidence}"
    words, _, function = title.rpartition(" in ")
    if not words or not function:
        return False
    mine = failure.title.rpartition(" in ")[0]
    alike = mine == words or (expected is not None and failure.kind is expected.kind)
    return alike and function in own_frames(failure.functions)[:_DEPTH]
