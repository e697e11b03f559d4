"""Host programs, run from argv lists, with their output kept.

Never a shell string. A program that is missing, fails or takes too long becomes an exception that
says which program, and what it said last.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from errpath.errors import InfrastructureError, ToolMissingError
from errpath.util.deadline import Deadline

__all__ = [
    "PACKAGES",
    "Completed",
    "ProgramError",
    "find_program",
    "last_line",
    "program_path",
    "run",
]

# Debian package that brings each host program.
PACKAGES: Mapping[str, str] = {
    "addr2line": "binutils",
    "apt-cache": "apt",
    "apt-get": "apt",
    "bc": "bc",
    "bison": "bison",
    "cp": "coreutils",
    "dpkg-deb": "dpkg",
    "dpkg": "dpkg",
    "flex": "flex",
    "gcc": "gcc",
    "gdb": "gdb",
    "git": "git",
    "ld": "binutils",
    "make": "make",
    "mksquashfs": "squashfs-tools",
    "mmdebstrap": "mmdebstrap",
    "objcopy": "binutils",
    "objdump": "binutils",
    "patch": "patch",
    "perl": "perl",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "spatch": "coccinelle",
    "tar": "tar",
    "xz": "xz-utils",
    "zstd": "zstd",
}


# How often `tick` is called, in seconds.
_LOG = logging.getLogger(__name__)

_TICK_SECONDS = 0.5
_SBIN = ("/usr/sbin", "/sbin")


@dataclass(frozen=True)
class Completed:
    """A program that has ended."""

    argv: tuple[str, ...]
    returncode: int
    # Standard output and standard error, as bytes; stderr is empty where it was merged or logged.
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 are replaced."""
        return self.stdout.decode(errors="replace")


class ProgramError(InfrastructureError):
    """A host program failed. `completed` holds what it printed."""

    def __init__(self, message: str, completed: Completed) -> None:
        super().__init__(message)
        self.completed = completed


def program_path(name: str, *directories: str) -> str | None:
    """The path of a program on PATH, in the directories of system administration programs (which
    are often not on a user's own PATH), or in one of `directories`; None where it is in none."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SBIN, *directories))
    return shutil.which(name, path=path)


def find_program(name: str) -> str:
    """The absolute path of a host program.

    Raises:
        ToolMissingError: it is not on PATH; the text names the Debian package where known.
    """
    path = program_path(name)
    if path is None:
        package = PACKAGES.get(name)
        hint = f" (Debian package {package}; `errpath doctor --install` installs it)"
        raise ToolMissingError(f"{name}: not found on PATH{hint if package else ''}")
    return path


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    log: Path | None = None,
    deadline: Deadline | None = None,
    check: bool = True,
    pass_fds: Sequence[int] = (),
    tick: Callable[[], None] | None = None,
    user: int | None = None,
) -> Completed:
    """Run a program to its end and return what it printed.

    `env` is added to the environment. With `log`, standard output and error are appended to that
    file instead of being returned. The program gets a process group of its own, which is killed as
    a whole when the deadline passes or the caller is interrupted: nothing is left running.
    `pass_fds` stay open in the program (a lock that must outlive this process); `tick` is called
    twice a second while the program runs. With `user`, which root alone can give, it has that
    user's and group's identity and no other group's.

    Raises:
        ToolMissingError: the program is not installed.
        InfrastructureError: it cannot be started.
        ProgramError: it failed (with `check`) or overran `deadline`.
    """
    name = str(argv[0])
    words = [name if "/" in name else find_program(name), *(str(word) for word in argv[1:])]
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(log.open("ab")) if log is not None else None
        try:
            child = subprocess.Popen(
                words,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=stack.enter_context(_input(stdin)) if stdin else subprocess.DEVNULL,
                stdout=sink or subprocess.PIPE,
                stderr=subprocess.STDOUT if sink else subprocess.PIPE,
                start_new_session=True,
                pass_fds=pass_fds,
                user=user,
                group=user,
                extra_groups=None if user is None else (),
            )
        except OSError as error:
            what = "; expected a program" if error.filename in (None, words[0]) else ""
            raise InfrastructureError(
                f"{name}: {error.strerror}: {error.filename or name}{what}"
            ) from None
        try:
            out, err = _communicate(child, deadline, tick)
        except subprocess.TimeoutExpired:
            out, err = _kill_group(child)
            done = Completed(tuple(words), -signal.SIGKILL, out, err)
            printed = f"; see {log}" if log else f"; its last words: {_last_words(done)}"
            raise ProgramError(f"{name}: timed out waiting for {deadline}{printed}", done) from None
        except BaseException:
            _kill_group(child)
            raise
    done = Completed(tuple(words), child.returncode, out or b"", err or b"")
    _LOG.debug("status %d after %.2f s: %s", done.returncode, time.monotonic() - began, words)
    if check and done.returncode != 0:
        where = f"; see {log}" if log else f": {_last_words(done)}"
        raise ProgramError(f"{name}: failed with status {done.returncode}{where}", done)
    return done


def _input(data: bytes) -> BinaryIO:
    """Standard input as a file in memory: a pipe would have to be fed between the ticks."""
    file = os.fdopen(os.memfd_create("stdin"), "w+b")
    file.write(data)
    file.seek(0)
    return file


def _communicate(
    child: subprocess.Popen[bytes],
    deadline: Deadline | None,
    tick: Callable[[], None] | None,
) -> tuple[bytes | None, bytes | None]:
    if tick is None:
        return child.communicate(timeout=deadline.remaining if deadline else None)
    while True:
        tick()
        left = deadline.remaining if deadline else _TICK_SECONDS
        try:
            return child.communicate(timeout=min(_TICK_SECONDS, left))
        except subprocess.TimeoutExpired:
            if deadline is not None and deadline.expired:
                raise


def _kill_group(child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """End a program with all that it started; what it had printed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    out = err = None
    # Whoever left the group may still hold the pipes.
    with contextlib.suppress(subprocess.TimeoutExpired, ValueError):
        out, err = child.communicate(timeout=_TICK_SECONDS)
    for pipe in (child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
    return out or b"", err or b""


def _last_words(done: Completed) -> str:
    return last_line((done.stderr or done.stdout).decode(errors="replace"))


def last_line(text: str) -> str:
    """What a program printed last, for an error's line."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
