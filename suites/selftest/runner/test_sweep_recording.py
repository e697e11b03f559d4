"""Recordings of events, with the agent simulated."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from errpath.errors import AbsentError, ErrpathError
from errpath.guest.channel import AgentError, ChannelClosedError, Reply
from errpath.guest.machine import Guest
from errpath.runner.guests import Boot
from errpath.runner.sweep_recording import Recorded, record_events
from errpath.runner.testbed import Testbed
from errpath.util.deadline import Deadline

_CHAIN = "0 - 2 ab12 hfs_fill_super+0x10/0x200 [hfs] get_tree_bdev+0x20/0x40\n"
_HEADER = "struct hfs_mdb { __be16 drSigWord; __be32 drCrDate; } __packed;"


@dataclass
class _Agent:
    """The agent of one guest: answers what a recording asks, or does as it is told."""

    # By event, the errno of the first step of its cases, or what happens instead.
    does: Mapping[str, object]
    cases: list[str] = field(default_factory=list)
    closed: bool = False

    def hello(self, deadline: Deadline) -> Mapping[str, Any]:
        return {}

    def call(
        self, verb: str, arguments: Mapping[str, Any], *, blob: bytes, deadline: Deadline
    ) -> Reply:
        if verb == "file.read":
            state = arguments["path"].endswith("state")
            return Reply({}, b"fired 0 matched 0 lost 0\n" if state else _CHAIN.encode())
        if verb != "case.run":
            return Reply({}, b"")
        size = arguments["device"]["block_size"]
        first = arguments["steps"][0]
        event = f"blocks-{size}" if size else "mount-ro" if "flags" in first else "mount-rw"
        self.cases.append(event)
        what = self.does.get(event, 0)
        if isinstance(what, Exception):
            raise what
        steps = [{"errno": 0, "syscall": "x", "log": ""} for _ in arguments["steps"]]
        values: dict[str, Any] = {"pid": 7, "steps": steps, "status": 0}
        return Reply(values | (what if isinstance(what, dict) else {}), b"")

    def close(self) -> None:
        self.closed = True


class _Bed:
    """Gives guests whose agents do as told, one after another."""

    def __init__(self, *does: Mapping[str, object]) -> None:
        self.agents = [_Agent(one) for one in does]
        self._next = iter(self.agents)
        self.guests = self

    def modules(self, filesystem: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=filesystem)]

    def prepare(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(guest=_guest(next(self._next)))

    @contextmanager
    def symbolizer(self, filesystems: Sequence[str]) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(resolve=lambda *_, **__: [])

    def source(self, path: str) -> str | None:
        return _HEADER if path.endswith("hfs_common.h") else None


def _guest(agent: _Agent) -> Guest:
    class Closing(Guest):
        def close(self) -> None:
            agent.close()

    return Closing(agent)


def _boot(boot: Boot) -> Boot:
    return boot


def _record(bed: _Bed, *events: str, **more: Any) -> dict[str, Recorded | ErrpathError]:
    return record_events(cast(Testbed, bed), _boot, "hfs", events, **more)


def test_events_are_recorded_twice_each_in_one_guest() -> None:
    bed = _Bed({})
    found = _record(bed, "mount-ro", "mount-rw")
    (agent,) = bed.agents
    assert agent.cases == ["mount-ro"] * 2 + ["mount-rw"] * 2
    assert agent.closed
    recorded = found["mount-ro"]
    assert isinstance(recorded, Recorded)
    assert [point.name for point in recorded.points["alloc"][0]] == ["hfs_fill_super"]
    assert [kind for kind, _ in recorded.natural()] == ["alloc"]
    # What costs more is there only for whoever asks.
    assert "image" not in recorded.points


def test_broken_fields_are_the_points_of_a_mount_and_of_nothing_else() -> None:
    found = _record(_Bed({}), "mount-ro", "umount", costly=("image",))
    mount, umount = found["mount-ro"], found["umount"]
    assert isinstance(mount, Recorded)
    assert isinstance(umount, Recorded)
    points, left = mount.points["image"]
    assert left == ()
    assert points[0].name == "drSigWord=0"
    assert points[0].pieces == ((1024, b"\0\0"),)
    assert umount.points["image"][0] == ()
    assert "a mount of its own" in umount.points["image"][1][0].reason


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (ChannelClosedError("gone"), "guest is lost: gone"),
        ({"steps": []}, "expected every step"),
    ],
)
def test_an_event_that_takes_the_guest_down_costs_the_next_a_fresh_one(
    what: object, text: str
) -> None:
    bed = _Bed({"mount-ro": what}, {})
    found = _record(bed, "mount-ro", "mount-rw")
    assert text in str(found["mount-ro"])
    assert isinstance(found["mount-ro"], ErrpathError)
    assert isinstance(found["mount-rw"], Recorded)
    assert [agent.closed for agent in bed.agents] == [True, True]


@pytest.mark.parametrize("what", [{"hung": True}, {"signal": 9}])
def test_a_task_that_dies_behind_what_is_armed_leaves_a_recording_and_no_guest(
    what: object,
) -> None:
    bed = _Bed({"mount-ro": what}, {"mount-ro": what}, {})
    found = _record(bed, "mount-ro", "mount-rw")
    assert isinstance(found["mount-ro"], Recorded)
    assert isinstance(found["mount-rw"], Recorded)
    assert [agent.closed for agent in bed.agents] == [True, True, True]


def test_block_sizes_that_the_kernel_does_not_have_are_absent() -> None:
    refused = AgentError("case.run", errno.EINVAL, "loop device for image hfs")
    bed = _Bed({"blocks-8192": refused, "blocks-2048": refused}, {"blocks-2048": refused})
    found = _record(bed, "blocks-8192", "blocks-2048")
    assert isinstance(found["blocks-8192"], AbsentError)
    assert "CONFIG_TRANSPARENT_HUGEPAGE" in str(found["blocks-8192"])
    # Control: of a size that every kernel has, it is a failure.
    assert isinstance(found["blocks-2048"], AgentError)
