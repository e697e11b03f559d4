"""`errpath history`, `errpath diff`, `errpath nightly`: what they print, and their statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from errpath.cli import main
from errpath.results.history.store import History
from errpath.results.history.verdicts import judge_run
from errpath.results.records import KernelRecord
from suites.selftest.results.data import KERNEL, add_run


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Stock, the bug put back, stock again."""
    path = tmp_path / "history.sqlite"
    nights = ("PPP", ["FPP", "F", "F"], "PPP")
    with History(path) as history:
        for number, letters in enumerate(nights, 1):
            kernel = KernelRecord(**{**KERNEL.__dict__, "state": f"s{number % 2}"})
            started = 1000.0 * number
            row = add_run(history, f"n{number}", letters, started=started, kernel=kernel)
            cases = judge_run(history, row)
            history.add_judgements(row, {(c.track, c.case): c.judgement for c in cases})
    return path


def _call(
    capsys: pytest.CaptureFixture[str], store: Path, command: str, *words: str
) -> tuple[int, str]:
    status = main.main([command, "--history", str(store), *words])
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return status, told.out + told.err


def test_runs(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = _call(capsys, store, "history")
    assert status == 0
    lines = text.splitlines()
    assert [line.split()[0] for line in lines] == ["n3", "n2", "n1"]
    assert lines[0].endswith("1 fixed, 2 passing")
    assert lines[1].endswith("1 new failure, 2 passing")
    _, text = _call(capsys, store, "history", "runs", "--limit", "1")
    assert len(text.splitlines()) == 1


def test_show(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = _call(capsys, store, "history", "show", "0000")
    assert status == 0
    assert "[.X.] failed 3 of 5 over 3 nights" in text
    assert "new failure, 3 of 3" in text
    assert "memory leak in hfs_init_fs_context < alloc_fs_context" in text
    status, text = _call(capsys, store, "history", "show", "hfs")
    assert (status, "3 cases have that in their id" in text) == (2, True)
    status, text = _call(capsys, store, "history", "show", "none")
    assert (status, "no such case" in text) == (2, True)


def test_diff(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = _call(capsys, store, "diff", "n1", "n2")
    assert status == 1
    assert "new failure: 1" in text
    assert "unchanged: 2 pass" in text
    status, text = _call(capsys, store, "diff", "latest~1", "latest")
    assert status == 0
    assert "fixed: 1" in text
    assert "was: memory leak" in text
    status, text = _call(capsys, store, "diff", "n1", "n3")
    assert (status, text.splitlines()[-1]) == (0, "unchanged: 3 pass")
    assert _call(capsys, store, "diff", "n1", "n9")[0] == 2


def test_durations(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = _call(capsys, store, "history", "durations")
    assert status == 0
    assert len(json.loads(text)) == 3


def test_prune(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = _call(capsys, store, "history", "prune", "--keep", "1d")
    assert status == 0
    assert text.startswith("removed 3 runs and 0 directories")
    assert _call(capsys, store, "history", "prune", "--keep", "soon")[0] == 2


def test_no_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = _call(capsys, tmp_path / "none.sqlite", "history")
    assert status == 2
    assert text.count("\n") == 1


def test_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("name: j\nkernels: [{name: k, kernel: 'debian:7.2'}]\nsuites: [suites/hfs]\n")
    assert main.main(["nightly", "plan", str(job)]) == 0
    text = capsys.readouterr().out
    assert "k.microvm.kernel" in text
    assert "no estimate: 2 parts have no earlier run" in text
    assert not (tmp_path / "errpath-nightly").exists(), "a plan leaves nothing"


def test_bisect_wants_one_way(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--good", "a"], ["--job", "j.yaml", "--good", "a"]):
        assert main.main(["nightly", "bisect", "case", *words]) == 2
        assert "expected --tree, --good and --bad, or --job" in capsys.readouterr().err
