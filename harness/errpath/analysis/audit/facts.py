"""Facts about file_system_types, read from C by Coccinelle, and what follows from them."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from errpath.errors import InfrastructureError
from errpath.util import process
from errpath.util.deadline import Deadline

__all__ = ["SCRIPT", "Conclusion", "Reading", "candidates", "parse_facts", "read_files"]

SCRIPT = Path(__file__).with_name("kill_sb.cocci")
_SECONDS = 300.0
# Names of functions that end what they are given; others only look at it.
_ENDS = re.compile(r"free|rcu|put|release|destroy")


class Conclusion(enum.Enum):
    """What the source says of one filesystem type."""

    # s_fs_info is allocated in init_fs_context, and kill_sb does not free it.
    PATTERN = "pattern"
    # It is allocated there, and kill_sb gives it to a function that ends it.
    FREED = "freed in kill_sb"
    # There is no superblock's private data before fill_super.
    LATER = "allocated later"


@dataclass(frozen=True)
class Reading:
    """One file_system_type as its file describes it."""

    # Name for mount(2).
    fstype: str
    # File that defines it, and its init_fs_context.
    file: str
    init: str
    conclusion: Conclusion
    # One line with the places, such as "adfs_init_fs_context (fs/adfs/super.c:463) …".
    why: str


def parse_facts(text: str) -> tuple[Reading, ...]:
    """The readings in the script's output, by type name.

    Raises:
        InfrastructureError: a line is no fact.
    """
    facts: list[dict[str, str]] = []
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        try:
            facts.append(json.loads(line))
        except ValueError:
            raise InfrastructureError(f"spatch: {line!r}: expected a JSON object") from None
    made = {fact["init"]: fact for fact in facts if fact["fact"] == "allocates"}
    given: dict[str, dict[str, str]] = {}
    for fact in facts:
        if fact["fact"] == "gives" and _private(fact["got"]) and _ENDS.search(fact["function"]):
            given[fact["kill"]] = fact
    readings = {
        fact["name"]: _reading(fact, made, given) for fact in facts if fact["fact"] == "type"
    }
    return tuple(readings[name] for name in sorted(readings))


def _private(got: str) -> bool:
    """Whether an expression is the superblock's private data: the field, or a cast of it."""
    words = got.replace(" ", "")
    return "s_fs_info" in words or words.endswith("(sb)")


def _reading(
    fact: dict[str, str], made: dict[str, dict[str, str]], given: dict[str, dict[str, str]]
) -> Reading:
    name, file, init, kill = fact["name"], fact["file"], fact["init"], fact["kill"]
    allocation = made.get(init)
    if allocation is None:
        return Reading(name, file, init, Conclusion.LATER, f"{init} sets no s_fs_info")
    where = f"{init} ({file}:{allocation['line']}) sets it"
    end = given.get(kill)
    if end is None:
        return Reading(name, file, init, Conclusion.PATTERN, f"{where}; {kill} does not free it")
    why = f"{where}; {kill} ({file}:{end['line']}) calls {end['function']}"
    return Reading(name, file, init, Conclusion.FREED, why)


def read_files(root: Path, files: Sequence[str]) -> tuple[Reading, ...]:
    """Read source files below `root`, named by paths relative to it.

    Raises:
        ToolMissingError: no Coccinelle; InfrastructureError: it failed.
    """
    readings: list[Reading] = []
    for file in files:
        done = process.run(
            ["spatch", "--very-quiet", "--no-includes", "--sp-file", SCRIPT, file],
            cwd=root,
            deadline=Deadline.after(_SECONDS, f"spatch {file}"),
        )
        readings += parse_facts(done.text)
    return tuple(readings)


def candidates(files: Iterable[tuple[str, bytes]]) -> tuple[str, ...]:
    """Those of some files (path, content) that define a file_system_type with kill_sb."""
    return tuple(
        path
        for path, content in files
        if b"struct file_system_type" in content and b".kill_sb" in content
    )
