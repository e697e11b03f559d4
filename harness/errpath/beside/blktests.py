"""blktests: the tests of the block layer, whose `check` runs them by GROUP/NUMBER."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from errpath.beside.shell import TEST_DISK, GuestShell
from errpath.beside.suites import Answer, Selection, Suite, SuiteStatus, select
from errpath.errors import InfrastructureError
from errpath.util.process import last_line

__all__ = ["Blktests", "blktests_answer"]

_SECONDS = 120.0
_LIST = "cd /suite/tests && find . -mindepth 2 -maxdepth 2 -type f | sed s,^./,, | sort"
_NAME = re.compile(r"[a-z0-9_-]+/\d+")
# loop/001 (scan loop device partitions)                        [passed]
_STATUS = re.compile(r"^(?P<test>[a-z0-9_-]+/\d+)\b.*\[(?P<status>passed|failed|not run)\]$", re.M)


@dataclass(frozen=True)
class Blktests(Suite):
    """blktests in /suite, with the test disk as its device."""

    @property
    def name(self) -> str:
        return "blktests"

    def prepare(self, shell: GuestShell) -> None:
        shell.write("/suite/config", f"TEST_DEVS=({shell.disks[TEST_DISK]})\n")
        # No daemon answers for device nodes: devtmpfs makes them.
        shell.check("mkdir -p /tmp/results", seconds=_SECONDS)

    def tests(self, shell: GuestShell, selection: Selection) -> tuple[str, ...]:
        found = shell.check(_LIST, seconds=_SECONDS).split()
        return select("blktests", [name for name in found if _NAME.fullmatch(name)], selection)

    def run(self, shell: GuestShell, test: str, *, seconds: float) -> Answer:
        script = f"cd /suite && exec ./check -o /tmp/results {shlex.quote(test)}"
        return blktests_answer(test, shell.run(script, seconds=seconds).output)

    def rest(self, shell: GuestShell) -> None:
        """Nothing: a test unmounts what it has mounted."""


def blktests_answer(test: str, output: str) -> Answer:
    """What `check` says of a test: failed on one device is failed.

    Raises:
        InfrastructureError: it says nothing of it.
    """
    found = [match for match in _STATUS.finditer(output) if match["test"] == test]
    if not found:
        printed = last_line(output)
        raise InfrastructureError(f"{test}: `check` ended without a result: {printed}")
    for one in found:
        if one["status"] == "failed":
            return Answer(SuiteStatus.FAIL, _indented(output[one.end() :]) or "failed", output)
    if all(one["status"] == "not run" for one in found):
        return Answer(SuiteStatus.SKIP, _indented(output[found[0].end() :]) or "not run", output)
    return Answer(SuiteStatus.PASS, "", output)


def _indented(text: str) -> str:
    """The first indented line that gives a reason: run times are `NAME  before ... now`."""
    for line in text.lstrip("\n").splitlines():
        if not line.startswith("    "):
            break
        if "..." not in line.split():
            return line.strip()
    return ""
