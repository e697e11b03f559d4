"""A search over simulated guests: what a check that sees nothing costs, and what is told once."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from errpath.analysis.fuzz import FuzzSearch, MutatedMount
from errpath.images.crafted.catalogue import base_image
from errpath.images.crafted.mutant import Mutant
from errpath.runner.known_issues import FailurePattern, KnownIssue, KnownIssues
from errpath.runner.verdict import Status
from errpath.util.progress import Progress, silent
from suites.selftest.runner.simguest import SimChannel, World

_BASE = base_image("hfs")
_FRAMES = ("__kmalloc_cache_noprof+0x1/0x2", "hfs_btree_open+0x1f/0x90 [hfs]")
# No guest goes blind after so many cases.
_NEVER = 1000


class _Guests:
    """Guests that refuse every image, in which some images leak, and which go blind."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory, on_case=self._answer)
        # Cases in one guest behind which its leak check finds nothing any more.
        self.blind_after = _NEVER
        # Offsets of changes with which an image leaks.
        self.leaking: set[int] = set()
        # Whether mounts write to what they refuse.
        self.writes = False
        # What each case asked for of the code that it runs.
        self.coverage: list[str] = []

    def _answer(
        self, channel: SimChannel, request: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        self.coverage.append(request.get("coverage", ""))
        ran = sum(number == channel.number for _, number in self.world.ran)
        channel.model.sheaves = ran > self.blind_after
        if request["device"]["extents"][0][0] in self.leaking:
            channel.model.leak(96, request["name"], answer["pid"], _FRAMES)
        changed = {"changed": [[4096, 512]]} if self.writes else {}
        return {"steps": [{"errno": 22, "syscall": "mount", "log": ""}], **changed}

    def search(
        self, *known: KnownIssue, progress: Progress | None = None, filesystem: str = "hfs"
    ) -> FuzzSearch:
        progress = progress or silent()
        return FuzzSearch(filesystem, self.world.boot, KnownIssues(known), progress, "microvm")


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[_Guests]:
    made = _Guests(tmp_path)
    yield made
    assert made.world.open == 0


def _mounts(count: int) -> list[MutatedMount]:
    """Mutants whose only change is at 0, 512, 1024, …"""
    return [MutatedMount(Mutant(_BASE, ((512 * number, b"mutant"),))) for number in range(count)]


def test_what_is_harmless_takes_two_guests(guests: _Guests) -> None:
    search = guests.search()
    assert search.run(_mounts(8), 8) == []
    assert (search.tried, search.mounted, search.unjudged, search.again) == (8, 0, [], 0)
    # One for the first pass, and one for the batch with its leak check.
    assert guests.world.boots == 2


def test_a_blind_check_is_made_again_over_two_halves(guests: _Guests) -> None:
    guests.blind_after = 5
    search = guests.search()
    assert search.run(_mounts(8), 8) == []
    assert (search.tried, search.unjudged) == (8, [])
    # The whole batch was not judged; its halves of four were, each in a guest of its own.
    assert guests.world.boots == 4


def test_a_leak_in_a_batch_that_was_halved_is_its_mutants(guests: _Guests) -> None:
    guests.blind_after = 5
    guests.leaking = {512 * 6}
    search = guests.search()
    mounts = _mounts(8)
    (finding,) = search.run(mounts, len(mounts))
    assert finding.mutated == mounts[6]
    assert finding.verdict.status is Status.FAIL
    assert finding.verdict.leak is not None
    assert finding.verdict.leak.confirmed == 2
    assert (search.tried, search.unjudged) == (8, [])
    assert f"errpath images write '@{mounts[6].mutant.blob}' FILE" in str(finding)


def test_the_first_failure_is_said_before_it_is_made_smaller(guests: _Guests) -> None:
    guests.leaking = {512 * 2, 512 * 6}
    said = io.StringIO()
    search = guests.search(progress=Progress(said))
    search.run(_mounts(8), 8)
    (line,) = [line for line in said.getvalue().splitlines() if line.startswith("first failure: ")]
    assert line.startswith("first failure: hfs-mutant-2: memory leak in ")
    assert said.getvalue().index(line) < said.getvalue().index("8 cases: done")


def test_mutants_that_are_blind_alone_are_not_judged(guests: _Guests) -> None:
    """Nothing was found where nothing could be found: that clears no mutant."""
    guests.blind_after = 0
    guests.leaking = {0}
    search = guests.search()
    assert search.run(_mounts(8), 8) == []
    assert len(search.unjudged) == 8
    assert all("canary" in reason for reason in search.unjudged)


def test_one_mutant_is_not_halved(guests: _Guests) -> None:
    guests.blind_after = 0
    search = guests.search()
    assert search.run(_mounts(1), 1) == []
    assert len(search.unjudged) == 1
    assert guests.world.boots == 2


def test_one_of_each_kind_is_told_however_long_it_goes_on(guests: _Guests) -> None:
    guests.leaking = {512 * 1, 512 * 3}
    search = guests.search()
    assert len(search.run(_mounts(4), 4)) == 1
    assert search.again == 1
    assert search.run(_mounts(4), 4) == []
    assert search.again == 3


def test_what_a_report_explains_is_counted(guests: _Guests) -> None:
    guests.leaking = {512 * 1, 512 * 3}
    pattern = FailurePattern("leak", function="hfs_btree_open")
    search = guests.search(KnownIssue("known-leak", "link", ("hfs-mutant-*",), pattern))
    assert search.run(_mounts(4), 4) == []
    assert search.seen == {"known-leak": 2}


def test_what_is_known_of_another_guest_is_new(guests: _Guests) -> None:
    guests.leaking = {512}
    pattern = FailurePattern("leak", function="hfs_btree_open")
    search = guests.search(
        KnownIssue("known-leak", "link", ("hfs-mutant-*",), pattern, guest="kasan")
    )
    assert len(search.run(_mounts(2), 2)) == 1
    assert search.seen == {}


def test_another_failure_is_no_known_one(guests: _Guests) -> None:
    guests.leaking = {512}
    pattern = FailurePattern("leak", function="hfs_mdb_get")
    search = guests.search(KnownIssue("known-leak", "link", ("hfs-mutant-*",), pattern))
    assert len(search.run(_mounts(2), 2)) == 1
    assert search.seen == {}


def test_a_trophy_tells_the_fields_that_are_changed(guests: _Guests) -> None:
    guests.leaking = {1024}
    (finding,) = guests.search().run([MutatedMount(Mutant(_BASE, ((1024, b"xx"),)))], 1)
    assert "! drSigWord = 0x7878 ('xx'), was 0x4244 ('BD')" in str(finding)


@pytest.mark.parametrize(("filesystem", "found"), [("hfs", 1), ("ext4", 0)])
def test_a_changed_volume_counts_where_it_is_known_what_a_mount_may_write(
    guests: _Guests, filesystem: str, found: int
) -> None:
    guests.writes = True
    assert len(guests.search(filesystem=filesystem).run(_mounts(2), 2)) == found


def test_what_code_a_mutant_ran_is_asked_for_once(guests: _Guests) -> None:
    search = guests.search()
    seen: list[MutatedMount] = []
    search.watch = lambda mutated, edges: seen.append(mutated)
    mounts = _mounts(5)
    assert search.run(mounts, len(mounts)) == []
    assert seen == mounts
    # The batch after the first pass looks for leaks alone.
    assert guests.coverage == ["edges"] * 5 + [""] * 5
    guests.coverage.clear()
    assert guests.search().run(mounts, len(mounts)) == []
    assert guests.coverage == [""] * 10


def test_a_mutant_is_made_when_those_before_it_have_run(guests: _Guests) -> None:
    search = guests.search()
    seen: list[MutatedMount] = []
    search.watch = lambda mutated, edges: seen.append(mutated)

    def made() -> Iterator[MutatedMount]:
        for number, mutated in enumerate(_mounts(5)):
            assert len(seen) == number
            yield mutated

    assert search.run(made(), 5) == []
    assert search.tried == 5
