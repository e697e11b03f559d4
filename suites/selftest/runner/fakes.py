"""QEMU's monitor and a record of kmemleak, for tests that need no QEMU."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from errpath.oracles.kmemleak import CallSite, Record

__all__ = ["FakeMonitor", "record"]


def record(
    task: str, pid: int, *, function: str = "hfs_init_fs_context", size: int = 512
) -> Record:
    """What kmemleak would say of an object that `task` lost."""
    return Record(
        0xFFFF888000001000 + pid, size, task, pid, 1, (CallSite(function, 1, None),), "raw"
    )


class FakeMonitor:
    """QEMU's end of a monitor: answers what freezing and thawing ask, in a thread."""

    def __init__(self, *, state: bytes = b"state", status: str = "completed") -> None:
        self.ours, self._theirs = socket.socketpair()
        self._state = state
        self._status = status
        self.commands: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError), self._theirs:
            self._send({"QMP": {"version": {}}})
            for request, fds in self._requests():
                name = request["execute"]
                self.commands.append(name)
                if name == "refuse":
                    self._send({"error": {"class": "GenericError", "desc": "no such thing"}})
                    continue
                if name == "getfd":
                    self._target = fds[0]
                self._send({"event": "NOISE", "data": {}})
                self._send({"return": {}})
                if name == "migrate":
                    os.write(self._target, self._state)
                if name.startswith("migrate") and "set" not in name:
                    self._send({"event": "MIGRATION", "data": {"status": "active"}})
                    self._send({"event": "MIGRATION", "data": {"status": self._status}})

    def _requests(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        buffer = b""
        while True:
            data, fds, _, _ = socket.recv_fds(self._theirs, 65536, 4)
            if not data:
                return
            buffer += data
            while b"\n" in buffer:
                line, _, buffer = buffer.partition(b"\n")
                yield json.loads(line), list(fds)

    def _send(self, message: Mapping[str, Any]) -> None:
        # In two pieces: a reader must not take a part for the whole.
        line = json.dumps(message).encode() + b"\r\n"
        self._theirs.sendall(line[:5])
        self._theirs.sendall(line[5:])
