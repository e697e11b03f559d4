"""One patch on several series: who has the bug, and what the patch does there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from errpath.analysis.compare.as_json import series_as_json
from errpath.analysis.compare.backports import (
    Answer,
    Series,
    SeriesRow,
    exit_status,
    filesystems_of,
    rows,
    series_table,
    try_series,
)
from errpath.analysis.compare.compare import Request, Summary
from errpath.analysis.compare.judge import Comparison, State, compare_case
from errpath.analysis.compare.observe import Observed
from errpath.cases.lifecycle import Planned, plan
from errpath.cli import main
from errpath.errors import NO_ANSWER, BuildError
from errpath.kernel import KernelRequest
from errpath.kernel.layout import Layout
from errpath.kernel.source.patches import Fit, Fitting
from errpath.oracles import failure
from errpath.oracles.failure import Failure
from errpath.runner.options import Choice
from errpath.runner.testbed import TestbedOptions
from errpath.util.progress import Progress, silent

_CLEAN = Observed("x")
_LEAK = Observed("x", (Failure(failure.LEAK, "memory leak in f"),))
_CRASH = Observed("x", (Failure(failure.OOPS, "kernel BUG in f"),))
_ERROR = Observed("x", (failure.infrastructure("no guest"),))
_ABSENT = Observed("x", (Failure(failure.NOT_AVAILABLE, "filesystem x: not in k"),))
_CASE = next(one for one in plan(("hfs",), ("a",)) if one.case is not None)


def _planned(name: str) -> Planned:
    return replace(_CASE, id=name)


def _series(name: str, fitting: Fitting, **runs: tuple[Observed, Observed]) -> Series:
    found = tuple(compare_case(_planned(case), [x], [y]) for case, (x, y) in runs.items())
    return Series(name, fitting, Summary(found, f"Linux {name}, debian", "", "", 1.0))


_EXACT = Fitting(Fit.EXACT)
_NOT = Fitting(Fit.NOT, "fix.patch: fs/hfs/super.c: hunk 1 of 1 (line 3) does not apply")
_MENDED = _series("7.2", _EXACT, a=(_LEAK, _CLEAN), b=(_CLEAN, _CLEAN))


def _row(*others: Series) -> SeriesRow:
    return rows((_MENDED, *others))[-1]


def test_a_series_that_has_the_bug_and_is_mended() -> None:
    row = _row()
    assert (row.bug, row.shown, row.asked, row.fixed, row.regressed) == (Answer.YES, 1, 1, 1, 0)
    assert exit_status([row]) == 0


def test_a_patch_that_does_not_apply_leaves_the_bug() -> None:
    row = _row(_series("6.12", _NOT, a=(_LEAK, _LEAK), b=(_CLEAN, _CLEAN)))
    assert (row.bug, row.fixed, row.still, row.note) == (Answer.YES, 0, 0, _NOT.note)
    assert exit_status([row]) == 1


def test_a_series_without_the_bug_needs_no_patch() -> None:
    row = _row(_series("6.1", _NOT, a=(_CLEAN, _CLEAN)))
    assert (row.bug, row.shown, row.asked) == (Answer.NO, 0, 1)
    assert exit_status([row]) == 0


def test_what_the_patch_leaves_or_breaks_is_reported() -> None:
    still = _row(_series("7.3", _EXACT, a=(_LEAK, _LEAK)))
    assert (still.bug, still.fixed, still.still) == (Answer.YES, 0, 1)
    assert exit_status([still]) == 1
    worse = _row(_series("7.3", _EXACT, a=(_LEAK, _CLEAN), b=(_CLEAN, _CRASH)))
    assert (worse.fixed, worse.regressed, worse.note) == (1, 1, "kernel BUG in f")
    assert exit_status([worse]) == 1


def test_no_verdict_is_not_no_bug() -> None:
    row = _row(_series("7.3", _EXACT, a=(_ERROR, _ERROR)))
    assert (row.bug, row.asked, row.no_verdict) == (Answer.UNKNOWN, 0, 1)
    assert exit_status(rows((_MENDED, _series("7.3", _EXACT, a=(_ERROR, _ERROR))))) == NO_ANSWER
    absent = _row(_series("6.1", _EXACT, a=(_ABSENT, _ABSENT)))
    assert (absent.bug, absent.no_verdict) == (Answer.UNKNOWN, 0)
    broken = _row(Series("7.4", _NOT, error="fs/hfs/super.c:1: error"))
    assert (broken.bug, broken.kernel, broken.note) == (
        Answer.UNKNOWN,
        "-",
        "fs/hfs/super.c:1: error",
    )
    assert exit_status([_row(), broken]) == NO_ANSWER


def test_where_no_case_shows_the_bug_there_is_no_answer() -> None:
    found = rows((_series("7.2", _EXACT, a=(_CLEAN, _CLEAN)),))
    assert exit_status(found) == NO_ANSWER


def test_table_and_json_hold_the_same() -> None:
    found = rows(
        (
            _MENDED,
            _series("6.12", _NOT, a=(_LEAK, _LEAK)),
            Series("7.4", _NOT, error="no such kernel"),
        )
    )
    assert series_table(found).splitlines() == [
        "series  kernel      has the bug   applies  fixes  still  regresses  no verdict  note",
        "7.2     Linux 7.2   yes (1 of 1)  exact    1      0      0          0",
        "6.12    Linux 6.12  yes (1 of 1)  not      -      -      -          0           "
        f"{_NOT.note}",
        "7.4     -           ?             -        -      -      -          0           "
        "no such kernel",
    ]
    values = json.loads(series_as_json((), found))
    assert [one["has_bug"] for one in values["series"]] == ["yes", "yes", "?"]
    assert [one["applies"] for one in values["series"]] == ["exact", "not", "not"]
    assert values["status"] == NO_ANSWER


def test_a_patch_chooses_its_filesystems(tmp_path: Path) -> None:
    def patch(*paths: str) -> Path:
        file = tmp_path / "fix.patch"
        file.write_text("".join(f"--- a/{p}\n+++ b/{p}\n@@ -1 +1 @@\n-a\n+b\n" for p in paths))
        return file

    names = ("ext4", "hfs", "hfsplus")
    assert filesystems_of([patch("fs/hfs/super.c")], names) == ("hfs",)
    assert filesystems_of([patch("fs/hfs/super.c", "fs/ext4/super.c")], names) == ("ext4", "hfs")
    # What reaches further may be below any of them.
    assert filesystems_of([patch("fs/hfs/super.c", "fs/super.c")], names) == names
    assert filesystems_of([patch("include/linux/hfs_common.h")], names) == names


def _request(spec: str, directory: Path, patch: Path) -> Request:
    def choice(*patches: Path) -> Choice:
        kernel = KernelRequest(spec=spec, patches=patches, name=spec)
        return Choice(Path(spec).name, TestbedOptions(kernel), ())

    return Request(choice(), choice(patch), (_CASE,), 2, directory)


def _tree(directory: Path, text: str) -> str:
    for name in ("Makefile", "Kbuild", "scripts/kconfig/merge_config.sh", "fs/hfs/super.c"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("")
    (directory / "fs/hfs/super.c").write_text(text)
    return str(directory)


def test_one_series_costs_one_series(tmp_path: Path) -> None:
    """What cannot be had, what does not build and what does not apply stand beside what works."""
    fix = tmp_path / "fix.patch"
    fix.write_text("--- a/fs/hfs/super.c\n+++ b/fs/hfs/super.c\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n")
    asked: dict[str, bool] = {}

    def run(request: Request, progress: Progress) -> Summary:
        asked[request.before.name] = request.alone
        if request.before.name == "unbuildable":
            raise BuildError("fs/hfs/super.c:1: error")
        one = Comparison(_CASE, State.CLEAN)
        return Summary((one,), "Linux 1, x", "", "", 1.0)

    trees = {"good": "one\ntwo\n", "unbuildable": "one\ntwo\n", "other": "three\n"}
    specs = [_tree(tmp_path / name, text) for name, text in trees.items()]
    requests = [_request(spec, tmp_path, fix) for spec in (*specs, str(tmp_path / "gone"))]
    found = try_series(requests, Layout(tmp_path / "cache"), silent(), run)
    assert [one.fitting.fit for one in found[:1] + found[2:3]] == [Fit.EXACT, Fit.NOT]
    assert [bool(one.error) for one in found] == [False, True, False, True]
    assert asked == {"good": False, "unbuildable": False, "other": True}
    assert "no such kernel" in found[3].error


def test_words_that_do_not_go_together(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fix = tmp_path / "fix.patch"
    fix.write_text("--- a/fs/hfs/super.c\n+++ b/fs/hfs/super.c\n@@ -1 +1 @@\n-a\n+b\n")
    for words, message in (
        (["--patch", str(fix), "--before", "x"], "expected no --kernel, --before"),
        ([], "expected --patch FILE"),
    ):
        assert main.main(["compare", "--kernels", "a,b", *words]) == NO_ANSWER
        assert message in capsys.readouterr().err
