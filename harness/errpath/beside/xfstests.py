"""xfstests: its `check` runs many tests, and stops after each of them until errpath has looked.

`check` alone takes as long as a small test before it runs the first one, and most of that again for
a test that does not run. So one `check` is given many tests. It calls its logger before each of
them: here that is a program that waits until the oracles have been asked about the test before.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from errpath.beside.shell import SCRATCH_DISK, TEST_DISK, GuestShell
from errpath.beside.suites import Answer, Selection, Suite, SuiteStatus, fresh_volume
from errpath.errors import InfrastructureError, UsageError
from errpath.util.process import last_line

__all__ = ["Xfstests", "check_answer", "listed_tests"]

_LIST_SECONDS = 600.0
_PREPARE_SECONDS = 120.0
# Tests of one `check`: it looks each of them up before the first one runs.
_AHEAD = 25
# generic/001  5s ...  4s
_TEST_LINE = re.compile(r"^(?P<test>[a-z0-9_-]+/\d+)(?P<rest>[ \t].*|)$", re.MULTILINE)
_NOT_RUN = re.compile(r"\[not run\] ?(.*)")
# The seconds that it took, which are printed of a test that passed.
_PASSED = re.compile(r"^(?:[a-z0-9_-]+/\d+.*)?[ \t]\d+s$", re.MULTILINE)
# The first line of its output that is not expected, as `diff -u` has it.
_MORE = re.compile(r"^    \+(?!\+\+ )(.*)$", re.MULTILINE)
# So many characters of it.
_SHOWN = 100
_RESULTS = "/tmp/results"
# Files of a test that are larger are left in the guest: some write what a disk holds.
_KEPT_KIB = 4096
_CONFIG = """export FSTYP={fs}
export TEST_DEV={test}
export TEST_DIR=/mnt/test
export SCRATCH_DEV={scratch}
export SCRATCH_MNT=/mnt/scratch
export RESULT_BASE={results}
export LOGGER_PROG="{shell} /suite/errpath.logger"
"""
# Where `check` and errpath meet: `at` tells which test comes next, `go` lets it begin.
_MEET = "/tmp/errpath"
_ENDED = "ended"
_STOP = "stop"
# `check` runs this in the place of logger(1), with "run xfstest generic/001". It waits in read(),
# not in open(): what open() has allocated for a FIFO that nobody writes to is referenced by the
# task's stack alone, which the leak check leaves out.
_LOGGER = f"""exec 3<> {_MEET}/go
echo "${{1##* }}" > {_MEET}/at
read -r word <&3
if [ "$word" = {_STOP} ]; then kill $PPID; fi
"""


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
        config = _CONFIG.format(fs=fs, shell=self.shell, results=_RESULTS, **disks)
        shell.write("/suite/local.config", config)
        shell.write("/suite/errpath.logger", _LOGGER)
        script = f"""mkdir -p /mnt/test /mnt/scratch {_RESULTS}
echo errpath > /proc/sys/kernel/hostname
{self._volume(shell)}"""
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
        check = shlex.join(["./check", "-n", *words, *selection.tests])
        output = shell.run(f"cd /suite && exec {self.shell} {check}", seconds=_LIST_SECONDS).output
        found = listed_tests(output)
        if not found:
            printed = last_line(output)
            raise UsageError(f"suite xfstests: no test is selected; `check` says: {printed}")
        return found

    def run(self, shell: GuestShell, test: str, *, seconds: float) -> Answer:
        return self.run_among(shell, test, (), seconds=seconds)

    def run_among(
        self, shell: GuestShell, test: str, ahead: Sequence[str], *, seconds: float
    ) -> Answer:
        """See `Suite.run_among`.

        Raises:
            AgentError: the test did not end in time (ETIMEDOUT).
            InfrastructureError: `check` says nothing of it.
        """
        tests = shlex.join([test, *ahead[: _AHEAD - 1]])
        script = f"""cd /suite
await() {{
	next=
	# Nothing, where the last writer had not closed it yet.
	until [ "$next" ]; do read -r next < {_MEET}/at; done
	echo "$next" > {_MEET}/next
}}
next=$(cat {_MEET}/next 2> /dev/null)
if [ "$next" != {test} ]; then
	if [ "$next" ] && [ "$next" != {_ENDED} ]; then
		echo {_STOP} > {_MEET}/go
		await
	fi
	rm -rf {_MEET} && mkdir {_MEET} && mkfifo {_MEET}/at {_MEET}/go || exit
	{{ {self.shell} ./check {tests}; echo {_ENDED} > {_MEET}/at; }} > {_MEET}/log 2>&1 < /dev/null &
	await
fi
if [ "$next" = {test} ]; then
	echo go > {_MEET}/go
	await
fi
cat {_MEET}/next {_MEET}/log
"""
        output = shell.run(script, seconds=seconds).output
        next_test, _, log = output.partition("\n")
        return check_answer(test, log, ended=next_test == _ENDED)

    def files(self, shell: GuestShell, test: str) -> Mapping[str, bytes]:
        """Its output, where that is not what was expected, and what the test has written itself."""
        script = f"cd {_RESULTS} && find . -path './{test}.*' -type f -size -{_KEPT_KIB}k"
        names = shell.run(script, seconds=_PREPARE_SECONDS).output.split()
        return {
            name.rpartition("/")[2]: shell.guest.read_file(f"{shell.root}{_RESULTS}/{name}")
            for name in names
        }

    def rest(self, shell: GuestShell) -> None:
        # A volume that is still in use stays mounted, and its superblock is counted. The next test
        # mounts it again.
        shell.run("umount /mnt/scratch /mnt/test 2>/dev/null", seconds=_PREPARE_SECONDS)

    def renew(self, shell: GuestShell) -> bool:
        return shell.run(self._volume(shell), seconds=_PREPARE_SECONDS).status == 0

    def _volume(self, shell: GuestShell) -> str:
        return fresh_volume(self.filesystem, shell.disks[TEST_DISK], self.mkfs)


def listed_tests(output: str) -> tuple[str, ...]:
    """The tests that `check -n` lists, in its order."""
    return tuple(dict.fromkeys(match["test"] for match in _TEST_LINE.finditer(output)))


def check_answer(test: str, output: str, *, ended: bool = True) -> Answer:
    """What `check` says of one of its tests, once it has ended or has come to the next.

    Raises:
        InfrastructureError: it says nothing of it.
    """
    lines = list(_TEST_LINE.finditer(output))
    number = next((n for n, line in enumerate(lines) if line["test"] == test), None)
    if number is None:
        raise InfrastructureError(f"{test}: `check` did not run it: {last_line(output)}")
    after = lines[number + 1].start() if number + 1 < len(lines) else len(output)
    line = lines[number]["rest"].strip()
    said = output[lines[number].start() : after]
    not_run = _NOT_RUN.search(line)
    if not_run is not None:
        return Answer(SuiteStatus.SKIP, not_run[1].strip() or "not run", said)
    if _PASSED.search(said):
        return Answer(SuiteStatus.PASS, "", said)
    failed = re.search(rf"^Failures:.* {re.escape(test)}\b", output, re.MULTILINE)
    if not (failed if ended else number + 1 < len(lines)):
        raise InfrastructureError(f"{test}: `check` ended without a result: {line or 'nothing'}")
    why = re.sub(r"^\d+s \.\.\. *", "", line)
    why = re.sub(r"\s*\(see [^)]*\)", "", why).removeprefix("- ").strip()
    more = _MORE.search(said)
    if more is not None:
        why += f": {more[1].strip()[:_SHOWN]}"
    return Answer(SuiteStatus.FAIL, why or "failed", said)
