"""A hunt over simulated guests: what a check that sees nothing costs, and what is told once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.deadline import Deadline
from harness.guest.channel import Reply
from harness.hunt import Hunt, Prey
from harness.images.catalogue import base_image
from harness.images.mutant import Mutant
from harness.knownissues import KnownIssue
from harness.progress import silent
from harness.verdict import Status
from suites.selftest.core.simguest import SimChannel, World

_BASE = base_image("hfs")
_FRAMES = ("__kmalloc_cache_noprof+0x1/0x2", "hfs_btree_open+0x1f/0x90 [hfs]")
# No guest goes blind after so many cases.
_NEVER = 1000


class _Guests:
    """Guests that refuse every image, in which some images leak, and which go blind."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory, on_boot=self._prepare)
        # Cases in one guest behind which its leak check finds nothing any more.
        self.blind_after = _NEVER
        # Offsets of changes with which an image leaks.
        self.leaking: set[int] = set()

    def _prepare(self, channel: SimChannel, number: int) -> None:
        answer, ran = channel.call, 0

        def call(
            verb: str, arguments: Mapping[str, Any], *, blob: bytes, deadline: Deadline
        ) -> Reply:
            nonlocal ran
            if verb == "image.put":
                return Reply({}, b"")
            reply = answer(verb, arguments, blob=blob, deadline=deadline)
            if verb != "case.run":
                return reply
            ran += 1
            channel.model.sheaves = ran > self.blind_after
            if arguments["device"]["extents"][0][0] in self.leaking:
                channel.model.leak(96, arguments["name"], reply.values["pid"], _FRAMES)
            steps = [{"errno": 22, "syscall": "mount", "log": ""}]
            return Reply({**reply.values, "steps": steps}, b"")

        channel.call = call  # type: ignore[method-assign]

    def hunt(self, *known: KnownIssue) -> Hunt:
        return Hunt("hfs", self.world.boot, known, silent())


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[_Guests]:
    made = _Guests(tmp_path)
    yield made
    assert made.world.open == 0


def _preys(count: int) -> list[Prey]:
    """Mutants whose only change is at 0, 512, 1024, …"""
    return [Prey(Mutant(_BASE, ((512 * number, b"mutant"),))) for number in range(count)]


def test_what_is_harmless_takes_two_guests(guests: _Guests) -> None:
    hunt = guests.hunt()
    assert hunt.run(_preys(8)) == []
    assert (hunt.tried, hunt.mounted, hunt.unjudged, hunt.again) == (8, 0, [], 0)
    # One for the first pass, and one for the batch with its leak check.
    assert guests.world.boots == 2


def test_a_blind_check_is_made_again_over_two_halves(guests: _Guests) -> None:
    guests.blind_after = 5
    hunt = guests.hunt()
    assert hunt.run(_preys(8)) == []
    assert (hunt.tried, hunt.unjudged) == (8, [])
    # The whole batch was not judged; its halves of four were, each in a guest of its own.
    assert guests.world.boots == 4


def test_a_leak_in_a_batch_that_was_halved_is_its_mutants(guests: _Guests) -> None:
    guests.blind_after = 5
    guests.leaking = {512 * 6}
    hunt = guests.hunt()
    preys = _preys(8)
    (trophy,) = hunt.run(preys)
    assert trophy.prey == preys[6]
    assert trophy.verdict.status is Status.FAIL
    assert trophy.verdict.leak is not None
    assert trophy.verdict.leak.confirmed == 2
    assert (hunt.tried, hunt.unjudged) == (8, [])
    assert f"errpath images write '@{preys[6].mutant.blob}' FILE" in str(trophy)


def test_halves_that_are_blind_too_are_not_judged(guests: _Guests) -> None:
    """A leak among them is no finding: nothing is told without a check that saw its canary."""
    guests.blind_after = 3
    guests.leaking = {0}
    hunt = guests.hunt()
    assert hunt.run(_preys(8)) == []
    assert len(hunt.unjudged) == 8
    assert all("canary" in reason for reason in hunt.unjudged)
    # Halved once, and no further.
    assert guests.world.boots == 4


def test_one_mutant_is_not_halved(guests: _Guests) -> None:
    guests.blind_after = 0
    hunt = guests.hunt()
    assert hunt.run(_preys(1)) == []
    assert len(hunt.unjudged) == 1
    assert guests.world.boots == 2


def test_one_of_each_kind_is_told_however_long_it_goes_on(guests: _Guests) -> None:
    guests.leaking = {512 * 1, 512 * 3}
    hunt = guests.hunt()
    assert len(hunt.run(_preys(4))) == 1
    assert hunt.again == 1
    assert hunt.run(_preys(4)) == []
    assert hunt.again == 3


def test_what_a_report_explains_is_counted(guests: _Guests) -> None:
    guests.leaking = {512 * 1, 512 * 3}
    hunt = guests.hunt(KnownIssue("known-leak", "leak", "hfs_btree_open"))
    assert hunt.run(_preys(4)) == []
    assert hunt.seen == {"known-leak": 2}


def test_a_trophy_tells_the_fields_that_are_changed(guests: _Guests) -> None:
    guests.leaking = {1024}
    (trophy,) = guests.hunt().run([Prey(Mutant(_BASE, ((1024, b"xx"),)))])
    assert "! drSigWord = 0x7878 ('xx'), was 0x4244 ('BD')" in str(trophy)
