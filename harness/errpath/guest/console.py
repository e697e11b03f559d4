"""The guest's serial console: logged whole from the first byte, and watched all the time."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from pathlib import Path

from errpath.kernel.log import Crash, find_crashes
from errpath.util.deadline import Deadline

__all__ = ["Console"]

# Bytes read at once.
_PIECE = 65536


class Console:
    """Reads the console in a thread of its own, so that a guest never waits for us."""

    def __init__(self, connection: socket.socket, log: Path) -> None:
        self._connection = connection
        self._log = log.open("wb", buffering=0)
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._raw = bytearray()
        # A byte arrives here whenever the console has printed: for those who wait in select().
        self.wakeup, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._thread = threading.Thread(target=self._watch, name="console", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        rest = b""
        # An error: the connection was closed under us, and the console has ended.
        with contextlib.suppress(OSError):
            while data := self._connection.recv(_PIECE):
                self._log_all(data)
                *lines, rest = (rest + data).split(b"\n")
                self._add(data, [line.removesuffix(b"\r") for line in lines])
                self._wake()
        with self._changed:
            self._lines.append(rest.decode(errors="replace"))
            self._ended = True
            self._changed.notify_all()
        self._wake()

    def _log_all(self, data: bytes) -> None:
        # A full disk costs the log; the guest must not wait for it, nor go unwatched.
        with contextlib.suppress(OSError):
            self._log.write(data)

    def _add(self, data: bytes, lines: list[bytes]) -> None:
        with self._changed:
            self._raw += data
            self._lines += [line.decode(errors="replace") for line in lines]
            self._changed.notify_all()

    def _wake(self) -> None:
        # A full pipe has woken its reader already; a closed one has none.
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._waker, b"!")

    def drain_wakeup(self) -> None:
        """Take the bytes that woke us."""
        os.read(self.wakeup, 65536)

    def raw(self) -> bytes:
        """Everything that was printed so far, byte by byte."""
        with self._changed:
            return bytes(self._raw)

    @property
    def text(self) -> str:
        """Everything that was printed so far, line by line."""
        with self._changed:
            return "\n".join(self._lines)

    @property
    def last_line(self) -> str:
        """The last line that is not blank."""
        with self._changed:
            lines = [line for line in self._lines if line.strip()]
        return lines[-1] if lines else "nothing was printed"

    @property
    def ended(self) -> bool:
        """Whether QEMU has closed the console."""
        with self._changed:
            return self._ended

    def crashes(self) -> tuple[Crash, ...]:
        """What the kernel reported about itself on the console so far."""
        return find_crashes(self.text)

    def wait(self, pattern: str, deadline: Deadline) -> re.Match[str] | None:
        """The first match of `pattern` in the text, or None when the guest ends or time is up."""
        wanted = re.compile(pattern)
        with self._changed:
            seen = 0
            while True:
                for line in self._lines[seen:]:
                    found = wanted.search(line)
                    if found:
                        return found
                seen = len(self._lines)
                if self._ended or deadline.expired:
                    return None
                self._changed.wait(deadline.remaining)

    def wait_end(self, deadline: Deadline) -> bool:
        """Whether QEMU closed the console by the deadline."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended, deadline.remaining)

    def send(self, data: bytes) -> None:
        """Type into the console."""
        self._connection.sendall(data)

    def close(self) -> None:
        """Stop watching and let go of everything; more than once does no harm."""
        if self._log.closed:
            return
        # The thread ends first: it must not read from a descriptor that is somebody else's by then.
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)
        self._connection.close()
        self._log.close()
        os.close(self._waker)
        os.close(self.wakeup)
