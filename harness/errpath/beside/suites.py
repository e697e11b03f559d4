"""Other projects' suites: what tests they have, how one is run, and what its runner says of it."""

from __future__ import annotations

import enum
import fnmatch
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from errpath.beside.shell import SCRATCH_DISK, TEST_DISK, GuestShell
from errpath.errors import InfrastructureError, UsageError
from errpath.util.process import last_line

__all__ = [
    "Answer",
    "Selection",
    "Suite",
    "SuiteStatus",
    "Xfstests",
    "fresh_volume",
    "ktap_answer",
    "select",
]

_LIST_SECONDS = 120.0
_PREPARE_SECONDS = 120.0
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

    def rest(self, shell: GuestShell) -> None:
        """Leave nothing mounted after a test, so that what a mount takes is given back."""


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


# -- xfstests ------------------------------------------------------------------------------------

# generic/001  5s ...  4s
_TEST_LINE = re.compile(r"^(?P<test>[a-z0-9_-]+/\d+)(?P<rest>[ \t].*|)$", re.MULTILINE)
_NOT_RUN = re.compile(r"\[not run\] ?(.*)")
_CONFIG = """export FSTYP={fs}
export TEST_DEV={test}
export TEST_DIR=/mnt/test
export SCRATCH_DEV={scratch}
export SCRATCH_MNT=/mnt/scratch
export RESULT_BASE=/tmp/results
"""
# Words that mkfs wants for a device that has a filesystem already.
_FORCE = {"btrfs": "-f", "ext2": "-F", "ext3": "-F", "ext4": "-F", "f2fs": "-f", "xfs": "-f"}


def fresh_volume(fs: str, device: str, mkfs: str = "") -> str:
    """The command that makes a filesystem on a device and mounts it once below /mnt/test: what a
    first mount takes for good is none of a test's."""
    make = mkfs or f"mkfs.{fs} {_FORCE.get(fs, '')}"
    return f"{make} {device} && mount -t {fs} {device} /mnt/test && umount /mnt/test"


@dataclass(frozen=True)
class Xfstests(Suite):
    """xfstests, or a suite with its `check`, in /suite."""

    filesystem: str
    # The shell that its `check` is written for.
    shell: str = "bash"
    # Makes the filesystem on the device that follows.
    mkfs: str = ""

    @property
    def name(self) -> str:
        return f"xfstests-{self.filesystem}"

    def prepare(self, shell: GuestShell) -> None:
        fs = self.filesystem
        disks = {"test": shell.disks[TEST_DISK], "scratch": shell.disks[SCRATCH_DISK]}
        shell.write("/suite/local.config", _CONFIG.format(fs=fs, **disks))
        script = f"""mkdir -p /mnt/test /mnt/scratch /tmp/results
echo errpath > /proc/sys/kernel/hostname
{fresh_volume(fs, disks["test"], self.mkfs)}"""
        shell.check(script, seconds=_PREPARE_SECONDS)

    def tests(self, shell: GuestShell, selection: Selection) -> tuple[str, ...]:
        """See `Suite.tests`.

        Raises:
            UsageError: nothing is selected, or no test is found.
        """
        words = [word for group in selection.groups for word in ("-g", group)]
        words += [word for group in selection.not_groups for word in ("-x", group)]
        if selection.excluded:
            shell.write("/suite/errpath.exclude", "\n".join(selection.excluded) + "\n")
            words += ["-E", "errpath.exclude"]
        if not (selection.tests or selection.groups):
            raise UsageError("suite xfstests: expected tests, such as generic/001, or -g GROUP")
        output = self._check(shell, ["-n", *words, *selection.tests], _LIST_SECONDS)
        found = dict.fromkeys(match["test"] for match in _TEST_LINE.finditer(output))
        if not found:
            printed = last_line(output)
            raise UsageError(f"suite xfstests: no test is selected; `check` says: {printed}")
        return tuple(found)

    def run(self, shell: GuestShell, test: str, *, seconds: float) -> Answer:
        return check_answer(test, self._check(shell, [test], seconds))

    def rest(self, shell: GuestShell) -> None:
        # A volume that is still in use stays mounted, and its superblock is counted.
        shell.run("umount /mnt/scratch /mnt/test 2>/dev/null", seconds=_PREPARE_SECONDS)

    def _check(self, shell: GuestShell, words: Sequence[str], seconds: float) -> str:
        script = f"cd /suite && exec {self.shell} ./check {shlex.join(words)}"
        return shell.run(script, seconds=seconds).output


def check_answer(test: str, output: str) -> Answer:
    """What `check` says of the only test that it ran.

    Raises:
        InfrastructureError: it says nothing of it.
    """
    line = next((m["rest"].strip() for m in _TEST_LINE.finditer(output) if m["test"] == test), None)
    if line is None:
        printed = last_line(output)
        raise InfrastructureError(f"{test}: `check` did not run it: {printed}")
    not_run = _NOT_RUN.search(line)
    if not_run is not None:
        return Answer(SuiteStatus.SKIP, not_run[1].strip() or "not run", output)
    ends = {line.partition(":")[0] for line in output.splitlines() if line.startswith("Failures:")}
    if ends:
        why = re.sub(r"^\d+s \.\.\. *", "", line)
        why = re.sub(r"\s*\(see [^)]*\)", "", why).removeprefix("- ").strip()
        return Answer(SuiteStatus.FAIL, why or "failed", output)
    if re.search(r"^Passed all \d+ tests$", output, re.MULTILINE):
        return Answer(SuiteStatus.PASS, "", output)
    raise InfrastructureError(f"{test}: `check` ended without a result: {line or 'nothing'}")


# -- KTAP ----------------------------------------------------------------------------------------

_KTAP = re.compile(
    r"^ *(?P<not>not )?ok \d+(?: -)? *(?P<name>[^#\n]*?)(?: *# *(?P<directive>[A-Z]+)"
    r"\b(?P<reason>[^\n]*))?$",
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
