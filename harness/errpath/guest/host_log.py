"""The host's side of a guest: every exchange with its agent and with QEMU, and when.

Each exchange goes to a logger (`errpath.guest.agent`, `errpath.guest.qmp`, level DEBUG), and the
last of them to host.log among the guest's artefacts. What is kept is the text that was sent or
received, cut short: nothing is formatted before it is read.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

__all__ = ["AGENT", "QMP", "HostLog"]

AGENT = logging.getLogger("errpath.guest.agent")
QMP = logging.getLogger("errpath.guest.qmp")

# Exchanges that are kept, and bytes of each: a batch of cases has two for each case.
_KEPT = 2000
_BYTES_MAX = 500

SENT, RECEIVED = ">", "<"


class HostLog:
    """The exchanges with one guest. Used by one thread at a time, as the guest itself."""

    def __init__(self, name: str = "guest", path: Path | None = None) -> None:
        """`name` is the guest's in the loggers; `path` is where `write` puts the last of it."""
        self._name = name
        self._path = path
        self._began = time.monotonic()
        self._clock = time.time()
        self._dropped = 0
        # Monotonic seconds, last part of the logger's name, direction, text, bytes of the blob.
        self._kept: deque[tuple[float, str, str, bytes, int]] = deque(maxlen=_KEPT)

    def sent(self, logger: logging.Logger, text: bytes, blob: int = 0) -> None:
        """Note a request, with the size of what went with it in bytes."""
        self._note(logger, SENT, text, blob)

    def received(self, logger: logging.Logger, text: bytes, blob: int = 0) -> None:
        """Note an answer, an event or a greeting."""
        self._note(logger, RECEIVED, text, blob)

    def _note(self, logger: logging.Logger, way: str, text: bytes, blob: int) -> None:
        self._dropped += len(self._kept) == _KEPT
        self._kept.append((time.monotonic(), logger.name, way, text[:_BYTES_MAX], blob))
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s %s %s", self._name, way, _shown(text, blob))

    def lines(self) -> Iterator[str]:
        """What is kept: time of day, seconds since the guest was started, peer, direction, text."""
        if self._dropped:
            yield f"({self._dropped} earlier exchanges were dropped)"
        for at, logger, way, text, blob in self._kept:
            since = at - self._began
            day = time.strftime("%H:%M:%S", time.localtime(self._clock + since))
            peer = logger.rpartition(".")[2]
            yield f"{day} {since:11.6f} {peer:<5} {way} {_shown(text, blob)}"

    def write(self) -> None:
        """Write host.log. A disk that is full must not keep a guest from being ended."""
        if self._path is None:
            return
        try:
            self._path.write_text("".join(f"{line}\n" for line in self.lines()))
        except FileNotFoundError:
            # Whoever did not want the artefacts has removed their directory.
            pass
        except OSError as error:
            AGENT.warning("%s: %s", self._path, error.strerror)


def _shown(text: bytes, blob: int) -> str:
    cut = "…" if len(text) >= _BYTES_MAX else ""
    more = f" and {blob} bytes" if blob else ""
    return f"{text[:_BYTES_MAX].decode(errors='replace').rstrip()}{cut}{more}"
