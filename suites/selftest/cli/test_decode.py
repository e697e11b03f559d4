"""`errpath decode`: what is printed, and its status."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from errpath.cli.main import main

_TEXT = """
[    1.000000] BUG: KASAN: slab-use-after-free in hfs_mdb_put+0x4d/0x230 [hfs]
[    1.000001] Read of size 8 at addr ffff888003c2e800 by task mount/33
[    1.000002] Call Trace:
[    1.000003]  hfs_mdb_put+0x4d/0x230 [hfs]
[    1.000004]  adfs_init_fs_context+0x1/0x2
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "report.txt"
    path.write_text(_TEXT)
    return path


def test_a_report_is_reported(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", str(log), "--text"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "KASAN: slab-use-after-free Read in hfs_mdb_put\n  kind       corruption\n"
    )
    assert "  functions  hfs_mdb_put < adfs_init_fs_context\n" in out
    assert "  BUG: KASAN: slab-use-after-free in hfs_mdb_put+0x4d/0x230 [hfs]\n" in out


def test_standard_input_and_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known = tmp_path / "known.yaml"
    known.write_text(
        "issues:\n  - {id: mine, link: there, cases: ['*'], "
        "failure: {kind: corruption, function: hfs_mdb_put}}\n"
    )
    stdin = SimpleNamespace(buffer=io.BytesIO(_TEXT.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["decode", "--json", "--known", str(known)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["title"] == "KASAN: slab-use-after-free Read in hfs_mdb_put"
    assert told["known"] == [{"id": "mine", "title": "mine", "link": "there"}]


def test_no_report_and_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "quiet").write_text("all is well\n")
    assert main(["decode", str(tmp_path / "quiet")]) == 1
    assert capsys.readouterr().err == "errpath: decode: no report of the kernel in this text\n"
    assert main(["decode", str(tmp_path / "none")]) == 2
    assert main(["decode", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"errpath: {tmp_path}/none: No such file or directory; expected a log to read",
        f"errpath: {tmp_path}: Is a directory; expected a log to read",
    ]


def test_a_guest_is_asked_for_its_kernel(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", str(log), "--guest", "none"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "none" in line
    assert "expected" in line
