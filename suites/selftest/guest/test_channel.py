"""The framed channel against an agent in a thread: whole, in pieces, wrong, late, gone."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.errors import InfrastructureError
from errpath.guest.channel import AgentError, ChannelClosedError, SocketChannel
from errpath.util.deadline import Deadline

Agent = Callable[[socket.socket], None]


def _frame(values: object, blob: bytes = b"") -> bytes:
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    return struct.pack(">II", len(text), len(blob)) + text + blob


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _take(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """One request, as the agent reads it."""
    text_size, blob_size = struct.unpack(">II", _exactly(connection, 8))
    return json.loads(_exactly(connection, text_size)), _exactly(connection, blob_size)


@contextmanager
def _agent(work: Agent) -> Iterator[SocketChannel]:
    """A channel to an agent that does `work`; what goes wrong there is raised here."""
    host, guest = socket.socketpair()
    problems: list[BaseException] = []

    def run() -> None:
        try:
            with guest:
                work(guest)
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    channel = SocketChannel(host)
    try:
        yield channel
    finally:
        channel.close()
        thread.join(10)
    assert not thread.is_alive()
    if problems:
        raise problems[0]


def _soon() -> Deadline:
    return Deadline.after(10, "the agent")


def _answer(*frames: bytes) -> Agent:
    """Take one request, send these bytes, and wait for the host to close."""

    def work(connection: socket.socket) -> None:
        _take(connection)
        for frame in frames:
            connection.sendall(frame)
        connection.recv(1)

    return work


def _call(channel: SocketChannel, deadline: Deadline | None = None) -> Any:
    return channel.call("verb", {}, blob=b"", deadline=deadline or _soon())


def test_requests_and_replies() -> None:
    seen = []

    def work(connection: socket.socket) -> None:
        for _ in range(2):
            request, blob = _take(connection)
            seen.append((request, blob))
            connection.sendall(_frame({"id": request["id"], "ok": True, "n": 7}, blob[::-1]))

    with _agent(work) as channel:
        reply = channel.call("file.write", {"path": "/x"}, blob=b"abc", deadline=_soon())
        assert reply.values["n"] == 7
        assert reply.blob == b"cba"
        assert channel.call("sleep", {"ms": 1}, blob=b"", deadline=_soon()).blob == b""
    assert seen == [
        ({"id": 1, "verb": "file.write", "path": "/x"}, b"abc"),
        ({"id": 2, "verb": "sleep", "ms": 1}, b""),
    ]


_JSON = st.dictionaries(
    st.text().filter(lambda key: key not in ("id", "verb", "error")),
    st.text() | st.integers() | st.lists(st.booleans()),
    max_size=4,
)


@given(arguments=_JSON, results=_JSON, blob=st.binary(max_size=300), out=st.binary(max_size=300))
def test_whatever_is_sent_arrives(
    arguments: dict[str, Any], results: dict[str, Any], blob: bytes, out: bytes
) -> None:
    seen = []

    def work(connection: socket.socket) -> None:
        request, given_blob = _take(connection)
        seen.append((request, given_blob))
        connection.sendall(_frame({"id": request["id"], **results}, out))

    with _agent(work) as channel:
        reply = channel.call("v", arguments, blob=blob, deadline=_soon())
        assert reply.values == {"id": 1, **results}
        assert reply.blob == out
    assert seen == [({"id": 1, "verb": "v", **arguments}, blob)]


def test_a_frame_in_single_bytes() -> None:
    whole = _frame({"id": 1, "x": "ä" * 10}, b"blob")
    with _agent(_answer(*(bytes([byte]) for byte in whole))) as channel:
        assert _call(channel).blob == b"blob"


def test_large_blobs_both_ways() -> None:
    blob = bytes(range(256)) * 20_000

    def work(connection: socket.socket) -> None:
        request, given_blob = _take(connection)
        connection.sendall(_frame({"id": request["id"]}, given_blob))

    with _agent(work) as channel:
        assert channel.call("v", {}, blob=blob, deadline=_soon()).blob == blob


def test_an_error_reply_names_verb_operation_and_errno() -> None:
    frame = _frame({"id": 1, "error": {"errno": 2, "what": "open /x"}})
    with _agent(_answer(frame)) as channel, pytest.raises(AgentError) as caught:
        _call(channel)
    assert str(caught.value) == "agent verb: open /x: No such file or directory"
    assert (caught.value.errno, caught.value.what) == (2, "open /x")
    # The channel is good still: this is no ChannelClosedError.
    assert not isinstance(caught.value, ChannelClosedError)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (_frame({"id": 2}), "agent verb: answer 2 to request 1"),
        (_frame({"ok": True}), "agent verb: answer None to request 1"),
        (_frame(b"{'id': 1}"), "agent: not a JSON frame: b\"{'id': 1}\""),
        (_frame(b""), "agent: not a JSON frame: b''"),
        (_frame(b"\xff\xfe"), "agent: not a JSON frame"),
        (_frame([1]), "agent: not a JSON object: b'[1]'"),
        (_frame({"id": 1, "error": "x"}), "agent verb: an error without a text"),
        (_frame({"id": 1, "error": {"errno": None, "what": 1}}), "agent verb: an error without"),
    ],
)
def test_an_answer_that_makes_no_sense(frame: bytes, message: str) -> None:
    with _agent(_answer(frame)) as channel, pytest.raises(ChannelClosedError) as caught:
        _call(channel)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("sent", [0, 1, 7, 8, 12, 40])
def test_a_guest_that_is_gone_in_the_middle(sent: int) -> None:
    def work(connection: socket.socket) -> None:
        _take(connection)
        connection.sendall(_frame({"id": 1, "text": "x" * 30}, b"blob")[:sent])

    message = "agent: channel closed by the guest"
    with _agent(work) as channel, pytest.raises(ChannelClosedError, match=message):
        _call(channel)


def test_a_guest_that_is_gone_before_the_request() -> None:
    with (
        _agent(lambda connection: None) as channel,
        pytest.raises(ChannelClosedError, match="agent: channel closed"),
    ):
        channel.call("v", {}, blob=b"x" * 5_000_000, deadline=_soon())


@pytest.mark.parametrize("sent", [0, 4, 20])
def test_no_answer_in_time(sent: int) -> None:
    frame = _frame({"id": 1, "text": "x" * 30})[:sent]
    # Long enough for the request to be taken on a busy machine: the answer is what never comes.
    deadline = Deadline.after(0.5, "verb")
    with _agent(_answer(frame)) as channel, pytest.raises(ChannelClosedError) as caught:
        _call(channel, deadline)
    assert str(caught.value) == "agent: timed out waiting for verb (0.5 s)"


def test_time_that_is_up_between_two_looks_at_the_clock() -> None:
    """Not yet expired when asked, nothing left when the socket is told: still a timeout."""
    # Made; asked and told before sending; asked before receiving, and then it is too late.
    readings = iter([0.0, 0.5, 0.5, 0.5])

    def clock() -> float:
        return next(readings, 2.0)

    deadline = Deadline.after(1.0, "verb", clock=clock)
    with _agent(_answer()) as channel, pytest.raises(ChannelClosedError) as caught:
        _call(channel, deadline)
    assert str(caught.value) == "agent: timed out waiting for verb (1 s)"


def test_a_guest_that_takes_nothing_is_given_up() -> None:
    stop = threading.Event()

    def work(_: socket.socket) -> None:
        assert stop.wait(10)

    deadline = Deadline.after(0.2, "verb")
    with _agent(work) as channel:
        with pytest.raises(ChannelClosedError, match="timed out waiting for verb"):
            channel.call("v", {}, blob=b"x" * 50_000_000, deadline=deadline)
        stop.set()


def test_hello() -> None:
    with _agent(lambda c: c.sendall(_frame({"hello": 1, "release": "7.2"}))) as channel:
        assert channel.hello(_soon())["release"] == "7.2"


def test_another_protocol_is_refused() -> None:
    with (
        _agent(lambda c: c.sendall(_frame({"hello": 2}))) as channel,
        pytest.raises(InfrastructureError, match="expected a hello of protocol 1"),
    ):
        channel.hello(_soon())
