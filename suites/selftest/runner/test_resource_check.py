"""Who is blamed for what, over simulated guests: whatever is lost, by whom and how often."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.guest.channel import AgentError, ChannelClosedError, Reply
from errpath.guest.machine import Guest
from errpath.oracles.failure import RESOURCE_LEAK
from errpath.runner.attribution import Clock
from errpath.runner.guests import PreparedGuest
from errpath.runner.resource_check import Findings, check_resources, examine
from errpath.runner.result import Result
from errpath.runner.verdict import Status, Verdict
from errpath.util.deadline import Deadline
from errpath.util.progress import silent
from suites.selftest.runner.fakes import case

NAMES = [f"case-{number:02d}" for number in range(40)]


@dataclass
class Kernel:
    """What cases do to every guest of a test; cases are known by the data of their first step."""

    # References to nls_test that each run of a case keeps.
    references: Mapping[str, int] = field(default_factory=dict)
    # Objects of hfs_test_cache that each run keeps.
    objects: Mapping[str, int] = field(default_factory=dict)
    # Cases after which module hfs does not unload, and that leave a superblock listed.
    stays: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    # A case that takes the guest down when it runs for the second time.
    crashes: str = ""
    # Two cases of which an object is kept where one runs right after the other.
    pair: tuple[str, str] | None = None
    # What the object cache grows by chance, before each ledger.
    noise: tuple[int, ...] = ()
    runs: int = 0
    open: int = 0

    def boot(self) -> PreparedGuest:
        self.open += 1
        return PreparedGuest(Guest(Agent(self)), Path(), modules={"hfs": ("hfs",)})


class Agent:
    """The agent of one guest."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._references = 5
        self._objects = 100
        self._ran: list[str] = []
        self._noise = iter(kernel.noise)

    def hello(self, deadline: Deadline) -> Mapping[str, Any]:
        return {"hello": 1, "release": "fake"}

    def call(
        self, verb: str, arguments: Mapping[str, Any], *, blob: bytes, deadline: Deadline
    ) -> Reply:
        if verb == "case.run":
            return self._run(arguments["steps"][0]["data"])
        if verb == "file.read":
            return Reply({}, self._file(str(arguments["path"])).encode())
        if verb == "quiesce":
            self._objects += next(self._noise, 0)
        stays = self._kernel.stays & set(self._ran)
        if verb == "module.unload" and arguments["name"] == "hfs" and stays:
            raise AgentError(verb, errno.EWOULDBLOCK, "hfs")
        return Reply({}, b"")

    def _run(self, name: str) -> Reply:
        kernel = self._kernel
        kernel.runs += 1
        if name == kernel.crashes and name in self._ran:
            raise ChannelClosedError("agent: channel closed by the guest")
        if kernel.pair is not None and [*self._ran[-1:], name] == list(kernel.pair):
            self._objects += 1
        self._ran.append(name)
        self._references += kernel.references.get(name, 0)
        self._objects += kernel.objects.get(name, 0)
        step = {"errno": 0, "syscall": "mount", "log": ""}
        return Reply({"pid": 100, "steps": [step], "device_errno": 0}, b"")

    def _file(self, path: str) -> str:
        if path == "/proc/slabinfo":
            return f"version\n# names\nhfs_test_cache {self._objects} 200 64 8 1\n"
        if path == "/proc/modules":
            return f"hfs 4096 0 - Live 0x0\nnls_test 4096 {self._references} - Live 0x0\n"
        if path == "/sys/kernel/debug/errpath_supers":
            listed = self._kernel.listed & set(self._ran)
            return "tmpfs tmpfs active\n" + "hfs loop0 dead\n" * bool(listed)
        if path in ("/proc/vmallocinfo", "/proc/zoneinfo"):
            return ""
        raise AgentError("file.read", errno.ENOENT, path)

    def close(self) -> None:
        self._kernel.open -= 1


def _examine(
    kernel: Kernel, *, names: Sequence[str] = NAMES, clock: Clock = time.monotonic
) -> Findings:
    findings = examine(kernel.boot, [case(name) for name in names], silent(), clock=clock)
    assert kernel.open == 0, "a guest was left running"
    return findings


LOSERS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3), max_size=8)


@given(references=LOSERS, objects=LOSERS)
def test_each_loss_is_blamed_on_its_case_and_on_no_other(
    references: dict[str, int], objects: dict[str, int]
) -> None:
    findings = _examine(Kernel(references, objects))
    found = {
        name: {str(loss.holding): loss.more // loss.repeats for loss in losses}
        for name, losses in findings.losses.items()
    }
    expected: dict[str, dict[str, int]] = {name: {} for name in {*references, *objects}}
    for name, count in references.items():
        expected[name]["module references: nls_test"] = count
    for name, count in objects.items():
        expected[name]["slab objects: hfs_test_cache"] = count
    assert found == expected
    assert (dict(findings.remains), findings.together) == ({}, ())


@pytest.mark.parametrize("count", [1, 20])
def test_slow_cases_are_tried_one_by_one(count: int) -> None:
    """Halving runs every case at each of its levels; here a run takes longer than any ledger."""
    objects = dict.fromkeys(NAMES[:count], 1)
    halved, tried = Kernel(objects=objects), Kernel(objects=objects)
    findings = _examine(halved, clock=lambda: 0.0)
    assert _examine(tried, clock=lambda: 10.0 * tried.runs) == findings
    assert set(findings.losses) == set(objects)
    assert tried.runs < halved.runs


def test_a_large_loss_needs_few_repeats() -> None:
    kernel = Kernel(objects={"case-05": 9, "case-06": 1})
    findings = _examine(kernel)
    told = {name: [loss.repeats for loss in losses] for name, losses in findings.losses.items()}
    assert told == {"case-05": [2], "case-06": [24]}


def test_where_nothing_is_lost_each_case_runs_three_times() -> None:
    kernel = Kernel()
    assert _examine(kernel) == Findings({}, {})
    assert kernel.runs == 3 * len(NAMES)


@given(noise=st.lists(st.integers(-2, 2), max_size=12))
def test_chance_convicts_nobody(noise: list[int]) -> None:
    findings = _examine(Kernel(noise=tuple(noise)))
    assert dict(findings.losses) == {}


@given(stays=st.sampled_from(NAMES))
def test_a_module_that_stays_is_blamed_on_its_case(stays: str) -> None:
    findings = _examine(Kernel(stays=frozenset({stays})))
    ((ids, left),) = findings.remains.items()
    assert ids == (stays,)
    assert left[0].title == "module hfs does not unload"


def test_a_superblock_that_is_listed_once_is_blamed_on_its_case() -> None:
    findings = _examine(Kernel(listed=frozenset({"case-17"})))
    ((ids, left),) = findings.remains.items()
    assert ids == ("case-17",)
    assert [failure.line for failure in left] == ["superblock of hfs still listed (loop0, dead)"]


def test_what_remains_is_looked_for_beside_what_grows() -> None:
    findings = _examine(Kernel({"case-03": 1}, stays=frozenset({"case-30"})))
    assert set(findings.losses) == {"case-03"}
    assert set(findings.remains) == {("case-30",)}


def test_what_no_case_loses_alone_is_told() -> None:
    findings = _examine(Kernel(pair=("case-08", "case-09")))
    assert dict(findings.losses) == {}
    assert [str(loss.holding) for loss in findings.together] == ["slab objects: hfs_test_cache"]


def _results(status: Status) -> dict[str, Result]:
    return {name: Result(Verdict(case(name), status)) for name in NAMES[:4]}


def test_a_pass_that_loses_is_a_failure_and_says_what() -> None:
    kernel = Kernel({"case-01": 1}, stays=frozenset({"case-02"}))
    judged, together = check_resources(kernel.boot, _results(Status.PASS), silent())
    reasons = {name: result.verdict.reasons for name, result in judged.items()}
    assert reasons["case-01"] == (
        "not given back: module references: nls_test (24 more after 24 repeats)",
    )
    assert reasons["case-02"][0].startswith("module hfs does not unload")
    assert [failure.kind for failure in judged["case-01"].verdict.failures] == [RESOURCE_LEAK]
    assert judged["case-01"].verdict.failures[0].resource == "module references: nls_test"
    assert [judged[name].verdict.status for name in sorted(judged)] == [
        Status.PASS,
        Status.FAIL,
        Status.FAIL,
        Status.PASS,
    ]
    assert together == ()


def test_what_failed_already_is_not_run_again() -> None:
    kernel = Kernel()
    failed = _results(Status.FAIL)
    assert check_resources(kernel.boot, failed, silent()) == (failed, ())
    assert kernel.runs == 0


def test_where_counting_fails_a_pass_is_no_pass() -> None:
    kernel = Kernel(crashes="case-01")
    judged, _ = check_resources(kernel.boot, _results(Status.PASS), silent())
    assert {result.verdict.status for result in judged.values()} == {Status.ERROR}
    assert "could not be counted" in judged["case-00"].verdict.reasons[0]
    assert kernel.open == 0


@pytest.mark.parametrize("count", [1, 2, 65, 200])
def test_any_number_of_cases(count: int) -> None:
    names = [f"one-{number}" for number in range(count)]
    findings = _examine(Kernel(objects={names[-1]: 1}), names=names)
    assert set(findings.losses) == {names[-1]}
