"""Observations on two kernels → FIXED, STILL FAILS, REGRESSED, CHANGED ERRNO, CLEAN, NOT RUN."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from errpath.analysis.compare.as_json import as_json
from errpath.analysis.compare.compare import config_hashes, same_code
from errpath.analysis.compare.judge import (
    SAME_CODE,
    Comparison,
    Require,
    State,
    compare_case,
    exit_status,
    group_runs,
    summarize,
    table,
)
from errpath.analysis.compare.mail import Subject, mail_text, short_patch_id
from errpath.analysis.compare.observe import Observed, doubtful, observe
from errpath.analysis.compare.sweeps import compare_points
from errpath.cases.case import Outcome, StepOutcome
from errpath.cases.lifecycle import Planned, plan
from errpath.cases.steps import Mount
from errpath.errors import NO_ANSWER
from errpath.oracles import failure
from errpath.oracles.failure import Failure, Kind
from errpath.oracles.leaks import resource_failures
from errpath.oracles.resources import Resource, ResourceLeak
from errpath.runner.result import Result
from errpath.runner.sweep_units import SweepUnit
from errpath.runner.verdict import Status, Verdict, judge

CLEAN = Observed("x", errnos=("-EIO",))


def _observed(kind: Kind, title: str, errno: str = "-EIO", report: str = "") -> Observed:
    return Observed("x", (Failure(kind, title),), (errno,) if errno else (), report)


LEAK = _observed(failure.LEAK, "memory leak in a", report="the report")
CRASH = _observed(failure.OOPS, "kernel BUG in f", "", "the oops")
HANG = _observed(failure.HANG, "INFO: task hung in f", "")
MISREAD = _observed(failure.DATA_MISMATCH, "read back: /a: got b; expected c")
HELD = _observed(failure.DEVICE_HELD, "the block device is still held")
ERRNO = _observed(failure.ERRNO, "mount: 0; expected -EIO", "0")
ABSENT = Observed("x", (Failure(failure.NOT_AVAILABLE, "filesystem x: not in k"),))
ERROR = _observed(failure.INFRASTRUCTURE, "canary: missed", "")

A_CASE = next(one for one in plan(("efs",), ("a",)) if one.case is not None)
SUBJECT = Subject("old", "new", "k", (), (), "Some One <one@example.org>", ("https://b/1",), 61, 3)


def _says(*texts: str) -> Observed:
    return replace(CLEAN, messages=frozenset(texts))


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        ([_says("a")], [_says("a")], ""),
        ([_says("a")], [_says("a", "b")], "only after: b"),
        ([_says("a", "b")], [_says("a")], "only before: b"),
        ([_says("a")], [_says("b")], "only before: a; only after: b"),
        # What comes in some runs alone is chance.
        ([_says("a")], [_says("a", "b"), _says("a")], ""),
        ([_says("a"), _says("a", "b")], [_says("a", "b"), _says("a", "b")], ""),
    ],
)
def test_messages_that_only_one_side_prints(
    before: list[Observed], after: list[Observed], note: str
) -> None:
    found = _compare(before, after)
    assert found.state is (State.CHANGED_LOG if note else State.CLEAN)
    assert found.note == note
    assert doubtful(before[0], after[0]) is (before[0] != after[0])


def test_a_message_is_compared_without_what_changes() -> None:
    text = "loop7: writes 12 sectors\nloop7: debug\nEXT4-fs (loop7): mounted\n"
    outcome = Outcome("t", 1, steps=(StepOutcome(0, "mount"),), kmsg=text, kmsg_levels="674")
    assert A_CASE.case is not None
    seen = observe(Result(Verdict(A_CASE.case, Status.PASS, outcome=outcome)))
    assert seen.messages == {"loop: writes N sectors", "EXT4-fs (loop): mounted"}


def _compare(before: list[Observed], after: list[Observed]) -> Comparison:
    return compare_case(A_CASE, before, after)


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        ([CLEAN], [CLEAN], State.CLEAN),
        ([LEAK] * 3, [CLEAN] * 3, State.FIXED),
        ([CRASH] * 3, [CLEAN] * 3, State.FIXED),
        ([HELD] * 3, [CLEAN] * 3, State.FIXED),
        ([LEAK] * 3, [LEAK] * 3, State.STILL),
        ([LEAK] * 3, [CLEAN, LEAK, CLEAN], State.STILL),
        ([CLEAN] * 3, [LEAK] * 3, State.REGRESSED),
        ([CLEAN] * 3, [CLEAN, CLEAN, LEAK], State.REGRESSED),
        ([CLEAN] * 3, [HANG] * 3, State.REGRESSED),
        # A leak is not traded for a crash, nor a crash for a hang.
        ([LEAK] * 3, [CRASH] * 3, State.REGRESSED),
        ([CRASH] * 3, [HANG] * 3, State.REGRESSED),
        ([CRASH] * 3, [LEAK] * 3, State.STILL),
        # Wrong data are worse than a leak, though every step ends alike.
        ([MISREAD] * 3, [CLEAN] * 3, State.FIXED),
        ([CLEAN] * 3, [MISREAD] * 3, State.REGRESSED),
        ([LEAK] * 3, [MISREAD] * 3, State.REGRESSED),
        ([CRASH] * 3, [MISREAD] * 3, State.STILL),
        ([CLEAN], [ERRNO], State.CHANGED),
        ([ERRNO], [CLEAN], State.CHANGED),
        # The same wrong errno on both is no business of the change.
        ([ERRNO], [ERRNO], State.CLEAN),
        # Infrastructure errors are no verdict; with a good run beside them they do not count.
        ([ERROR] * 3, [CLEAN] * 3, State.NOT_RUN),
        ([LEAK] * 3, [ERROR] * 3, State.NOT_RUN),
        ([], [CLEAN], State.NOT_RUN),
        ([LEAK, ERROR, LEAK], [CLEAN] * 3, State.FIXED),
        # What one of the kernels does not have is neither mended nor broken by the other.
        ([ABSENT], [CLEAN], State.NEW),
        ([ABSENT] * 3, [LEAK] * 3, State.NEW),
        ([CLEAN], [ABSENT], State.LOST),
        ([LEAK] * 3, [ABSENT] * 3, State.LOST),
        ([ABSENT], [ABSENT], State.NOT_RUN),
        ([ABSENT], [ERROR], State.NOT_RUN),
        ([ERROR], [ABSENT], State.NOT_RUN),
    ],
)
def test_states(before: list[Observed], after: list[Observed], state: State) -> None:
    assert _compare(before, after).state is state


def test_a_new_case_says_what_fails_and_a_lost_one_why() -> None:
    new, lost = _compare([ABSENT], [LEAK]), _compare([LEAK], [ABSENT])
    assert (new.note, new.report) == ("fails: memory leak in a", "the report")
    assert (new.bad_before, new.runs_before, new.bad_after, new.runs_after) == (0, 0, 1, 1)
    assert lost.note == "filesystem x: not in k"
    assert (lost.bad_before, lost.runs_before, lost.bad_after, lost.runs_after) == (1, 1, 0, 0)
    text = table(summarize([new, lost]))
    assert re.search(r"LOST CASE +1/2 +1 of 1  - +filesystem x: not in k$", text, re.MULTILINE)
    assert re.search(r"NEW CASE +1/2 +- +1 of 1  fails: memory leak in a$", text, re.MULTILINE)


def test_a_filesystem_that_is_lost_is_one_line() -> None:
    planned = [replace(A_CASE, id=f"i{event}", event=event) for event in "abc"]
    lost = [compare_case(one, [CLEAN], [ABSENT]) for one in planned]
    assert table(summarize(lost)).splitlines()[1:] == ["LOST CASE (filesystem x: not in k): efs"]


def test_what_neither_kernel_has_spoils_no_answer() -> None:
    gone = _compare([ABSENT], [ABSENT])
    assert exit_status([gone, _compare([CLEAN], [CLEAN])], Require.NO_REGRESSION) == 0
    assert exit_status([gone, _compare([LEAK], [CLEAN])]) == 0
    assert exit_status([gone], Require.NO_REGRESSION) == NO_ANSWER
    assert exit_status([_compare([CLEAN], [ABSENT])], Require.NO_REGRESSION) == NO_ANSWER


def test_counts_say_k_of_n() -> None:
    one = _compare([LEAK, CLEAN, LEAK], [CLEAN] * 3)
    assert (one.bad_before, one.runs_before, one.bad_after, one.runs_after) == (2, 3, 0, 3)
    assert not one.certain
    assert _compare([LEAK] * 3, [CLEAN] * 3).certain
    assert not _compare([LEAK] * 3, [CLEAN]).certain


def test_what_was_not_planned_says_why() -> None:
    planned = Planned("i", "efs", "a", None, "no device")
    assert compare_case(planned, [], []).note == "no device"


def _exit(*states: State) -> int:
    return exit_status([Comparison(A_CASE, state) for state in states])


def test_exit_status() -> None:
    assert _exit(State.FIXED, State.CLEAN) == 0
    assert _exit(State.FIXED, State.STILL) == 0
    assert _exit(State.FIXED, State.REGRESSED) == 1
    assert _exit(State.CLEAN) == 1
    assert _exit(State.STILL, State.CHANGED) == 1
    assert _exit() == NO_ANSWER
    # A planned case without any result: the infrastructure failed, and no "good" may come of it.
    assert _exit(State.NOT_RUN) == NO_ANSWER
    assert _exit(State.FIXED, State.NOT_RUN) == NO_ANSWER
    assert _exit(State.REGRESSED, State.NOT_RUN) == 1
    skipped = Comparison(replace(A_CASE, case=None, reason="same"), State.NOT_RUN)
    assert exit_status([skipped, Comparison(A_CASE, State.FIXED)]) == 0


def test_no_regression_is_another_question_than_fixed() -> None:
    """A change that fixes nothing breaks nothing, and CI may ask for that alone."""

    def status(*found: Comparison) -> int:
        return exit_status(found, Require.NO_REGRESSION)

    clean, still, fixed, regressed, lost = (
        Comparison(A_CASE, state)
        for state in (State.CLEAN, State.STILL, State.FIXED, State.REGRESSED, State.NOT_RUN)
    )
    same = Comparison(replace(A_CASE, case=None, reason=SAME_CODE), State.NOT_RUN)
    no_image = Comparison(replace(A_CASE, case=None, reason="no mkfs"), State.NOT_RUN)
    assert status(clean) == status(still, same) == status(fixed, no_image) == 0
    # The change reaches no code of any filesystem.
    assert status(same, no_image) == 0
    assert status(clean, regressed) == status(regressed, lost) == 1
    # No result where there should be one, or no question was put at all.
    assert status(clean, lost) == status(fixed, lost) == NO_ANSWER
    assert status(no_image) == status() == NO_ANSWER


def test_json_has_every_case_and_both_statuses(tmp_path: Path) -> None:
    patch = tmp_path / "a.patch"
    patch.write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    subject = replace(SUBJECT, patches=(patch,))
    found = [_compare([LEAK] * 3, [LEAK, CLEAN, LEAK]), _compare([CLEAN], [CLEAN])]
    values = json.loads(as_json(subject, found))
    assert values["status"] == {"fixed": 1, "no-regression": 0}
    assert values["patches"][0]["name"] == "a.patch"
    first, second = values["cases"]
    assert (first["state"], first["bad_after"], first["runs_after"]) == ("STILL FAILS", 2, 3)
    assert (second["state"], second["case"]) == ("CLEAN", A_CASE.id)


def test_a_cell_is_as_certain_as_its_least_certain_case() -> None:
    runs = [_compare([LEAK] * 3, [CLEAN] * 3), _compare([CLEAN], [CLEAN])]
    (cell,) = summarize(runs)
    assert (cell.state, cell.count, cell.total) == (State.FIXED, 1, 2)
    assert (cell.before, cell.after) == ((3, 3), (0, 3))
    weaker = [*runs, _compare([LEAK, CLEAN, CLEAN], [CLEAN] * 3)]
    assert summarize(weaker)[0].before == (1, 3)


def test_what_is_fixed_is_told_beside_what_still_leaks() -> None:
    runs = [_compare([LEAK] * 3, [CLEAN] * 3), _compare([HANG] * 3, [HANG] * 3)]
    skipped = Comparison(replace(A_CASE, case=None, reason="x"), State.NOT_RUN, note="no mkfs")
    cells = summarize([*runs, _compare([CLEAN], [CLEAN]), skipped])
    assert [(cell.state, cell.count, cell.total) for cell in cells] == [
        (State.STILL, 1, 4),
        (State.FIXED, 1, 4),
    ]
    assert [cell.note.count("1 not run: no mkfs") for cell in cells] == [1, 0]


def test_the_table_tells_the_urgent_first_and_the_idle_once() -> None:
    idle = Planned("i", "affs", "a", None, "the same code before and after")
    other = next(one for one in plan(("efs",), ("b",)) if one.case is not None)
    comparisons = [
        compare_case(idle, [], []),
        _compare([CLEAN], [CLEAN]),
        compare_case(other, [CLEAN] * 3, [CRASH] * 3),
    ]
    lines = table(summarize(comparisons)).splitlines()
    assert lines[0].split()[:3] == ["filesystem", "event", "state"]
    assert lines[1].split()[:3] == ["efs", "b", "REGRESSED"]
    assert lines[2].split()[:3] == ["efs", "a", "CLEAN"]
    assert lines[3] == "NOT RUN (the same code before and after): affs"


def test_tested_by_must_be_earned() -> None:
    sure = _compare([LEAK] * 3, [CLEAN] * 3)
    text = mail_text(SUBJECT, [sure])
    assert "Tested-by: Some One <one@example.org>" in text
    assert "Closes: https://b/1" in text
    unsure = _compare([LEAK, CLEAN, LEAK], [CLEAN] * 3)
    assert "Tested-by:" not in mail_text(SUBJECT, [sure, unsure])
    assert "no tag" in mail_text(SUBJECT, [sure, unsure])
    regressed = _compare([CLEAN] * 3, [CRASH] * 3)
    assert "Tested-by" not in mail_text(SUBJECT, [sure, regressed])
    assert "Tested-by" not in mail_text(SUBJECT, [_compare([CLEAN], [CLEAN])])


def test_the_mail_says_what_was_run_on_what(tmp_path: Path) -> None:
    fix, bug = tmp_path / "fix.patch", tmp_path / "bug.patch"
    fix.write_text("--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-old\n+new\n")
    bug.write_text("--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-new\n+old\n")
    subject = replace(
        SUBJECT,
        before="Linux 7.1.0, linux@v7.1 (123456789abc)",
        config=config_hashes({"before": "a" * 64, "after": "a" * 64}),
        patches_before=(bug,),
        patches=(fix,),
    )
    lines = mail_text(subject, [_compare([LEAK] * 3, [CLEAN] * 3)]).splitlines()
    assert lines[0].endswith("life-cycle matrix, 1 min 01 s")
    assert lines[1:6] == [
        "before: Linux 7.1.0, linux@v7.1 (123456789abc)",
        "after:  new",
        f"config: {'a' * 16} (sha256 of .config)",
        f"patch:  bug.patch (patch-id {short_patch_id(bug)}), before only",
        f"patch:  fix.patch (patch-id {short_patch_id(fix)})",
    ]
    assert lines[7].split()[:3] == ["filesystem", "event", "state"]
    assert " ".join(lines[8].split()) == "efs a FIXED 1/1 3 of 3 0 of 3 memory leak in a"
    assert lines[-2:] == ["Closes: https://b/1", "Tested-by: Some One <one@example.org>"]


def test_configurations_that_differ_are_told_apart() -> None:
    one, other = "1" * 64, "2" * 64
    assert (
        config_hashes({"before": one, "after": other}) == f"{one[:16]} before, {other[:16]} after"
    )
    both = {"before": one, "before-apart": other, "after": one, "after-apart": other}
    assert config_hashes(both) == f"{one[:16]}; apart: {other[:16]}"


def test_repeats_are_found_by_their_number() -> None:
    found = {("k", "c"): CLEAN, ("k", "c#2"): LEAK, ("other", "c#3"): CRASH}
    assert group_runs(found, "k", "c") == [CLEAN, LEAK]
    assert group_runs(found, "k", "d") == []


def test_least_work_is_described_by_directories() -> None:
    assert not same_code("hfs", None)
    assert same_code("hfs", frozenset())
    assert same_code("hfs", frozenset({"fs/adfs/"}))
    assert not same_code("hfs", frozenset({"fs/hfs/"}))
    # vfat is in fs/fat, and jbd2 is below more than its own.
    assert not same_code("vfat", frozenset({"fs/fat/"}))
    assert not same_code("hfs", frozenset({"fs/jbd2/"}))


def test_what_is_not_given_back_is_bad() -> None:
    """The errnos are the expected ones on both kernels: nothing else tells them apart."""
    case = next(one.case for one in plan(("efs",), ("a",)) if one.case is not None)
    found = resource_failures([ResourceLeak(Resource("inodes", "x"), 4, 2)])
    observed = observe(Result(Verdict(case, Status.FAIL, found, Outcome("t", 1))))
    assert (observed.kind, observed.bad) == ("resource leak", True)


def test_a_warning_that_becomes_an_oops_has_regressed() -> None:
    warned = _observed(failure.WARNING, "WARNING in f", "")
    assert _compare([warned] * 3, [CRASH] * 3).state is State.REGRESSED
    assert _compare([CRASH] * 3, [warned] * 3).state is State.STILL


@dataclass(frozen=True)
class _Check:
    """Fails always."""

    kind: str

    def __call__(self, outcome: Outcome) -> str:
        return f"{self.kind}: x"


@pytest.mark.parametrize(
    ("check", "got", "kind"),
    [("data mismatch", 5, "data mismatch"), ("data mismatch", 0, "errno"), ("log", 5, "log")],
)
def test_wrong_data_are_worse_than_other_words(check: str, got: int, kind: str) -> None:
    planned = next(one.case for one in plan(("efs",), ("a",)) if one.case is not None)
    step = Mount("efs", expect="EIO")
    case = replace(planned, steps=(step,), checks=(_Check(check),))
    outcome = Outcome("t", 1, steps=(StepOutcome(got, "mount", ()),))
    assert observe(Result(judge(case, outcome, None))).kind == kind


def test_a_long_note_does_not_break_the_table() -> None:
    long = _observed(failure.LEAK, "memory leak in " + "a" * 500)
    last = table(summarize([_compare([long] * 3, [CLEAN] * 3)])).splitlines()[-1]
    assert last.endswith("a…")
    assert len(last) < 200


def test_points_of_a_sweep_are_compared_by_id_and_those_of_one_kernel_reported() -> None:
    unit = SweepUnit("hfs", "mount-ro", "alloc")
    names = {name: f"{unit.id}-{name}" for name in ("gone", "same", "mended", "new", "worse")}
    before = {names["gone"]: [LEAK], names["same"]: [CLEAN], names["mended"]: [LEAK]}
    after = {names[one]: [CLEAN] for one in ("same", "mended", "new")} | {names["worse"]: [LEAK]}
    found = {one.planned.id: one for one in compare_points(unit, before, after)}
    assert {name: found[names[name]].state for name in names} == {
        "gone": State.NOT_RUN,
        "same": State.CLEAN,
        "mended": State.FIXED,
        "new": State.NOT_RUN,
        "worse": State.REGRESSED,
    }
    assert found[names["gone"]].note == "only the kernel before has this point"
    assert found[names["new"]].note == "only the kernel after has this point"
    assert found[names["worse"]].note.startswith("a point that the kernel before has not: memory")
    assert found[names["gone"]].planned.event == "mount-ro/alloc"
    # A point that is not there any more is no reason for no answer.
    assert exit_status([one for one in found.values() if one.state is not State.REGRESSED]) == 0
