"""Which cases a patch can reach; what cannot be told is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from errpath.analysis.compare.judge import Comparison, Require, State, compare_case, exit_status
from errpath.analysis.compare.suites import Untouched, find_untouched
from errpath.analysis.compare.touched import (
    UNTOUCHED,
    Change,
    carriers,
    changed_functions,
    choose,
)
from errpath.analysis.compare.tracing import leave_out_untouched, trace_functions
from errpath.cases.case import MountCase
from errpath.cases.lifecycle import Planned
from errpath.cli import main
from errpath.errors import NO_ANSWER
from errpath.kernel import BuiltKernel, FunctionKind, KernelStore
from errpath.kernel.features import Finding, Presence
from errpath.runner.options import KernelOptions, RunOptions, choices
from errpath.runner.testbed import Testbed, TestbedOptions
from errpath.util.progress import Progress, silent
from suites.selftest.runner.simguest import SimChannel, World, make_case
from suites.selftest.runner.simsession import SimCode

_FILE = "fs/hfs/super.c"
_OLD = """\
#include "hfs_fs.h"

/* Checks. */
static bool check(int x)
{
	return x > 1;
}

int hfs_fill_super(int x)
{
	if (!check(x))
		return -EINVAL;
	return 0;
}

int hfs_sync(int x)
{
	return 0;
}
"""


def _changed(new: str | None, path: str = _FILE, old: str | None = _OLD) -> Change:
    return changed_functions({path: old}, {path: new})


def test_a_function_is_changed_where_its_text_is() -> None:
    assert _changed(_OLD) == Change()
    assert _changed(_OLD.replace("x > 1", "x > 2")) == Change(frozenset({"check"}))
    # Its arguments count, and comments do not.
    assert _changed(_OLD.replace("check(int x)", "check(long x)")).functions == {"check"}
    assert _changed(_OLD.replace("Checks.", "Looks.")) == Change()
    assert _changed(_OLD.replace("\treturn 0;", "\n\t/* well */\n\treturn  0;")) == Change()


def test_a_new_function_is_reached_through_who_calls_it() -> None:
    new = "static int more(void)\n{\n\treturn 0;\n}\n\n"
    assert _changed(_OLD.replace("int hfs_sync", f"{new}int hfs_sync")) == Change()
    gone = _OLD[: _OLD.index("int hfs_sync")]
    assert _changed(gone) == Change(frozenset({"hfs_sync"}))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_changed(_OLD.replace("hfs_fs.h", "btree.h")), "changes outside of functions"),
        (_changed(None), "is no C file of both kernels"),
        (_changed(_OLD, old=None), "is no C file of both kernels"),
        (_changed("x", path="fs/hfs/btree.h", old="y"), "fs/hfs/btree.h is no C file"),
    ],
)
def test_what_is_no_function_may_reach_any_case(change: Change, why: str) -> None:
    assert why in change.wide


_TEXTS = {
    "check": "bool check(int x) { return x > 1; }",
    "outer": "int outer(int x) { return check(x); }",
    "hfs_fill_super": "int hfs_fill_super(int x) { return outer(x); }",
    "checked": "int checked(void) { return 0; }",
    "alone": "int alone(void) { return alone(); }",
}


def test_what_was_inlined_is_found_in_its_callers() -> None:
    code = {"hfs_fill_super", "checked"}
    assert carriers({"checked"}, _TEXTS, code.__contains__).functions == {"checked"}
    assert carriers({"check"}, _TEXTS, code.__contains__).functions == {"hfs_fill_super"}
    lost = carriers({"alone"}, _TEXTS, code.__contains__)
    assert lost.wide == "alone has no code of its own, and nothing is known to call it"


def _planned(name: str, *, exclusive: bool = False) -> Planned:
    return Planned(name, "hfs", "a", replace(make_case(name, name), exclusive=exclusive))


def test_only_what_ran_none_of_it_is_left_out() -> None:
    planned = [_planned(name) for name in ("a", "b", "c")]
    planned.append(Planned("d", "hfs", "a", None, "no mkfs"))
    traced = {"a": frozenset({"check", "x"}), "b": frozenset({"x"})}
    chosen = choose(planned, Change(frozenset({"check"})), traced)
    assert [one.reason for one in chosen] == ["", UNTOUCHED, "", "no mkfs"]
    assert choose(planned, Change(wide="a header"), traced) == tuple(planned)


def test_nothing_touched_is_no_regression_and_no_fix() -> None:
    left = replace(_planned("a"), case=None, reason=UNTOUCHED)
    found: list[Comparison] = [compare_case(left, [], [])]
    assert found[0].state is State.NOT_RUN
    assert exit_status(found, Require.NO_REGRESSION) == 0
    assert exit_status(found) == NO_ANSWER


# -- traces --------------------------------------------------------------------------------------


class _Symbolizer:
    def __enter__(self) -> _Symbolizer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def find_function(self, name: str) -> SimpleNamespace:
        code = name in ("kill_block_super", "sget_fc", "never")
        return SimpleNamespace(kind=FunctionKind.CODE if code else FunctionKind.UNKNOWN)


class _Bed:
    """A test bed of simulated guests, whose cases all run what the simulation's trace has."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory)
        self.kernel = SimpleNamespace(key="k")
        self.features: tuple[Finding, ...] = ()
        # What was asked to be failed in guests.
        self.forced: list[Sequence[str]] = []

    def code(self, filesystem: str) -> SimCode:
        return SimCode("")

    def close(self) -> None:
        pass

    def modules(self, filesystem: str) -> Sequence[SimpleNamespace]:
        return [SimpleNamespace(key="m", name=filesystem)]

    def build(self, filesystems: Sequence[str]) -> None:
        pass

    def symbolizer(self, filesystems: Sequence[str]) -> _Symbolizer:
        return _Symbolizer()

    def guest_source(self, filesystems: Sequence[str], functions: Sequence[str]) -> object:
        self.forced.append(functions)
        return self.world.boot


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Bed:
    monkeypatch.setenv("ERRPATH_CACHE", str(tmp_path / "cache"))
    return _Bed(tmp_path)


def _trace(bed: _Bed, *cases: MountCase) -> dict[str, frozenset[str]]:
    return trace_functions(cast(Testbed, bed), "hfs", cases, silent())


def test_each_case_is_traced_once(bed: _Bed) -> None:
    found = _trace(bed, make_case("a"), make_case("b", "vanish"), make_case("c", "id=c"))
    assert found["a"] >= {"sget_fc", "kill_block_super"}
    assert set(found) == {"a", "c"}
    # One guest was lost on the way, and the case that took it along has no trace.
    assert (bed.world.runs(""), bed.world.runs("id=c")) == (1, 1)
    # What does the same on the same device is the same case, whatever it is called.
    hangs = replace(make_case("e", "hang"), exclusive=True)
    again = _trace(bed, make_case("a"), make_case("d"), hangs)
    assert again == {"a": found["a"], "d": found["a"]}
    assert (bed.world.runs(""), bed.world.runs("hang")) == (1, 0)


def test_a_case_is_traced_as_it_runs_on_the_kernel(bed: _Bed) -> None:
    bed.features = (Finding("setup_bdev_super", Presence.ABSENT, "no symbol"),)
    assert set(_trace(bed, make_case("a", fault="setup_bdev_super"))) == {"a"}
    assert bed.forced == [("blkdev_get_by_path",)]


def test_a_trace_that_is_cut_is_none(bed: _Bed) -> None:
    def cut(channel: SimChannel, _: int) -> None:
        for cpu, overrun in enumerate((0, 7)):
            stats = f"entries: 9\noverrun: {overrun}\nbytes: 1\n".encode()
            channel.files[f"/sys/kernel/tracing/per_cpu/cpu{cpu}/stats"] = stats

    bed.world.on_boot = cut
    assert _trace(bed, make_case("a")) == {}
    assert bed.world.runs("") == 1


class _Sources:
    """Sources of two kernels in which one function differs."""

    def __init__(self, function: str) -> None:
        self._function = function

    def _text(self, kernel: str) -> str:
        return f"int {self._function}(void)\n{{\n\treturn {kernel};\n}}\n"

    def text(self, kernel: str, path: str) -> str:
        return self._text(kernel)

    def below(self, kernel: str, directory: str) -> dict[str, str]:
        assert directory == "fs/hfs"
        return {"super.c": self._text(kernel)}


@pytest.mark.parametrize(
    ("function", "path", "kept", "told"),
    [
        ("sget_fc", _FILE, ["a", "b"], "touched: 2 of 2 cases of hfs run sget_fc; 0 are left out"),
        ("never", _FILE, [], "touched: 0 of 2 cases of hfs run never; 2 are left out"),
        ("never", "fs/super.c", ["a", "b"], "every case of hfs: fs/super.c is not its own"),
        ("inlined", _FILE, ["a", "b"], "every case of hfs: inlined has no code of its own"),
    ],
)
def test_what_a_patch_cannot_reach_is_left_out_and_reported(
    bed: _Bed, tmp_path: Path, function: str, path: str, kept: list[str], told: str
) -> None:
    patch = tmp_path / "fix.patch"
    patch.write_text(f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n")
    said: list[str] = []
    progress = SimpleNamespace(say=said.append, step=silent().step)
    chosen = leave_out_untouched(
        [_planned("a"), _planned("b")],
        [patch],
        cast("tuple[BuiltKernel, BuiltKernel]", ("1", "2")),
        cast(KernelStore, SimpleNamespace(sources=_Sources(function))),
        lambda filesystem: cast(Testbed, bed),
        cast(Progress, progress),
    )
    assert [one.id for one in chosen if one.case is not None] == kept
    assert [line for line in said if told in line]


class _Changed(_Sources):
    """The same, with what `KernelSources.changed` gives."""

    def __init__(self, function: str, changed: frozenset[str] | None) -> None:
        super().__init__(function)
        self._changed = changed

    def changed(self, before: str, after: str) -> frozenset[str] | None:
        assert (before, after) == ("1", "2")
        return self._changed


@pytest.mark.parametrize(
    ("path", "changed", "cases", "filesystems"),
    [
        (_FILE, frozenset({"fs/hfs/"}), {"b", "c"}, {"ext2"}),
        # Below every filesystem: all of them.
        ("fs/super.c", None, set(), set()),
        ("fs/jbd2/journal.c", frozenset({"fs/jbd2/"}), set(), set()),
    ],
)
def test_of_a_suite_what_a_patch_cannot_reach(
    tmp_path: Path,
    path: str,
    changed: frozenset[str] | None,
    cases: set[str],
    filesystems: set[str],
) -> None:
    patch = tmp_path / "fix.patch"
    patch.write_text(f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n")
    (choice,) = choices(RunOptions(KernelOptions(kernel=("k",), patch=(str(patch),))))

    def make(options: TestbedOptions, artefacts: Path, progress: Progress) -> Testbed:
        one = _Bed(artefacts)
        one.kernel = cast(SimpleNamespace, "2" if options.kernel.patches else "1")
        return cast(Testbed, one)

    def traced(
        bed: object, name: str, found: Sequence[MountCase], _: object
    ) -> dict[str, frozenset[str]]:
        return {case.id: frozenset({"sget_fc"} if case.id == "a" else ()) for case in found}

    other = replace(make_case("c"), filesystem="hfsplus")
    found = find_untouched(
        [make_case("a"), make_case("b"), other],
        ["hfs", "ext2"],
        choice,
        tmp_path,
        silent(),
        make=make,
        store=lambda: cast(KernelStore, SimpleNamespace(sources=_Changed("sget_fc", changed))),
        trace=traced,
    )
    assert found == Untouched(frozenset(cases), frozenset(filesystems))


@pytest.mark.parametrize(
    "words",
    [["--after", "x"], ["--patch", "P", "--after", "x"], ["--patch", "P", "--before-patch", "P"]],
)
def test_touched_is_for_one_kernel_and_a_patch(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patch = tmp_path / "fix.patch"
    patch.write_text(f"--- a/{_FILE}\n+++ b/{_FILE}\n@@ -1 +1 @@\n-a\n+b\n")
    given = [str(patch) if word == "P" else word for word in words]
    assert main.main(["compare", "--touched", *given]) == NO_ANSWER
    assert "--touched: expected one kernel and --patch" in capsys.readouterr().err
