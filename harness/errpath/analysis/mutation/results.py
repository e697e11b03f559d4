"""What became of mutants: fates, and the file in which a run that was cut short finds them."""

from __future__ import annotations

import contextlib
import enum
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from errpath.errors import UsageError

__all__ = ["NOT_REACHED", "Fate", "Judged", "ResultFile", "read_head", "read_results"]


# The title of a survivor that no test could have killed.
NOT_REACHED = "no test reaches it"


class Fate(enum.StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    # It survived, and no test can kill it (`errpath.analysis.mutation.argued`).
    EQUIVALENT = "equivalent"
    # The infrastructure failed in a case, and no other noticed anything.
    NO_ANSWER = "no answer"
    # It does not compile: there is no such mutant.
    NOT_BUILT = "not built"


@dataclass(frozen=True)
class Judged:
    """A mutant with its fate."""

    mutant: str
    kind: str
    # One of `Fate`.
    fate: str
    # Case, kind and title of the failure that killed it, or why there is no answer, or NOT_REACHED.
    case: str = ""
    oracle: str = ""
    title: str = ""
    # The tests that killed it: the name of a `Rung`.
    rung: str = ""
    # Wall time from the patch to the fate.
    seconds: float = 0.0


class ResultFile:
    """One JSON object a line: what the mutants were judged by, then one `Judged` each."""

    def __init__(self, path: Path, judged_by: Mapping[str, object]) -> None:
        """
        Raises:
            UsageError: the file holds results that were judged by something else.
        """
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        head = read_head(path)
        if head is None:
            path.write_text(json.dumps(judged_by) + "\n")
        elif head != json.loads(json.dumps(judged_by)):
            differ = next(x for x in {**head, **judged_by} if head.get(x) != judged_by.get(x))
            raise UsageError(
                f"{path}: judged by another {differ} ({head.get(differ)}); "
                "expected another --output"
            )
        if not path.read_text().endswith("\n"):
            # The last line was cut short: what is added stands in lines of its own.
            self._append("")
        self.known = read_results(path)

    def add(self, one: Judged) -> None:
        """Append a result."""
        self.known[one.mutant] = one
        self._append(json.dumps(asdict(one)))

    def _append(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(line + "\n")


def read_head(path: Path) -> dict[str, object] | None:
    """What the results of a file were judged by; None where there is no such file."""
    if not path.is_file():
        return None
    first, _, _ = path.read_text().partition("\n")
    with contextlib.suppress(ValueError):
        found = json.loads(first)
        if isinstance(found, dict) and "mutant" not in found:
            return found
    return {}


def read_results(path: Path) -> dict[str, Judged]:
    """What a run has written, by mutant; a line that was cut short is left out."""
    found = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        with contextlib.suppress(ValueError, TypeError):
            one = Judged(**json.loads(line))
            found[one.mutant] = one
    return found
