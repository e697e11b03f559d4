"""`--touched` in suites: what a patch reaches is run, the rest is left out and told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from errpath.analysis.compare.suites import Untouched
from errpath.cases.case import MountCase
from errpath.errors import BuildError
from errpath.plugin import selection
from errpath.results.records import CaseStatus
from errpath.results.reports.jsonl import read_results
from errpath.runner.options import Choice
from suites.selftest.paths import ROOT
from suites.selftest.plugin.test_runs import pytest_argv, run
from suites.selftest.runner import simsession

pytest_plugins = ["pytester"]

_TESTS = """
import pytest
from errpath.runner.sweep import SweepUnit
from suites.selftest.runner.simguest import make_case

made = [make_case(name) for name in ("a", "b", "c")]

@pytest.mark.parametrize("case", made, ids=[case.id for case in made])
def test_mount(case, expect_pass):
    expect_pass()

def test_of_no_case():
    pass

units = [SweepUnit(name, "mount-ro", "alloc") for name in ("hfs", "ext2")]

@pytest.mark.parametrize("unit", units, ids=[unit.filesystem for unit in units])
def test_sweep(unit):
    pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite of three cases, a test without one and sweeps of two filesystems."""
    pytester.makeconftest(simsession.CONFTEST)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ERRPATH_CACHE", str(pytester.path / "cache"))
    pytester.makepyfile(_TESTS)
    (pytester.path / "x.patch").write_text("--- a/fs/hfs/super.c\n+++ b/fs/hfs/super.c\n")
    return pytester


@dataclass
class _Finder:
    """A plugin that has this answered for each kernel."""

    answers: Mapping[str, Untouched] = field(default_factory=dict)
    error: Exception | None = None
    # The ids of the cases, each time.
    asked: list[list[str]] = field(default_factory=list)

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[selection.FINDER] = self.found

    def found(
        self,
        cases: Sequence[MountCase],
        filesystems: Iterable[str],
        choice: Choice,
        *_: object,
        **__: object,
    ) -> Untouched:
        if self.error is not None:
            raise self.error
        self.asked.append([case.id for case in cases])
        assert {*filesystems} <= {"hfs", "ext2"}
        return self.answers[choice.name]


def test_what_is_untouched_is_left_out_and_kept_in_a_list(suite: pytest.Pytester) -> None:
    finder = _Finder({"k": Untouched(frozenset({"b"}), frozenset({"ext2"}))})
    words = ("--touched", "--patch", "x.patch", "--kernel", "k", "-v")
    result = suite.runpytest(*words, plugins=[finder])
    result.assert_outcomes(passed=4, deselected=2)
    result.stdout.no_fnmatch_line("*test_mount?b?*")
    (names,) = suite.path.glob(f"errpath-results/*/{selection.UNTOUCHED_LIST}")
    result.stderr.fnmatch_lines([f"*touched: 2 of 6 tests are left out: {names}"])
    # What was left out can be run afterwards.
    later = suite.runpytest(
        "--kernel", "k", "--cases-from", str(names), "-v", "--artefacts", "later"
    )
    later.assert_outcomes(passed=2, deselected=4)
    later.stdout.fnmatch_lines_random(["*test_mount?b? PASSED*", "*test_sweep?ext2? PASSED*"])


def test_nothing_is_left_out_where_the_patch_reaches_all(suite: pytest.Pytester) -> None:
    words = ("--touched", "--patch", "x.patch", "--kernel", "k")
    result = suite.runpytest(*words, plugins=[_Finder({"k": Untouched()})])
    result.assert_outcomes(passed=6)
    assert not [*suite.path.glob(f"errpath-results/*/{selection.UNTOUCHED_LIST}")]


def test_each_kernel_is_asked_and_after_every_other_selection(suite: pytest.Pytester) -> None:
    finder = _Finder({"k": Untouched(frozenset({"a"})), "l": Untouched(frozenset({"b"}))})
    words = ("--kernel", "k", "--kernel", "l", "--patch", "x.patch", "--touched")
    result = suite.runpytest(*words, "--case", "a", "--case", "b", "-v", plugins=[finder])
    assert finder.asked == [["a", "b"], ["a", "b"]]
    result.assert_outcomes(passed=2, deselected=7)
    result.stdout.fnmatch_lines_random(["*test_mount?k-b? PASSED*", "*test_mount?l-a? PASSED*"])


def test_shards_divide_what_is_left(suite: pytest.Pytester) -> None:
    finder = _Finder({"k": Untouched(frozenset({"b"}), frozenset({"ext2"}))})
    words = ("--kernel", "k", "--patch", "x.patch", "--touched")
    parts = []
    for part in (1, 2):
        shard = ("--shard", f"{part}/2", "--artefacts", str(part), "--results", f"{part}.jsonl")
        suite.runpytest(*words, *shard, plugins=[finder])
        parts.append(read_results(suite.path / f"{part}.jsonl"))
    # Each shard knows the whole that is divided, and together they have run it.
    assert [len(part.collected or ()) for part in parts] == [4, 4]
    assert sum(len(part.planned or ()) for part in parts) == 4


def test_touched_needs_a_patch(suite: pytest.Pytester) -> None:
    result = suite.runpytest("--touched")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --touched: expected --patch, whose functions choose*"])


def test_a_kernel_that_cannot_be_had_ends_the_run(suite: pytest.Pytester) -> None:
    finder = _Finder(error=BuildError("fs/hfs/super.c:1: error: expected expression"))
    result = suite.runpytest("--touched", "--patch", "x.patch", plugins=[finder])
    assert result.ret == BuildError.exit_status
    result.stdout.fnmatch_lines(["*fs/hfs/super.c:1: error: expected expression*"])


# -- in guests -----------------------------------------------------------------------------------


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_of_a_suite_runs_what_runs_the_changed_function(tmp_path: Path) -> None:
    """hfs_mdb_put() is for superblocks that were filled; the patch has it keep a buffer."""
    results, artefacts = tmp_path / "r.jsonl", tmp_path / "a"
    done = run(
        pytest_argv(
            *("suites/hfs/test_mount.py", "-q", "--touched", f"--artefacts={artefacts}"),
            *("--patch", "guests/patches/hfs-lost-buffer.patch", f"--results={results}"),
            *("-k", "setup_bdev_super-EIO-mount-rw or setup_bdev_super-EIO-then-mount-mount"),
        )
    )
    assert done.returncode == 1, done.stderr
    found = {record.case: record.status for _, record in read_results(results).cases}
    assert found == {"hfs-setup_bdev_super-EIO-then-mount-mount": CaseStatus.FAIL}
    said = done.stderr
    assert "touched: 1 of 5 cases of hfs run hfs_mdb_put; 4 are left out" in said
    assert "touched: 5 cases of hfsplus are left out: the same code before and after" in said
    (names,) = artefacts.glob(f"*/{selection.UNTOUCHED_LIST}")
    assert len(names.read_text().split()) == 9
