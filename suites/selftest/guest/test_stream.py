"""Requests under way at once, over a real socket to an agent of a few lines."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from errpath.errors import GuestPoisonedError
from errpath.guest.channel import AgentError, Reply, SocketChannel
from errpath.guest.machine import Guest

_HEAD = struct.Struct(">II")


class FakeAgent:
    """Answers in order; refuses what it is told to, and hangs up or is silent where it is told
    to."""

    def __init__(
        self, *, refuse: frozenset[int] = frozenset(), dies_at: int = -1, silent_at: int = -1
    ) -> None:
        self.ours, theirs = socket.socketpair()
        self._refuse = refuse
        self._dies_at = dies_at
        self._silent_at = silent_at
        # Requests that had arrived when each was answered.
        self.seen: list[int] = []
        self._thread = threading.Thread(target=self._serve, args=(theirs,), daemon=True)
        self._thread.start()

    def _serve(self, theirs: socket.socket) -> None:
        # The host may hang up with requests still under way.
        with contextlib.suppress(OSError), theirs, theirs.makefile("rb") as stream:
            while head := stream.read(_HEAD.size):
                size, blob = _HEAD.unpack(head)
                request = json.loads(stream.read(size))
                stream.read(blob)
                number = request.get("number", -2)
                if number == self._dies_at:
                    return
                self.seen.append(number)
                if number == self._silent_at:
                    continue
                reply: dict[str, Any] = {"id": request["id"]}
                if number in self._refuse:
                    reply["error"] = {"errno": 22, "what": "told to"}
                else:
                    reply["number"] = number
                text = json.dumps(reply).encode()
                theirs.sendall(_HEAD.pack(len(text), 0) + text)


def _numbers(count: int) -> Iterator[tuple[dict[str, int], float, bytes]]:
    for number in range(count):
        yield {"number": number}, 10.0, b""


def _values(replies: Iterator[Reply | AgentError]) -> list[int | str]:
    return [
        str(reply) if isinstance(reply, AgentError) else int(reply.values["number"])
        for reply in replies
    ]


@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_answers_come_in_order(count: int) -> None:
    guest = Guest(SocketChannel(FakeAgent().ours))
    assert _values(guest.stream("count", _numbers(count))) == list(range(count))
    # The line is clear again for any other verb.
    assert guest.call("ping").values["number"] == -2
    guest.close()


def test_a_refusal_stands_in_its_place() -> None:
    guest = Guest(SocketChannel(FakeAgent(refuse=frozenset({2})).ours))
    found = _values(guest.stream("count", _numbers(5)))
    assert found[:2] + found[3:] == [0, 1, 3, 4]
    assert "told to" in str(found[2])
    assert guest.poisoned is None
    guest.close()


def test_the_request_that_killed_the_guest_is_the_one_that_raises() -> None:
    guest = Guest(SocketChannel(FakeAgent(dies_at=7).ours))
    replies = guest.stream("count", _numbers(20))
    assert _values(itertools.islice(replies, 7)) == list(range(7))
    with pytest.raises(GuestPoisonedError, match="closed"):
        next(replies)
    with pytest.raises(GuestPoisonedError):
        guest.call("ping")
    guest.close()


def test_all_that_is_asked_has_one_end() -> None:
    """Whatever the single verb may take."""
    guest = Guest(SocketChannel(FakeAgent(silent_at=3).ours))
    guest.end_after(20.0)
    assert _values(guest.stream("count", _numbers(3))) == [0, 1, 2]
    guest.end_after(0.05)
    with pytest.raises(GuestPoisonedError, match="everything that was asked"):
        guest.call("count", {"number": 3}, seconds=600.0)
    guest.close()


def test_requests_under_way_at_the_end() -> None:
    guest = Guest(SocketChannel(FakeAgent(silent_at=3).ours))
    guest.end_after(0.05)
    with pytest.raises(GuestPoisonedError, match="everything that was asked"):
        list(guest.stream("count", [({"number": 3}, 600.0, b"")]))
    guest.close()


def test_not_all_is_sent_at_once() -> None:
    taken = []

    def requests() -> Iterator[tuple[dict[str, int], float, bytes]]:
        for number in range(100):
            taken.append(number)
            yield {"number": number}, 10.0, b""

    guest = Guest(SocketChannel(FakeAgent().ours))
    replies = guest.stream("count", requests())
    next(replies)
    assert len(taken) < 10
    guest.close()
