"""`errpath repro`: what is said, and the status, for what the kernels show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from errpath.cli import repro
from errpath.cli.main import main
from errpath.intake.reproduction import Outcome, Reproduction
from errpath.oracles.failure import LEAK, Failure
from errpath.runner.options import Choice

_LEAK = Failure(LEAK, "memory leak in f", functions=("f",))
_SAME = Reproduction(Outcome.SAME, 2, 3, _LEAK, ("WARNING in g",), 4.5)
_OTHER = Reproduction(Outcome.OTHER, 3, 3, _LEAK, (), 4.5)
_NOT = Reproduction(Outcome.NOT_REPRODUCED, 0, 3, seconds=4.5)
_ERROR = Reproduction(Outcome.ERROR, 0, 0, error="no guest")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "repro.c"
    path.write_text("// memory leak in f\nint main(void) { return 0; }\n")
    (tmp_path / "a.patch").write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    return path


def _play(monkeypatch: pytest.MonkeyPatch, *found: Reproduction) -> list[tuple[str, int]]:
    """Kernels that show this, one after another; what each was asked for, and how often."""
    coming, asked = iter(found), []

    def on_kernel(
        _: object, choice: Choice, title: str, expected: Failure | None, attempts: int
    ) -> Reproduction:
        patches = len(choice.testbed.kernel.patches)
        asked.append((f"{title} with {patches} patches", attempts))
        return next(coming)

    monkeypatch.setattr(repro, "_on_kernel", on_kernel)
    return asked


@pytest.mark.parametrize(("found", "status"), [(_SAME, 0), (_NOT, 3), (_OTHER, 4), (_ERROR, 125)])
def test_one_kernel(
    found: Reproduction,
    status: int,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = _play(monkeypatch, found)
    assert main(["repro", str(source)]) == status
    out = capsys.readouterr().out
    assert out.startswith("repro.c: memory leak in f\n")
    assert f"debian:7.2   {found.outcome.value}" in out
    assert asked == [("memory leak in f with 0 patches", 3)]


def test_several_kernels_and_json(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _play(monkeypatch, _NOT, _SAME)
    words = ["repro", str(source), "--kernel", "a=debian:7.2", "--kernel", "b=debian:7.3"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["outcome"] for one in told["kernels"].values()] == ["NOT REPRODUCED", "SAME"]
    assert told["kernels"]["b"]["failure"]["title"] == "memory leak in f"
    assert told["kernels"]["b"]["others"] == ["WARNING in g"]


@pytest.mark.parametrize(
    ("before", "after", "answer", "status"),
    [
        (_SAME, _NOT, "FIXED", 0),
        (_SAME, _SAME, "STILL FAILS", 1),
        (_NOT, _SAME, "REGRESSED", 1),
        (_NOT, _NOT, "NOT REPRODUCED", 3),
        (_ERROR, _NOT, "ERROR", 125),
    ],
)
def test_a_patch(
    before: Reproduction,
    after: Reproduction,
    answer: str,
    status: int,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = _play(monkeypatch, before, after)
    assert main(["repro", str(source), "--patch", "a.patch"]) == status
    assert capsys.readouterr().out.splitlines()[-1] == answer
    if before is _SAME:
        # Two of three attempts: as often again, until chance would not hide it.
        assert asked == [
            ("memory leak in f with 0 patches", 3),
            ("memory leak in f with 1 patches", 3),
        ]


def test_a_bug_put_back(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _play(monkeypatch, _OTHER, _NOT)
    assert main(["repro", str(source), "--before-patch", "a.patch", "--attempts", "1"]) == 0
    assert [one[0] for one in asked] == [
        "memory leak in f with 1 patches",
        "memory leak in f with 0 patches",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.c"], "none.c: No such file or directory; expected a reproducer"),
        (["repro.c", "--attempts", "0"], "--attempts: got 0; expected at least 1"),
        (["repro.c", "--seconds", "0"], "--seconds: got 0; expected at least 1"),
        (["repro.c", "--patch", "none.patch"], "--patch none.patch: no such file"),
        (
            ["repro.c", "--patch", "a.patch", "--kernel", "debian:7.2", "--kernel", "debian:7.3"],
            "repro: several kernels and a patch; expected one --kernel",
        ),
    ],
)
def test_wrong_words_are_one_line(
    words: list[str], message: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["repro", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"errpath: {message}")
    assert err.count("\n") == 1
