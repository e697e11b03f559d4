"""Kernel text → crashes: every kind of report, and none where there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from errpath.kernel.log import Crash, find_crashes, strip_prefix
from suites.selftest import golden
from suites.selftest.paths import ROOT

# In front of each line: what a console prints, with and without CONFIG_PRINTK_CALLER.
_STAMPS = {
    "plain": "",
    "time": "[{:12.6f}] ",
    "caller": "[{:12.6f}][ T{:04d}] ",
    "cpu": "[{:12.6f}][    C0] ",
    "level": "<4>",
    "level and time": "<4>[{:12.6f}] ",
}


def _stamped(text: str, stamp: str) -> str:
    return "".join(
        stamp.format(12.5 + number / 1000, number) + line + "\n"
        for number, line in enumerate(text.splitlines())
    )


def _described(crashes: tuple[Crash, ...]) -> str:
    return "".join(
        f"{crash.kind}{' fatal' if crash.fatal else ''}: {crash.title}"
        f" ({len(crash.text.splitlines())} lines)\n"
        for crash in crashes
    )


@pytest.mark.parametrize("stamp", _STAMPS.values(), ids=_STAMPS.keys())
@golden.golden_cases("oops")
def test_reports(path: Path, stamp: str, request: pytest.FixtureRequest) -> None:
    case = golden.load(path)
    text = _stamped(case.input, stamp)
    golden.check(case, _described(find_crashes(text)), request)
    assert strip_prefix(text) == case.input


def test_a_reports_text_is_its_own() -> None:
    text = "before\nWARNING: one\nCall Trace:\n f+0x1/0x2\n---[ end trace ]---\nafter\n"
    (crash,) = find_crashes(text)
    assert crash.text == "WARNING: one\nCall Trace:\n f+0x1/0x2\n---[ end trace ]---"


@pytest.mark.parametrize(
    ("heads", "allocated", "freed"),
    [
        (
            "Allocated in f+0x1/0x2 [m] age=0 cpu=0 pid=1\n f+0x1/0x2 [m]\n g+0x1/0x2\n"
            "Freed in h+0x1/0x2 age=0 cpu=0 pid=1\n h+0x1/0x2\nSlab 0x1\n",
            ("f", "g"),
            ("h",),
        ),
        # A kernel without a stack depot names the caller alone.
        ("Allocated in f+0x1/0x2 age=0 cpu=0 pid=1\nSlab 0x1\n f+0x1/0x2\n", ("f",), ()),
        (
            "\nAllocated by task 7:\n f+0x1/0x2\n\nFreed by task 7:\n h+0x1/0x2\n\n"
            "Allocated by task 8:\n other+0x1/0x2\n",
            ("f",),
            ("h",),
        ),
        ("allocated by task 7 on cpu 0 at 1.0s:\n f+0x1/0x2\n", ("f",), ()),
        ("Call Trace:\n f+0x1/0x2\n", (), ()),
    ],
)
def test_an_object_has_its_stacks(
    heads: str, allocated: tuple[str, ...], freed: tuple[str, ...]
) -> None:
    (crash,) = find_crashes(f"BUG kmalloc-8 (Not tainted): Object already free\n{heads}")
    assert (crash.allocated, crash.freed) == (allocated, freed)


def test_the_golden_files_know_every_kind() -> None:
    """A new kind of report needs a golden file of its own."""
    from errpath.kernel import log

    kinds = {kind for kind, _, _ in log._STARTS}
    paths = (ROOT / "suites" / "selftest" / "golden" / "oops").glob("*.txt")
    known = {
        match[1]
        for path in paths
        for match in re.finditer(r"(?m)^(\w+)( fatal)?: ", path.read_text())
    }
    assert kinds <= known
