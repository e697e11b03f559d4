"""LTP: the tests of its files in runtest/, each a command, judged by its exit status."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from errpath.beside.shell import SCRATCH_DISK, TEST_DISK, GuestShell
from errpath.beside.suites import Answer, Selection, Suite, SuiteStatus, fresh_volume, select
from errpath.errors import InfrastructureError, UsageError
from errpath.util.process import last_line

__all__ = ["Ltp", "ltp_answer", "read_runtest"]

_PREFIX = "/opt/ltp"
_SECONDS = 120.0
# Bits of the exit status (include/tst_res_flags.h).
_TFAIL, _TBROK, _TWARN, _TCONF = 1, 2, 4, 32
_RESULT = re.compile(r"\b(TFAIL|TBROK|TWARN|TCONF)\b[: ]*(.*)")
# A guest without KVM is slow, and LTP ends what takes longer than it should.
_SLOWER = 10


@dataclass
class Ltp(Suite):
    """LTP as `make install` leaves it in /opt/ltp. A test is FILE:NAME, as fs:gf01."""

    # Where the tests have their files, and the only one that those for every filesystem take.
    filesystem: str = ""
    _commands: dict[str, str] = field(default_factory=dict, init=False)

    @property
    def name(self) -> str:
        return f"ltp-{self.filesystem}" if self.filesystem else "ltp"

    def prepare(self, shell: GuestShell) -> None:
        script = "mkdir -p /mnt/test /tmp/ltp && chmod 1777 /tmp/ltp"
        if self.filesystem:
            script += f" && {fresh_volume(self.filesystem, shell.disks[TEST_DISK])}"
        shell.check(script, seconds=_SECONDS)

    def tests(self, shell: GuestShell, selection: Selection) -> tuple[str, ...]:
        """See `Suite.tests`.

        Raises:
            UsageError: nothing is selected; LTP has no list of all.
        """
        if not (selection.tests or selection.groups):
            raise UsageError("suite ltp: expected tests, such as fs:gf01, or -g FILE of runtest/")
        script = f'cd {_PREFIX}/runtest && for f in *; do echo "== $f"; cat $f; done'
        self._commands = dict(read_runtest(shell.check(script, seconds=_SECONDS).splitlines()))
        return select("ltp", list(self._commands), selection)

    def run(self, shell: GuestShell, test: str, *, seconds: float) -> Answer:
        directory = "/mnt/test" if self.filesystem else "/tmp/ltp"
        # The scratch device is what LTP itself makes filesystems on.
        names = {
            "LTPROOT": _PREFIX,
            "TMPDIR": directory,
            "LTP_DEV": shell.disks[SCRATCH_DISK],
            "LTP_TIMEOUT_MUL": str(_SLOWER),
            "LTP_COLORIZE_OUTPUT": "n",
        }
        if self.filesystem:
            names |= {
                "LTP_SINGLE_FS_TYPE": self.filesystem,
                "LTP_DEV_FS_TYPE": self.filesystem,
            }
            device = shell.disks[TEST_DISK]
            script = f"mount -t {self.filesystem} {device} {directory} && chmod 1777 {directory}"
            shell.check(script, seconds=_SECONDS)
        done = shell.run(_script(names, directory, self._commands[test]), seconds=seconds)
        return ltp_answer(done.status, done.output)

    def rest(self, shell: GuestShell) -> None:
        # A volume that is still in use stays mounted, and its superblock is counted.
        shell.run("umount /mnt/test 2>/dev/null", seconds=_SECONDS)


def _script(names: Mapping[str, str], directory: str, command: str) -> str:
    exported = "\n".join(f"export {name}={value}" for name, value in names.items())
    return f"{exported}\nexport PATH=$PATH:{_PREFIX}/testcases/bin\ncd {directory}\n{command}\n"


def read_runtest(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Name and command of every test; a line `== FILE` comes before those of a file of runtest/."""
    file = ""
    for line in lines:
        if line.startswith("== "):
            file = line[3:]
            continue
        name, _, command = line.strip().replace("\t", " ").partition(" ")
        if name and not name.startswith("#") and command.strip():
            yield f"{file}:{name}", command.strip()


def ltp_answer(status: int, output: str) -> Answer:
    """What a test says by its exit status; a program that is not LTP's own fails with any other.

    Raises:
        InfrastructureError: the shell did not find the program.
    """
    if status == 0:
        return Answer(SuiteStatus.PASS, "", output)
    if status == 127:
        printed = last_line(output)
        raise InfrastructureError(f"the test was not built: {printed}")
    found = [(match[1], match[2].strip()) for match in _RESULT.finditer(output)]
    if status == _TCONF:
        why = next((text for name, text in found if name == "TCONF"), "")
        return Answer(SuiteStatus.SKIP, why or "TCONF", output)
    for bit, name in ((_TFAIL, "TFAIL"), (_TBROK, "TBROK"), (_TWARN, "TWARN")):
        if status < 64 and status & bit:
            text = next((text for known, text in found if known == name), "")
            return Answer(SuiteStatus.FAIL, f"{name} {text}".strip(), output)
    return Answer(SuiteStatus.FAIL, f"exit status {status}", output)
