"""The few words of QEMU's machine protocol that freezing a guest takes.

A synchronous client over an inherited socket, with a deadline on every wait. (The qemu.qmp library
is asyncio throughout: an event loop in a thread of its own would be larger than this.)
Protocol: QEMU's docs/interop/qmp-spec.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from errpath.errors import InfrastructureError
from errpath.guest.host_log import QMP, HostLog
from errpath.util.deadline import Deadline

__all__ = ["CloneError", "Qmp", "QmpError", "go_on", "save_state"]

# Seconds for a state of some hundred kB to be written or read on a busy machine.
_STATE_SECONDS = 20.0


class CloneError(InfrastructureError):
    """A guest cannot be frozen or cloned here; it can still be booted."""


class QmpError(CloneError):
    """QEMU refused a command, or does not answer any more."""


class Qmp:
    """QEMU's monitor on a connected stream socket."""

    def __init__(self, connection: socket.socket, log: HostLog | None = None) -> None:
        self._socket = connection
        self._log = log or HostLog()
        self._buffer = bytearray()
        self._events: list[dict[str, Any]] = []
        self._ready = False

    def command(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        fds: Sequence[int] = (),
        deadline: Deadline,
    ) -> Any:
        """Have QEMU carry out one command; `fds` travel with it (for `getfd`).

        Raises:
            QmpError: QEMU refused it, closed the monitor, or did not answer by the deadline.
        """
        if not self._ready:
            # The greeting comes first; then the negotiation, of which nothing is wanted.
            self._until(lambda message: "QMP" in message, deadline)
            self._ready = True
            self.command("qmp_capabilities", deadline=deadline)
        request = {"execute": name, **({"arguments": arguments} if arguments else {})}
        line = json.dumps(request).encode() + b"\n"
        self._log.sent(QMP, line)
        try:
            self._socket.settimeout(max(deadline.remaining, 0.001))
            socket.send_fds(self._socket, [line], list(fds))
        except OSError as error:
            raise QmpError(f"QEMU: {name}: monitor closed ({error})") from None
        reply = self._until(lambda message: "return" in message or "error" in message, deadline)
        if "error" in reply:
            raise QmpError(f"QEMU: {name}: {reply['error'].get('desc', 'refused')}")
        return reply["return"]

    def wait_event(
        self, name: str, accept: Callable[[Mapping[str, Any]], bool], deadline: Deadline
    ) -> Mapping[str, Any]:
        """The data of the first event of that name that `accept` takes; earlier ones count."""

        def wanted(message: Mapping[str, Any]) -> bool:
            return message.get("event") == name and accept(message.get("data", {}))

        for message in self._events:
            if wanted(message):
                break
        else:
            message = self._until(wanted, deadline)
        self._events.clear()
        data: Mapping[str, Any] = message.get("data", {})
        return data

    def close(self) -> None:
        """Hang up; QEMU goes on."""
        self._socket.close()

    def _until(
        self, wanted: Callable[[Mapping[str, Any]], bool], deadline: Deadline
    ) -> dict[str, Any]:
        while True:
            message = self._next(deadline)
            if wanted(message):
                return message
            if "event" in message:
                self._events.append(message)

    def _next(self, deadline: Deadline) -> dict[str, Any]:
        """The next message; each is one line."""
        while b"\n" not in self._buffer:
            if deadline.expired:
                raise QmpError(f"QEMU: monitor: timed out waiting for {deadline}")
            self._socket.settimeout(deadline.remaining)
            try:
                part = self._socket.recv(65536)
            except TimeoutError:
                raise QmpError(f"QEMU: monitor: timed out waiting for {deadline}") from None
            except OSError as error:
                raise QmpError(f"QEMU: monitor: closed ({error})") from None
            if not part:
                raise QmpError("QEMU: monitor: closed")
            self._buffer += part
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        self._log.received(QMP, line)
        message = json.loads(line)
        if not isinstance(message, dict):
            raise QmpError(f"QEMU: monitor: not a JSON object: {line[:60]!r}")
        return message


def save_state(monitor: Qmp, state_fd: int) -> None:
    """Stop the guest and write all of its state but RAM to `state_fd`.

    Raises:
        QmpError: a device cannot be saved.
    """
    deadline = Deadline.after(_STATE_SECONDS, "the guest's state to be written")
    monitor.command("stop", deadline=deadline)
    _migrate(monitor, "migrate", state_fd, deadline)


def go_on(monitor: Qmp, state_fd: int) -> None:
    """Load a state that `save_state` wrote, into a QEMU that waits for one, and run.

    Raises:
        QmpError: the state is damaged or is another machine's.
    """
    deadline = Deadline.after(_STATE_SECONDS, "a frozen guest's state to be read")
    _migrate(monitor, "migrate-incoming", state_fd, deadline)
    monitor.command("cont", deadline=deadline)


def _migrate(monitor: Qmp, command: str, state_fd: int, deadline: Deadline) -> None:
    # x-ignore-shared: RAM does not travel, its file is the guest's RAM on either side.
    capabilities = [{"capability": name, "state": True} for name in ("events", "x-ignore-shared")]
    monitor.command("migrate-set-capabilities", {"capabilities": capabilities}, deadline=deadline)
    monitor.command("getfd", {"fdname": "state"}, fds=[state_fd], deadline=deadline)
    monitor.command(command, {"uri": "fd:state"}, deadline=deadline)
    ended = monitor.wait_event(
        "MIGRATION", lambda data: data["status"] in ("completed", "failed"), deadline
    )
    if ended["status"] != "completed":
        raise QmpError(f"QEMU: {command}: the state was not transferred")
