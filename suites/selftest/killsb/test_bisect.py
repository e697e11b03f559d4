"""The status of `errpath bisect` and `errpath compare`: what `git bisect run` makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli
from harness.errors import BuildError
from harness.killsb import bisect, compare
from harness.killsb.observe import Observed


class _Rig:
    def modules(self, filesystem: str) -> tuple[()]:
        return ()


class _Session:
    """A session whose kernels are built by asking."""

    def __init__(self, *arguments: object) -> None:
        pass

    def rig(self, kernel: str, filesystem: str = "") -> _Rig:
        return _Rig()

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (["clean", "clean"], 0),
        # An errno alone is not what a leak is bisected for.
        (["clean", "errno"], 0),
        (["clean", "leak"], 1),
        (["crash", "error"], 1),
        (["hang", "clean"], 1),
        (["clean", "error"], 125),
    ],
)
def test_status(
    kinds: list[str], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = {("k", str(n)): Observed(str(n), kind) for n, kind in enumerate(kinds)}
    monkeypatch.setattr(bisect, "Session", _Session)
    monkeypatch.setattr(bisect, "observe_all", lambda *args, **kwargs: found)
    words = ["bisect", "--fs", "hfs", "--event", "a", "--artefacts", str(tmp_path)]
    assert cli.main(words) == status


def test_what_does_not_build_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(_Session):
        def rig(self, kernel: str, filesystem: str = "") -> _Rig:
            raise BuildError("fs/hfs/super.c:1: error: x")

    monkeypatch.setattr(bisect, "Session", Broken)
    monkeypatch.setattr(compare, "Session", Broken)
    words = ["--fs", "hfs", "--artefacts", str(tmp_path)]
    assert cli.main(["bisect", *words]) == 125
    patch = tmp_path / "x.patch"
    patch.write_text("")
    assert cli.main(["compare", "--patch", str(patch), *words]) == 125
    assert capsys.readouterr().err.count("errpath: fs/hfs/super.c:1: error: x") == 2


@pytest.mark.parametrize(
    "words",
    [
        ["compare"],
        ["compare", "--patch", "nowhere.patch"],
        ["compare", "--kernel", "a", "--before", "b", "--after", "c"],
        ["compare", "--kernel", "a", "--kernel", "b", "--after", "c"],
        ["compare", "--after", "c", "-n", "0"],
        ["compare", "--after", "c", "--fs", "zonefs"],
        ["bisect", "--event", "z"],
    ],
)
def test_wrong_words_are_no_verdict(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 125
    assert capsys.readouterr().err.startswith("errpath: ")
