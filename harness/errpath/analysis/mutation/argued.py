"""Survivors that no test can kill, each with its argument; a wrong argument is an error."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from errpath.analysis.mutation.results import Fate, Judged
from errpath.errors import UsageError
from errpath.filesystems import home_directory
from errpath.util import yamlfile

__all__ = ["REASONS", "Argument", "argued", "load_arguments"]

# The closed list of reasons.
REASONS = {
    "unreachable": "no input and no failure that a kernel can meet leads there",
    "no effect": "what follows does the same, or nothing reads what it sets",
    "only slower": "the result is the same, later",
    "only the message": "what changes is the text of a message or which of several errors is given",
}
_FILE = Path(__file__).parent / "arguments.yaml"


@dataclass(frozen=True)
class Argument:
    """Why a mutant is equivalent to the source."""

    # `Mutant.id`.
    mutant: str
    # One of REASONS.
    reason: str
    # The argument itself, for whoever doubts it.
    why: str

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"reason {self.reason!r}: expected one of: {', '.join(REASONS)}")
        if not self.why.strip():
            raise ValueError(f"{self.mutant}: no argument; expected why no test can see it")


@dataclass(frozen=True)
class _Arguments:
    arguments: tuple[Argument, ...] = ()


def load_arguments(path: Path = _FILE) -> dict[str, Argument]:
    """The arguments of a file, by mutant.

    Raises:
        DefinitionError: it cannot be read as such.
    """
    found = yamlfile.load(path, _Arguments).arguments
    return {one.mutant: one for one in found}


def argued(
    judged: Iterable[Judged],
    mutants: Iterable[str],
    arguments: dict[str, Argument],
    filesystem: str,
) -> tuple[Judged, ...]:
    """The fates, with EQUIVALENT for survivors that are argued; `mutants` are all of the
    filesystem's.

    Raises:
        UsageError: an argued mutant was killed, or is not there any more.
    """
    ours = {name for name in arguments if name.startswith(home_directory(filesystem))}
    gone = ours - set(mutants)
    if gone:
        raise UsageError(f"arguments: {min(gone)}: no such mutant any more; expected it gone too")
    found = []
    for one in judged:
        if one.mutant in ours and one.fate == Fate.KILLED:
            raise UsageError(f"arguments: {one.mutant}: argued, and killed by {one.case}")
        if one.mutant in ours and one.fate == Fate.SURVIVED:
            one = dataclasses.replace(one, fate=Fate.EQUIVALENT)
        found.append(one)
    return tuple(found)
