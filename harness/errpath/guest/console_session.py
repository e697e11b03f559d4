"""pexpect over the guest's console: for what no agent answers, as the shell of `errpath shell`."""

from __future__ import annotations

import re
import select
from typing import TYPE_CHECKING

import pexpect
from pexpect.spawnbase import SpawnBase

from errpath.errors import InfrastructureError, UsageError
from errpath.guest.console import Console
from errpath.util.deadline import Deadline

__all__ = ["PROMPT", "ConsoleSession"]

if TYPE_CHECKING:
    _Base = SpawnBase[bytes]
else:
    _Base = SpawnBase

# The prompt of the guest's shell (guests/agent/init.c).
PROMPT = b"errpath# "
# A terminal takes no longer line.
_LINE_MAX = 4000
# Seconds until the shell has its first prompt.
_PROMPT_SECONDS = 60.0


class ConsoleSession(_Base):
    """What the console prints, from the first byte on, for `expect`; and `send`."""

    def __init__(self, console: Console) -> None:
        super().__init__(timeout=_PROMPT_SECONDS)
        self._console = console
        self._seen = 0

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> bytes:
        """At most `size` bytes as soon as there are some; `timeout` in seconds, None for ever.

        Raises:
            pexpect.TIMEOUT, pexpect.EOF.
        """
        deadline = None if timeout is None else Deadline.after(timeout, "the console")
        while True:
            # Asked first: what was printed before the end is there then.
            ended = self._console.ended
            piece = self._console.raw()[self._seen : self._seen + size]
            if piece:
                self._seen += len(piece)
                return piece
            if ended:
                raise pexpect.EOF("the console has ended")
            if deadline is not None and deadline.expired:
                raise pexpect.TIMEOUT("the console is silent")
            remaining = None if deadline is None else deadline.remaining
            if select.select([self._console.wakeup], [], [], remaining)[0]:
                self._console.drain_wakeup()

    def send(self, data: bytes) -> int:
        """Type."""
        self._console.send(data)
        return len(data)

    def run(self, command: str) -> tuple[int, bytes]:
        """Run a command in the guest's shell, however long it takes: its exit status, its output.

        What the kernel prints on the console meanwhile is part of the output.

        Raises:
            UsageError: the command is too long for a terminal's line.
            InfrastructureError: there is no shell, or the guest ends before the command does.
        """
        typed = command.encode()
        if max(map(len, typed.split(b"\n"))) > _LINE_MAX:
            raise UsageError(f"shell: -c: expected lines of at most {_LINE_MAX} bytes")
        try:
            self.expect_exact([PROMPT])
            # Nothing of what is typed may stand in the output.
            self.send(b"busybox stty -echo; PS2=\n")
            self.expect_exact([PROMPT])
            self.send(b"{ " + typed + b'\n}; echo "errpath-status $?"\n')
            self.expect([rb"errpath-status (\d+)\r?\n"], timeout=None)
        except (pexpect.EOF, pexpect.TIMEOUT) as error:
            last = self._console.last_line
            raise InfrastructureError(
                f"shell: {str(error).splitlines()[0]} before {command!r} was done; its last line: "
                f"{last}"
            ) from None
        found = self.match
        assert isinstance(self.before, bytes)
        assert isinstance(found, re.Match)
        return int(found[1]), self.before.replace(b"\r\n", b"\n")
