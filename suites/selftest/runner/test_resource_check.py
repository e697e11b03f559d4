"""Who is blamed for what, over simulated guests: whatever is lost, by whom and how often."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.cases.case import MountCase
from errpath.oracles.failure import RESOURCE_LEAK
from errpath.runner.attribution import Clock
from errpath.runner.resource_check import Findings, check_resources, examine
from errpath.runner.result import Result
from errpath.runner.verdict import Status, Verdict
from errpath.util.progress import silent
from suites.selftest.runner.simguest import World, make_case

NAMES = [f"case-{number:02d}" for number in range(40)]
_NOTHING: Mapping[str, int] = {}
_NO_WORDS: Mapping[str, str] = {}


class Kernel:
    """What cases do to every guest of a test, and how often one ran."""

    def __init__(
        self,
        # References to nls_test, and objects of hfs_test_cache, that each run of a case keeps.
        references: Mapping[str, int] = _NOTHING,
        objects: Mapping[str, int] = _NOTHING,
        *,
        # More of what cases do, in the words of simguest, by case.
        does: Mapping[str, str] = _NO_WORDS,
        noise: tuple[int, ...] = (),
    ) -> None:
        self.world = World(noise=noise)
        self._words: dict[str, list[str]] = defaultdict(list)
        for word, counts in (("references", references), ("objects", objects)):
            for name, count in counts.items():
                self._words[name].append(f"{word}={count}")
        for name, words in does.items():
            self._words[name].append(words)

    @property
    def runs(self) -> int:
        return len(self.world.ran)

    def case(self, name: str) -> MountCase:
        words = ",".join((f"id={name}", *self._words[name]))
        return make_case(name, words, expect="", fault="")


def _examine(
    kernel: Kernel, *, names: Sequence[str] = NAMES, clock: Clock = time.monotonic
) -> Findings:
    findings = examine(
        kernel.world.boot, [kernel.case(name) for name in names], silent(), clock=clock
    )
    assert kernel.world.open == 0, "a guest was left running"
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
    findings = _examine(Kernel(does={stays: "stays"}))
    ((ids, left),) = findings.remains.items()
    assert ids == (stays,)
    assert left[0].title == "module hfs does not unload"


def test_a_superblock_that_is_listed_once_is_blamed_on_its_case() -> None:
    findings = _examine(Kernel(does={"case-17": "listed"}))
    ((ids, left),) = findings.remains.items()
    assert ids == ("case-17",)
    assert [failure.line for failure in left] == ["superblock of hfs still listed (loop0, dead)"]


def test_what_remains_is_looked_for_beside_what_grows() -> None:
    findings = _examine(Kernel({"case-03": 1}, does={"case-30": "stays"}))
    assert set(findings.losses) == {"case-03"}
    assert set(findings.remains) == {("case-30",)}


def test_what_no_case_loses_alone_is_told() -> None:
    findings = _examine(Kernel(does={"case-09": "after=case-08"}))
    assert dict(findings.losses) == {}
    assert [str(loss.holding) for loss in findings.together] == ["slab objects: hfs_test_cache"]


def _results(kernel: Kernel, status: Status) -> dict[str, Result]:
    return {name: Result(Verdict(kernel.case(name), status)) for name in NAMES[:4]}


def test_a_pass_that_loses_is_a_failure_and_says_what() -> None:
    kernel = Kernel({"case-01": 1}, does={"case-02": "stays"})
    judged, together = check_resources(kernel.world.boot, _results(kernel, Status.PASS), silent())
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
    failed = _results(kernel, Status.FAIL)
    assert check_resources(kernel.world.boot, failed, silent()) == (failed, ())
    assert kernel.runs == 0


def test_where_counting_fails_a_pass_is_no_pass() -> None:
    kernel = Kernel(does={"case-01": "again"})
    judged, _ = check_resources(kernel.world.boot, _results(kernel, Status.PASS), silent())
    assert {result.verdict.status for result in judged.values()} == {Status.ERROR}
    assert "could not be counted" in judged["case-00"].verdict.reasons[0]
    assert kernel.world.open == 0


@pytest.mark.parametrize("count", [1, 2, 65, 200])
def test_any_number_of_cases(count: int) -> None:
    names = [f"one-{number}" for number in range(count)]
    findings = _examine(Kernel(objects={names[-1]: 1}), names=names)
    assert set(findings.losses) == {names[-1]}
