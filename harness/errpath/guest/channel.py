"""The framed JSON channel to the in-guest agent; guests/agent/agent.h has the format."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from errpath.errors import InfrastructureError
from errpath.guest.host_log import AGENT, HostLog
from errpath.util.deadline import Deadline

__all__ = ["AgentError", "Channel", "ChannelClosedError", "Pipelined", "Reply", "SocketChannel"]

_HEAD = struct.Struct(">II")


class ChannelClosedError(InfrastructureError):
    """The agent's end of the channel is gone, or its answer did not come in time."""


class AgentError(InfrastructureError):
    """The agent could not carry out a verb. `errno` is the guest's, positive."""

    def __init__(self, verb: str, errno: int, what: str) -> None:
        super().__init__(f"agent {verb}: {what}: {os.strerror(errno)}")
        self.errno = errno
        self.what = what


@dataclass(frozen=True)
class Reply:
    """What a verb gave back."""

    values: Mapping[str, Any]
    blob: bytes


class Channel(Protocol):
    """The boundary between host and guest; tests put a fake here."""

    def hello(self, deadline: Deadline) -> Mapping[str, Any]:
        """Wait for the agent's first word; it names the kernel's release."""

    def call(
        self, verb: str, arguments: Mapping[str, Any], *, blob: bytes, deadline: Deadline
    ) -> Reply:
        """Carry out one verb.

        Raises:
            AgentError: the verb failed in the guest.
            ChannelClosedError: no answer by the deadline, or no guest any more.
        """

    def close(self) -> None:
        """Hang up; the guest goes on."""


@runtime_checkable
class Pipelined(Protocol):
    """A channel that takes the next request before it has given the answer to the last."""

    def post(
        self, verb: str, arguments: Mapping[str, Any], *, blob: bytes, deadline: Deadline
    ) -> int:
        """Send a request; the number by which its answer is asked for."""

    def collect(self, number: int, verb: str, deadline: Deadline) -> Reply:
        """The answer to a request; they come in the order of the requests."""


class SocketChannel(Channel, Pipelined):
    """The channel over a connected stream socket."""

    def __init__(self, connection: socket.socket, log: HostLog | None = None) -> None:
        self._socket = connection
        self._last = 0
        self._log = log or HostLog()

    def hello(self, deadline: Deadline) -> Mapping[str, Any]:
        """Wait for the agent's first word.

        Raises:
            InfrastructureError: it is no agent of this protocol.
        """
        values, _ = self._receive(deadline)
        if values.get("hello") != 1:
            raise InfrastructureError(f"agent: got {values!r}; expected a hello of protocol 1")
        return values

    def call(
        self, verb: str, arguments: Mapping[str, Any], *, blob: bytes, deadline: Deadline
    ) -> Reply:
        return self.collect(
            self.post(verb, arguments, blob=blob, deadline=deadline), verb, deadline
        )

    def post(
        self, verb: str, arguments: Mapping[str, Any], *, blob: bytes, deadline: Deadline
    ) -> int:
        self._last += 1
        request = json.dumps({"id": self._last, "verb": verb, **arguments}).encode()
        self._log.sent(AGENT, request, len(blob))
        self._send(_HEAD.pack(len(request), len(blob)) + request, deadline)
        if blob:
            self._send(blob, deadline)
        return self._last

    def collect(self, number: int, verb: str, deadline: Deadline) -> Reply:
        """The answer to a request; they come in the order of the requests.

        Raises:
            AgentError: the verb failed in the guest.
            ChannelClosedError: no answer by the deadline, or to another request.
        """
        values, out = self._receive(deadline)
        if values.get("id") != number:
            raise ChannelClosedError(
                f"agent {verb}: answer {values.get('id')!r} to request {number}"
            )
        if "error" in values:
            raise _agent_error(verb, values["error"])
        return Reply(values, out)

    def close(self) -> None:
        self._socket.close()

    def _send(self, data: bytes, deadline: Deadline) -> None:
        self._wait(deadline)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise ChannelClosedError(f"agent: timed out waiting for {deadline}") from None
        except OSError as error:
            raise ChannelClosedError(f"agent: channel closed ({error.strerror})") from None

    def _receive(self, deadline: Deadline) -> tuple[dict[str, Any], bytes]:
        text_size, blob_size = _HEAD.unpack(self._exactly(_HEAD.size, deadline))
        text = self._exactly(text_size, deadline)
        blob = self._exactly(blob_size, deadline)
        self._log.received(AGENT, text, blob_size)
        try:
            values = json.loads(text)
        except ValueError:
            raise ChannelClosedError(f"agent: not a JSON frame: {text[:60]!r}") from None
        if not isinstance(values, dict):
            raise ChannelClosedError(f"agent: not a JSON object: {text[:60]!r}")
        return values, blob

    def _exactly(self, size: int, deadline: Deadline) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._wait(deadline)
            try:
                part = self._socket.recv(min(size - len(data), 1 << 20))
            except TimeoutError:
                raise ChannelClosedError(f"agent: timed out waiting for {deadline}") from None
            except OSError as error:
                raise ChannelClosedError(f"agent: channel closed ({error.strerror})") from None
            if not part:
                raise ChannelClosedError("agent: channel closed by the guest")
            data += part
        return bytes(data)

    def _wait(self, deadline: Deadline) -> None:
        if deadline.expired:
            raise ChannelClosedError(f"agent: timed out waiting for {deadline}")
        # 0 would mean "do not wait", whose failure reads as a broken channel.
        self._socket.settimeout(max(deadline.remaining, 0.001))


def _agent_error(verb: str, error: object) -> InfrastructureError:
    match error:
        case {"errno": int(errno), "what": str(what)}:
            return AgentError(verb, errno, what)
    return ChannelClosedError(f"agent {verb}: an error without a text: {error!r:.60}")
