"""Other projects' suites: what tests they have, how one is run, and what its runner says of it."""

from __future__ import annotations

import enum
import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from errpath.beside.shell import GuestShell
from errpath.errors import InfrastructureError, UsageError

__all__ = [
    "Answer",
    "Selection",
    "Suite",
    "SuiteStatus",
    "fresh_volume",
    "ktap_answer",
    "select",
]

# So many names are all said.
_FEW = 40


class SuiteStatus(enum.Enum):
    """What a suite's own runner says of a test."""

    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class Answer:
    """One test as its own runner sees it."""

    status: SuiteStatus
    # One line: why it failed or did not run.
    why: str = ""
    # What it printed.
    output: str = ""


@dataclass(frozen=True)
class Selection:
    """Which tests."""

    tests: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    not_groups: tuple[str, ...] = ()
    # Lines of files in the suite's own format.
    excluded: tuple[str, ...] = ()


class Suite(Protocol):
    """A suite in a guest. Tests are run by their names, one at a time."""

    @property
    def name(self) -> str:
        """For records, such as `xfstests-ext4`."""

    def prepare(self, shell: GuestShell) -> None:
        """Make a fresh guest ready for tests."""

    def tests(self, shell: GuestShell, selection: Selection) -> tuple[str, ...]:
        """The names of the tests that are selected, in the suite's order."""

    def run(self, shell: GuestShell, test: str, *, seconds: float) -> Answer:
        """Run one test."""

    def run_among(
        self, shell: GuestShell, test: str, ahead: Sequence[str], *, seconds: float
    ) -> Answer:
        """Run one test, after which those `ahead` are to be run in this guest, in this order. A
        runner that takes long to start may go on to them."""
        del ahead
        return self.run(shell, test, seconds=seconds)

    def files(self, shell: GuestShell, test: str) -> Mapping[str, bytes]:
        """What its runner has written about a test that failed, by the name of the file."""
        del shell, test
        return {}

    def rest(self, shell: GuestShell) -> None:
        """Leave nothing mounted after a test, so that what a mount takes is given back."""

    def renew(self, shell: GuestShell) -> bool:
        """Make the volume anew after a test that failed, with nothing mounted. False where only a
        fresh guest will do."""
        del shell
        return False


def select(suite: str, names: Sequence[str], selection: Selection) -> tuple[str, ...]:
    """Those that a pattern names: whole, by a wildcard, or by a collection (`filesystems`, `loop`).

    Raises:
        UsageError: a pattern names none.
    """
    patterns = (*selection.tests, *selection.groups) or ("*",)
    for pattern in patterns:
        if not any(_named(name, pattern) for name in names):
            collections = dict.fromkeys(_collection(name) for name in names)
            known = names if len(names) <= _FEW else [one for one in collections if one]
            raise UsageError(
                f"suite {suite}: no test {pattern}; expected one of: {', '.join(known)}"
            )
    left_out = (*selection.excluded, *selection.not_groups)
    return tuple(
        name
        for name in names
        if any(_named(name, pattern) for pattern in patterns)
        and not any(_named(name, pattern) for pattern in left_out)
    )


def _named(name: str, pattern: str) -> bool:
    # A file of LTP's tests to leave out has their names alone.
    own = name.rpartition(":")[2]
    return pattern in (_collection(name), own) or fnmatch.fnmatchcase(name, pattern)


def _collection(name: str) -> str:
    """filesystems/fat of filesystems/fat:rename, loop of loop/001."""
    collection, colon, _ = name.partition(":")
    return collection if colon else name.rpartition("/")[0]


# -- volumes -------------------------------------------------------------------------------------

# Words that mkfs wants for a device that has a filesystem already.
_FORCE = {"btrfs": "-f", "ext2": "-F", "ext3": "-F", "ext4": "-F", "f2fs": "-f", "xfs": "-f"}


def fresh_volume(fs: str, device: str, mkfs: str = "") -> str:
    """The command that makes a filesystem on a device and mounts it once below /mnt/test: what a
    first mount takes for good is none of a test's."""
    make = mkfs or f"mkfs.{fs} {_FORCE.get(fs, '')}"
    return f"{make} {device} && mount -t {fs} {device} /mnt/test && umount /mnt/test"


# -- KTAP ----------------------------------------------------------------------------------------

_KTAP = re.compile(
    # kselftest's runner gives an exit status where KTAP has a directive: `# exit=1`.
    r"^ *(?P<not>not )?ok \d+(?: -)? *(?P<name>[^#\n]*?)(?: *# *(?:(?P<directive>[A-Z]+)"
    r"\b(?P<reason>[^\n]*)|[^\n]*))?$",
    re.MULTILINE,
)


def ktap_answer(output: str) -> Answer:
    """What KTAP says, its innermost results first: failed, else skipped if all of it was, else
    passed.

    Raises:
        InfrastructureError: there is no result in it.
    """
    results = list(_KTAP.finditer(output))
    if not results:
        printed = (output.strip().splitlines() or ["nothing"])[-1]
        raise InfrastructureError(f"no result in KTAP; it ends with: {printed}")
    failed = [one["name"] for one in results if one["not"] and one["directive"] != "XFAIL"]
    if failed:
        return Answer(SuiteStatus.FAIL, f"not ok: {', '.join(failed[:3])}", output)
    if all(one["directive"] == "SKIP" for one in results):
        return Answer(SuiteStatus.SKIP, (results[0]["reason"] or "").strip() or "skipped", output)
    return Answer(SuiteStatus.PASS, "", output)
