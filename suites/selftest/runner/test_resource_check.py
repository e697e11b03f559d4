"""Who is blamed for what, over simulated guests: whatever is kept, by whom and how often."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.cases.case import MountCase
from errpath.oracles.failure import CORRUPTION, OOPS, RESOURCE_LEAK
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.verdict import Status, Verdict
from errpath.util.progress import silent
from suites.selftest.runner.simguest import PLACE, World, make_case

NAMES = [f"case-{number:02d}" for number in range(40)]
_OBJECT = f"allocations: {PLACE}"
_Counts = Mapping[str, int]
_NOTHING: _Counts = {}


class Kernel:
    """What cases do to every guest of a test, in the words of simguest, and how often one ran."""

    def __init__(
        self,
        references: _Counts = _NOTHING,
        *,
        objects: _Counts = _NOTHING,
        first: _Counts = _NOTHING,
        chance: _Counts = _NOTHING,
        late: _Counts = _NOTHING,
        does: Mapping[str, str] | None = None,
        lost: int = 0,
        directory: Path | None = None,
    ) -> None:
        """With a `directory`, the guests have consoles."""
        self.world = World(directory, lost={(lost, "counts")} if lost else set())
        self._words: dict[str, list[str]] = defaultdict(list)
        every = {"references": references, "objects": objects, "first": first}
        for word, counts in (*every.items(), ("fluke", chance), ("waiting", late)):
            for name, count in counts.items():
                self._words[name].append(f"{word}={count}")
        for name, words in (does or {}).items():
            self._words[name].append(words)

    @property
    def runs(self) -> int:
        return len(self.world.ran)

    @property
    def boots(self) -> int:
        return self.world.boots

    def case(self, name: str) -> MountCase:
        words = ",".join((f"id={name}", *self._words[name]))
        return make_case(name, words, expect="", fault="")


def _verdicts(
    kernel: Kernel, names: Sequence[str] = NAMES, *, notes: Sequence[str] = ()
) -> dict[str, Verdict]:
    runner = BatchRunner(kernel.world.boot, progress=silent(), count=True)
    try:
        results = runner.run([kernel.case(name) for name in names])
    finally:
        runner.close()
    assert kernel.world.open == 0, "a guest was left running"
    assert runner.notes == list(notes)
    return {name: result.verdict for name, result in results.items()}


def _failed(verdicts: Mapping[str, Verdict]) -> dict[str, set[str]]:
    assert {verdict.status for verdict in verdicts.values()} <= {Status.PASS, Status.FAIL}
    return {
        name: {failure.line for failure in verdict.failures}
        for name, verdict in verdicts.items()
        if verdict.status is Status.FAIL
    }


LOSERS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3), max_size=4)


@given(references=LOSERS, objects=LOSERS)
def test_each_loss_is_blamed_on_its_case_and_on_no_other(
    references: dict[str, int], objects: dict[str, int]
) -> None:
    failed = _failed(_verdicts(Kernel(references, objects=objects)))
    expected: dict[str, set[str]] = {name: set() for name in {*references, *objects}}
    for names, what in ((references, "module references: nls_test"), (objects, _OBJECT)):
        for name, count in names.items():
            line = f"resource leak: {what} ({2 * count} more after 2 repeats)"
            expected[name].add(line)
    assert failed == expected


def test_where_nothing_is_kept_each_case_runs_once() -> None:
    kernel = Kernel()
    assert _failed(_verdicts(kernel)) == {}
    assert (kernel.runs, kernel.boots) == (len(NAMES), 1)


def test_only_suspects_run_again() -> None:
    kernel = Kernel(objects={"case-07": 1})
    assert set(_failed(_verdicts(kernel))) == {"case-07"}
    assert (kernel.runs, kernel.boots) == (len(NAMES) + 3, 2)


def test_references_that_are_given_back_too_often_are_a_failure() -> None:
    failed = _failed(_verdicts(Kernel({"case-05": -1})))
    line = "given back too often: module references: nls_test (2 fewer after 2 repeats)"
    assert failed == {"case-05": {line}}


def test_what_is_allocated_once_in_a_boot_is_nobodys() -> None:
    assert _failed(_verdicts(Kernel(first={"case-03": 2}))) == {}


def test_bios_that_wait_in_a_cache_are_nobodys() -> None:
    """More of them with each of the usual number of repeats, and yet a cache that is full once."""
    kernel = Kernel(does={"case-03": "bios=5"})
    assert _failed(_verdicts(kernel)) == {}
    assert kernel.runs == len(NAMES) + 13


def test_bios_that_are_kept_each_time_are_a_failure() -> None:
    failed = _failed(_verdicts(Kernel(does={"case-03": "bios=99"})))
    line = "allocations: block/bio.c:566 func:bio_alloc_bioset (12 more after 12 repeats)"
    assert failed == {"case-03": {f"resource leak: {line}"}}


def test_what_is_kept_once_and_not_in_another_guest_is_noted() -> None:
    note = f"case-03 kept something once ({_OBJECT}), and nothing in 2 of 2 repeats"
    assert _failed(_verdicts(Kernel(chance={"case-03": 2}), notes=[note])) == {}


def test_of_many_that_keep_the_same_a_few_run_again() -> None:
    kernel = Kernel(objects=dict.fromkeys(NAMES, 1))
    failed = _failed(_verdicts(kernel))
    assert set(failed) == set(NAMES)
    assert kernel.runs == len(NAMES) + 3 * 4
    lines = [one for lines in failed.values() for one in lines]
    assert lines.count(f"resource leak: {_OBJECT} (1 more after the case)") == len(NAMES) - 4


def test_where_one_of_these_does_not_keep_it_again_all_run_again() -> None:
    objects = dict.fromkeys(NAMES[1:], 1)
    kernel = Kernel(objects=objects, first={"case-00": 1})
    assert set(_failed(_verdicts(kernel))) == set(objects)
    assert kernel.runs == len(NAMES) + 3 * len(NAMES)


@pytest.mark.parametrize("by_chance", [1, -1])
def test_of_many_that_keep_a_reference_all_run_again(by_chance: int) -> None:
    references = dict.fromkeys(NAMES[:20], 1)
    kernel = Kernel(references, does={"case-30": f"borrows={by_chance}"})
    assert set(_failed(_verdicts(kernel))) == set(references)


def test_what_the_one_before_has_on_its_way_back_covers_nothing() -> None:
    """In the batch, case-06 seems to keep nothing and case-05 what case-06 does."""
    kernel = Kernel(objects={"case-06": 1}, late={"case-05": 1})
    assert set(_failed(_verdicts(kernel))) == {"case-06"}
    both = Kernel(objects={"case-05": 1, "case-06": 1}, late={"case-05": 1})
    assert set(_failed(_verdicts(both))) == {"case-05", "case-06"}


@given(stays=st.sampled_from(NAMES))
def test_a_module_that_stays_is_blamed_on_its_case(stays: str) -> None:
    failed = _failed(_verdicts(Kernel(does={stays: "stays"})))
    assert [(name, len(lines)) for name, lines in failed.items()] == [(stays, 1)]
    assert min(failed[stays]).startswith("module hfs does not unload")


def test_a_superblock_that_is_listed_is_blamed_on_its_case() -> None:
    failed = _failed(_verdicts(Kernel(does={"case-17": "listed"})))
    assert failed == {"case-17": {"superblock of hfs still listed (loop0, dead)"}}


def test_what_remains_is_looked_for_beside_what_grows() -> None:
    kernel = Kernel(objects={"case-03": 1}, does={"case-30": "stays"})
    assert set(_failed(_verdicts(kernel))) == {"case-03", "case-30"}


def test_a_module_whose_references_are_kept_is_nobody_elses_fault() -> None:
    """Module hfs does not unload either while somebody holds nls_test; the others are tried
    without who does, and leave nothing."""
    assert set(_failed(_verdicts(Kernel({"case-03": 1})))) == {"case-03"}


def test_failures_are_of_their_kind() -> None:
    verdict = _verdicts(Kernel(objects={"case-01": 1}))["case-01"]
    assert [failure.kind for failure in verdict.failures] == [RESOURCE_LEAK]
    assert verdict.failures[0].resource == _OBJECT
    assert verdict.failures[0].functions == ("keeps",)


def test_a_suspect_that_cannot_be_repeated_is_an_error_and_no_other() -> None:
    kernel = Kernel(objects={"case-01": 1}, does={"case-01": "again"})
    verdicts = _verdicts(kernel)
    assert [name for name, one in verdicts.items() if one.status is Status.ERROR] == ["case-01"]
    assert "could not be confirmed" in verdicts["case-01"].reasons[0]
    assert {one.status for one in verdicts.values()} == {Status.PASS, Status.ERROR}


def test_a_suspect_that_crashes_when_it_is_repeated_fails_by_that() -> None:
    kernel = Kernel(objects={"case-01": 1, "case-02": 1}, does={"case-01": "oops,later"})
    verdicts = _verdicts(kernel)
    assert {name for name, one in verdicts.items() if one.status is not Status.PASS} == {
        "case-01",
        "case-02",
    }
    assert [failure.kind for failure in verdicts["case-01"].failures] == [OOPS]
    assert [failure.kind for failure in verdicts["case-02"].failures] == [RESOURCE_LEAK]


def test_a_crash_of_reclaim_is_of_the_one_case_that_was_repeated(tmp_path: Path) -> None:
    kernel = Kernel(objects={"case-01": 1}, does={"case-01": "reclaim"}, directory=tmp_path)
    verdicts = _verdicts(kernel)
    assert set(_failed(verdicts)) == {"case-01"}
    assert [failure.kind for failure in verdicts["case-01"].failures] == [OOPS]


def test_what_reclaim_reports_of_a_suspect_ends_its_repeats() -> None:
    kernel = Kernel(objects={"case-01": 1, "case-02": 1}, does={"case-01": "corrupts"})
    verdicts = _verdicts(kernel)
    assert set(_failed(verdicts)) == {"case-01", "case-02"}
    assert [failure.kind for failure in verdicts["case-01"].failures] == [CORRUPTION]
    assert [failure.kind for failure in verdicts["case-02"].failures] == [RESOURCE_LEAK]


@pytest.mark.parametrize("lost", [1, 2])
def test_a_guest_that_is_lost_while_it_is_counted_costs_nothing(lost: int) -> None:
    kernel = Kernel(objects={"case-01": 1}, lost=lost)
    assert set(_failed(_verdicts(kernel))) == {"case-01"}


@pytest.mark.parametrize("count", [1, 2, 65, 200])
def test_any_number_of_cases(count: int) -> None:
    names = [f"one-{number}" for number in range(count)]
    assert set(_failed(_verdicts(Kernel(objects={names[-1]: 1}), names))) == {names[-1]}


def _warmed(kernel: Kernel) -> dict[str, Verdict]:
    """Verdicts on all cases, ten in a batch, each batch behind one more."""
    runner = BatchRunner(
        kernel.world.boot, progress=silent(), count=True, batch=10, before=kernel.case("warm")
    )
    try:
        results = runner.run([kernel.case(name) for name in NAMES])
    finally:
        runner.close()
    assert kernel.world.open == 0, "a guest was left running"
    assert results.keys() == set(NAMES)
    return {name: result.verdict for name, result in results.items()}


def test_what_runs_first_in_every_batch_takes_what_is_allocated_once() -> None:
    kernel = Kernel(first={"warm": 2}, does={"warm": "objects=1"})
    assert _failed(_warmed(kernel)) == {}
    assert kernel.runs == len(NAMES) + 4


@pytest.mark.parametrize("word", ["panic", "refuse", "leak=512"])
def test_a_sequence_that_fails_by_itself_runs_before_no_further_batch(word: str) -> None:
    kernel = Kernel(does={"warm": word}, objects={"case-33": 1})
    assert set(_failed(_warmed(kernel))) == {"case-33"}
    assert sum("id=warm" in words for words, _ in kernel.world.ran) < 8
