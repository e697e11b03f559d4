"""`errpath fuzz`: what is refused before a guest is made; by hand, a search in guests."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from errpath.cli.main import main
from errpath.filesystems import Filesystem
from errpath.util.resources import FILESYSTEMS


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nosuchfs"], "fuzz: got nosuchfs; expected one of adfs, "),
        (["hfs", "--seconds", "0"], "--seconds: got 0; expected at least 1"),
        (["hfs", "--image", "none.img"], "none.img: No such file"),
        (["hfs", "--corpus", "file"], "--corpus file: expected a directory"),
        (["hfs", "--kernel", "a=debian:7.2", "--kernel", "b=debian:7.3"], "fuzz: got 2 kernels"),
    ],
)
def test_wrong_words(
    words: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(["fuzz", *words]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1


def test_without_a_valid_volume_one_is_asked_for(
    define: Callable[[str], Filesystem], capsys: pytest.CaptureFixture[str]
) -> None:
    text = (FILESYSTEMS / "freevxfs.yaml").read_text()
    own = define(text.replace("  writer: vxfs\n", ""))
    assert main(["fuzz", own.name]) == 2
    expected = f"fuzz: {own.name}: no valid volume is known; expected --image FILE\n"
    assert capsys.readouterr().err.endswith(expected)


def _numbers(text: str) -> tuple[int, int, int, int]:
    """Of the last line: mutants, mounted, edges, kept."""
    pattern = r"hfs: (\d+) mutants, (\d+) mounted, (\d+) edges, (\d+) kept; --seed 7; \d+ new\n$"
    match = re.search(pattern, text)
    assert match is not None, text
    tried, mounted, edges, kept = map(int, match.groups())
    return tried, mounted, edges, kept


@pytest.mark.qemu
@pytest.mark.kernel_build
@pytest.mark.by_hand
def test_what_reaches_new_code_is_kept_and_begun_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--seconds", "20", "--seed", "7", "--artefacts", str(tmp_path / "artefacts")]
    corpus = tmp_path / "corpus"
    assert main(["fuzz", "hfs", *words, "--corpus", str(corpus)]) in (0, 1)
    tried, mounted, edges, kept = _numbers(capsys.readouterr().out)
    assert tried > 100
    assert mounted > 10
    assert edges > 500
    assert kept > 20
    images = len(list(corpus.iterdir()))
    assert 20 < images <= kept
    # What was kept gives at once what it took the first search to find.
    assert main(["fuzz", "hfs", *words, "--corpus", str(corpus)]) in (0, 1)
    assert _numbers(capsys.readouterr().out)[2] > edges / 2
    # Without feedback nothing is.
    assert main(["fuzz", "hfs", *words, "--no-feedback"]) in (0, 1)
    assert _numbers(capsys.readouterr().out)[3] == 0
