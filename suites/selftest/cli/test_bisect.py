"""`errpath bisect` for one failure: another one is no answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.analysis.compare.observe import Observed
from errpath.cli import bisect
from errpath.cli.main import main
from errpath.oracles.failure import LEAK, WARNING, Failure

_LEAK = Failure(LEAK, "memory leak in f", functions=("f",))
_WARNING = Failure(WARNING, "WARNING in g", functions=("g",))


@pytest.mark.parametrize(
    ("failures", "title", "status"),
    [
        ([(), (_LEAK,)], "memory leak in f", 1),
        ([(_WARNING,), (_LEAK,)], "memory leak in f", 1),
        ([(_WARNING,), ()], "memory leak in f", 125),
        ([(_WARNING,), ()], "", 1),
        ([(), ()], "memory leak in f", 0),
    ],
)
def test_cases(
    failures: list[tuple[Failure, ...]],
    title: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    found = tuple(Observed(str(n), each) for n, each in enumerate(failures))
    monkeypatch.setattr(bisect, "check_kernel", lambda *args, **more: found)
    words = ["bisect", "--fs", "hfs", "--event", "a", "--artefacts", str(tmp_path)]
    assert main([*words, *(["--title", title] if title else [])]) == status


def test_a_bad_image_is_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bisect", "--kernel", "debian:7.2", "--image", str(tmp_path / "none")]) == 125
    assert "No such file; expected an image" in capsys.readouterr().err
