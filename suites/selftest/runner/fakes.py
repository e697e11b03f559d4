"""A guest and a machine of a few lines, for tests that need no QEMU."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount
from errpath.guest.channel import AgentError, ChannelClosedError, Reply
from errpath.guest.machine import Guest
from errpath.oracles import canary
from errpath.oracles.kmemleak import CallSite, LeakGuest, Record
from errpath.runner.guests import PreparedGuest
from errpath.util.deadline import Deadline

__all__ = ["FakeChannel", "FakeMonitor", "Lab", "case", "record"]


def case(name: str) -> MountCase:
    """A case without device and fault."""
    return MountCase(name, "hfs", Device(), (Mount("hfs", options=name),))


def record(
    task: str, pid: int, *, function: str = "hfs_init_fs_context", size: int = 512
) -> Record:
    """What kmemleak would say of an object that `task` lost."""
    return Record(
        0xFFFF888000001000 + pid, size, task, pid, 1, (CallSite(function, 1, None),), "raw"
    )


@dataclass
class Lab:
    """What all fake guests of a test have in common: which cases do what."""

    # Ids by what they do to a guest.
    crash: frozenset[str] = frozenset()
    leak: frozenset[str] = frozenset()
    hang: frozenset[str] = frozenset()
    # Leaks of a worker thread: no task's name on the record.
    stray: frozenset[str] = frozenset()
    # Whether the leak check sees its canary.
    sees: bool = True
    # (guest number, case id) of all that ran, in order.
    ran: list[tuple[int, str]] = field(default_factory=list)
    boots: int = 0
    closed: int = 0

    def boot(self) -> PreparedGuest:
        self.boots += 1
        channel = FakeChannel(self, self.boots)
        return PreparedGuest(Guest(channel), Path(), check=channel.check)


class FakeChannel:
    """The agent of one fake guest. A case is known by the data of its first step."""

    def __init__(self, lab: Lab, number: int) -> None:
        self._lab = lab
        self._number = number
        self._pid = 100
        self._dead = False
        self._found: list[Record] = []

    def hello(self, deadline: Deadline) -> Mapping[str, Any]:
        return {"hello": 1, "release": "fake"}

    def call(
        self, verb: str, arguments: Mapping[str, Any], *, blob: bytes, deadline: Deadline
    ) -> Reply:
        if self._dead:
            raise ChannelClosedError("agent: channel closed by the guest")
        if verb == "case.run":
            return self._run(arguments)
        path = arguments.get("path", "")
        if verb == "file.read" and path == canary.CANARY_FILE:
            return Reply({}, b"64\n")
        if verb == "file.read" and path.startswith("/sys/kernel/tracing"):
            return Reply({}, b"")
        if verb == "file.write" and blob == b"plant" and self._lab.sees:
            self._found.append(record("canary", 1, function="errpath_canary_plant", size=64))
        if verb == "file.write" and blob == b"clear":
            self._found.clear()
        if verb in ("file.write", "quiesce", "sleep"):
            return Reply({}, b"")
        raise AgentError(verb, errno.ENOSYS, "fake")

    def _run(self, arguments: Mapping[str, Any]) -> Reply:
        name = arguments["steps"][0]["data"]
        self._pid += 1
        self._lab.ran.append((self._number, name))
        if name in self._lab.crash:
            self._dead = True
            raise ChannelClosedError("agent: channel closed by the guest")
        if name in self._lab.leak:
            self._found.append(record(arguments["name"], self._pid))
        if name in self._lab.stray:
            self._found.append(record("kworker/0:1", 9, function="some_work"))
        if name in self._lab.hang:
            return Reply({"pid": self._pid, "hung": True, "stack": "wait_on_bit"}, b"")
        step = {"errno": 0, "syscall": "mount", "log": ""}
        return Reply({"pid": self._pid, "steps": [step], "device_errno": 0}, b"")

    def check(self, guest: LeakGuest) -> tuple[Record, ...]:
        return tuple(self._found)

    def close(self) -> None:
        self._lab.closed += 1


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
