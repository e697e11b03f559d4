"""`errpath repro`: what is said, and the status, for what the kernels show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from errpath.cli import repro
from errpath.cli.main import main
from errpath.intake.reproducer import Reproducer
from errpath.intake.reproduction import Outcome, Reproduction
from errpath.oracles.failure import LEAK, Failure
from errpath.runner.options import Choice
from suites.selftest.cli.one_command import run_command

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


# What each kernel was asked for, and how often.
_Asked = list[tuple[str, int]]


def _run(words: Sequence[str], *found: Reproduction) -> tuple[int, _Asked]:
    """The status where the kernels show this, one after another; what they were asked for."""
    coming, asked = iter(found), []

    def reproduce(
        choice: Choice, reproducer: Reproducer, *_: object, attempts: int, **more: object
    ) -> Reproduction:
        patches = len(choice.testbed.kernel.patches)
        asked.append((f"{reproducer.title} with {patches} patches", attempts))
        return next(coming)

    return run_command(repro.add_parser, "repro", *words, reproduce=reproduce), asked


@pytest.mark.parametrize(("found", "status"), [(_SAME, 0), (_NOT, 3), (_OTHER, 4), (_ERROR, 125)])
def test_one_kernel(
    found: Reproduction,
    status: int,
    source: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done, asked = _run([str(source)], found)
    assert done == status
    out = capsys.readouterr().out
    assert out.startswith("repro.c: memory leak in f\n")
    assert f"debian:7.2   {found.outcome.value}" in out
    assert asked == [("memory leak in f with 0 patches", 3)]


@pytest.mark.parametrize(
    ("title", "guest", "noted"),
    [
        ("KASAN: f", "repro", True),
        ("KASAN: f", "repro-kasan", False),
        ("KFENCE: f", "repro", False),
    ],
)
def test_a_check_that_the_kernel_lacks_is_noted(
    title: str, guest: str, noted: bool, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run([str(source), "--title", title, "--guest", guest], _NOT)
    told = "this kernel has no KASAN: --guest repro-kasan" in capsys.readouterr().out
    assert told is noted


def test_several_kernels_and_json(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(source), "--kernel", "a=debian:7.2", "--kernel", "b=debian:7.3", "--json"]
    assert _run(words, _NOT, _SAME)[0] == 0
    reported = json.loads(capsys.readouterr().out)
    assert [one["outcome"] for one in reported["kernels"].values()] == ["NOT REPRODUCED", "SAME"]
    assert reported["kernels"]["b"]["failure"]["title"] == "memory leak in f"
    assert reported["kernels"]["b"]["others"] == ["WARNING in g"]


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
    capsys: pytest.CaptureFixture[str],
) -> None:
    done, asked = _run([str(source), "--patch", "a.patch"], before, after)
    assert done == status
    assert capsys.readouterr().out.splitlines()[-1] == answer
    if before is _SAME:
        # Two of three attempts: as often again, until chance would not hide it.
        assert asked == [
            ("memory leak in f with 0 patches", 3),
            ("memory leak in f with 1 patches", 3),
        ]


def test_a_bug_put_back(source: Path) -> None:
    words = [str(source), "--before-patch", "a.patch", "--attempts", "1"]
    done, asked = _run(words, _OTHER, _NOT)
    assert done == 0
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
