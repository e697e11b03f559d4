"""Reports as text → failures, whatever carried them; hostile text."""

from __future__ import annotations

import io
import json
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errpath.intake.decode import REPORTS_MAX, decode_file, decode_text
from errpath.intake.report_lines import read_lines
from errpath.kernel.log import find_crashes
from errpath.oracles.failure import Failure, kinds
from errpath.oracles.kernel_log import log_failures
from errpath.oracles.kmemleak import parse_records
from errpath.oracles.leaks import leak_failures
from suites.selftest import golden
from suites.selftest.paths import ROOT

_GOLDEN = ROOT / "suites" / "selftest" / "golden"
_OOPSES = sorted((_GOLDEN / "oops").glob("*.txt"))
_NOISE = (
    "login: ",
    "syz-executor: cannot open",
    "\x1b[0m[  OK  ] Started getty",
    "\xff\x00\x01",
    "",
)
# What consoles, loggers and mails put in front of each line.
_CARRIERS = {
    "console": "[{t:12.6f}] ",
    "caller": "[{t:12.6f}][    T7] ",
    "level": "<4>[{t:12.6f}] ",
    "syslog": "Nov 26 06:45:46 host kernel: [{t:12.6f}] ",
    "journal": "2026-11-26T06:45:46.123456+00:00 host kernel: ",
    "dmesg -T": "[Thu Nov 26 06:45:46 2026] ",
    "dmesg -x": "kern  :warn  : [{t:12.6f}] ",
    "mail": "> [{t:12.6f}] ",
    "login": "host login: [{t:12.6f}] ",
}


def _carried(text: str, carrier: str) -> str:
    return "".join(
        f"{carrier.format(t=1 + n / 1000)}{line}\r\n" for n, line in enumerate(text.splitlines())
    )


def _described(failures: tuple[Failure, ...]) -> list[dict[str, object]]:
    return [failure.to_json() for failure in failures]


@pytest.mark.parametrize("carrier", _CARRIERS.values(), ids=_CARRIERS.keys())
@pytest.mark.parametrize("path", _OOPSES, ids=lambda path: path.stem)
def test_a_carried_report_is_the_oracles_failure(path: Path, carrier: str) -> None:
    text = golden.load(path).input
    expected = log_failures(find_crashes(text))
    found = decode_text(_carried(text, carrier))
    # Whose line it was is in the prefix: one task prints all of it.
    assert [(f.kind, f.title, f.signature, f.functions) for f in found] == [
        (f.kind, f.title, f.signature, f.functions) for f in expected
    ]


@pytest.mark.parametrize("path", _OOPSES, ids=lambda path: path.stem)
def test_what_the_oracles_kept_gives_the_same_failure_again(path: Path) -> None:
    for failure in log_failures(find_crashes(golden.load(path).input)):
        (again,) = decode_text(failure.evidence)
        assert again.to_json() == replace(failure, follows=False).to_json()


@pytest.mark.parametrize("path", sorted((_GOLDEN / "kmemleak").glob("*.txt")), ids=lambda p: p.stem)
def test_records_of_kmemleak_are_read_back(path: Path) -> None:
    case = golden.load(path, headers=("Error",))
    text = case.input
    if "Error" in case.headers:
        # The oracle wants every record whole. Here, the whole ones are told.
        assert all(failure.functions for failure in decode_text(text))
        return
    expected = {one.signature: one for one in leak_failures(parse_records(text))}
    for carrier in ("", *_CARRIERS.values()):
        found = {one.signature: one for one in decode_text(_carried(text, carrier))}
        assert {s: f.to_json() for s, f in found.items()} == {
            s: f.to_json() for s, f in expected.items() if f.functions
        }


_FAILURES = st.builds(
    Failure,
    st.sampled_from(kinds()),
    st.text(min_size=1, max_size=60),
    functions=st.lists(st.from_regex(r"[a-z_]\w{0,20}", fullmatch=True), max_size=4).map(tuple),
    where=st.text(max_size=20),
    resource=st.text(max_size=20),
    size=st.integers(0, 1 << 20),
    detail=st.text(max_size=60),
    follows=st.booleans(),
)


@given(st.lists(_FAILURES, min_size=1, max_size=5))
def test_results_of_every_kind_are_read_back(failures: list[Failure]) -> None:
    line = json.dumps({"case": "c", "failures": [failure.to_json() for failure in failures]})
    assert _described(decode_text(f"before\n{line}\n")) == [
        failure.to_json() for failure in failures
    ]


_KASAN = golden.load(_GOLDEN / "oops" / "kasan.txt").input
_LEAK = """BUG: memory leak
unreferenced object 0xffff88802a23a000 (size 64):
  comm "syz-executor", pid 5, jiffies 4294954000 (age 12.5s)
  hex dump (first 32 bytes):
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
  backtrace:
    [<ffffffff84bfcd41>] kmalloc include/linux/slab.h:552 [inline]
    [<ffffffff84bfcd41>] hfs_fill_super+0x1/0x2 fs/hfs/super.c:12
    [<ffffffff84bfcd42>] get_tree_bdev+0x1/0x2 fs/super.c:12
"""


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(_NOISE)), max_size=8))
def test_what_programs_print_between_the_lines_changes_nothing(
    noise: list[tuple[int, str]],
) -> None:
    lines = _carried(_KASAN, _CARRIERS["console"]).splitlines()
    for at, text in noise:
        lines.insert(at, text)
    assert _described(decode_text("\n".join(lines))) == _described(decode_text(_KASAN))


def test_several_callers_reports_are_told_apart() -> None:
    one = _carried("WARNING: fs/a.c:1 at f+0x1/0x2\nCall Trace:\n f+0x1/0x2\n", "[{t:.6f}][ T1] ")
    two = _carried("WARNING: fs/b.c:1 at g+0x1/0x2\nCall Trace:\n g+0x1/0x2\n", "[{t:.6f}][ T2] ")
    mixed = [line for pair in zip(one.splitlines(), two.splitlines(), strict=True) for line in pair]
    found = decode_text("\n".join(mixed))
    assert [(f.title, f.functions) for f in found] == [
        ("WARNING in f", ("f",)),
        ("WARNING in g", ("g",)),
    ]


def test_a_symbolised_leak() -> None:
    (found,) = decode_text(_LEAK + "BUG: memory leak\n" + _LEAK)
    assert found.title == "memory leak in hfs_fill_super"
    assert found.functions == ("hfs_fill_super", "get_tree_bdev")
    assert (found.where, found.size) == ("fs/hfs/super.c:12", 64)
    assert found.detail == "2 unreferenced objects, 128 bytes"


def test_errpaths_own_report_of_a_leak() -> None:
    report = golden.load(
        _GOLDEN / "report" / "leak_of_fill_super.txt",
        headers=("Fault",),
        sections=("input", "trace"),
    )
    (found,) = decode_text(report.expected)
    (raw,) = decode_text(report.input)
    assert (found.title, found.signature) == (raw.title, raw.signature)


@given(st.binary(max_size=400), st.integers(0, len(_KASAN)), st.integers(0, len(_LEAK)))
def test_cut_and_binary_text_is_no_error(junk: bytes, one: int, two: int) -> None:
    text = _KASAN[one:].encode() + junk + _LEAK[:two].encode() + junk
    for failure in decode_file(io.BytesIO(text)):
        assert failure.title


@pytest.mark.parametrize(
    "text",
    [
        b"x",
        b"BUG: ",
        b"BUG: \n",
        b"WARNING: INFO: -safe -> -safe -> ",
        b"unreferenced object 0x1 (size 1):\n",
        b"[    1.000001][ T1] WARNING: x\n",
        b"[[[[[[[[[[[\n",
        b'{"failures":[',
        b"[ 1.000001] BUG: KASAN: a in f+0x1/0x2\n[ 1.000001]  f+0x1/0x2\n",
    ],
)
def test_much_text_costs_little(text: bytes) -> None:
    many = text * ((512 << 10) // len(text))
    tracemalloc.start()
    began = time.process_time()
    found = decode_file(io.BytesIO(many))
    seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) <= REPORTS_MAX
    assert seconds < 60
    assert peak < 64 << 20


def test_a_file_is_read_up_to_its_limit() -> None:
    lines = read_lines(io.BytesIO(b"x\n" * 50 + _KASAN.encode()), bytes_max=100)
    assert [line.text for line in lines] == ["x"] * 50
    assert len(list(read_lines(io.BytesIO(b"x\n" * 50 + _KASAN.encode())))) > 60
