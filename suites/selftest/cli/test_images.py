"""`errpath images`."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.cli.main import main
from errpath.images import Image
from errpath.images.crafted.catalogue import base_image, catalogue, find_case
from errpath.images.crafted.mutant import Mutant


def test_list_has_a_line_for_each_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images", "list", "hfs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [case.name for case in catalogue("hfs").cases]
    assert main(["images", "list", "--known-issues"]) == 0
    assert "hfs-new-map-start-0" in capsys.readouterr().out


def test_show_marks_what_is_corrupted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images", "show", "hfs-block-size-513"]) == 0
    out = capsys.readouterr().out
    assert "! drAlBlkSiz = 0x00000201 (513), was 0x00000200 (512)" in out
    assert "catalog.header" not in out


def test_write_gives_the_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "image"
    assert main(["images", "write", "hfsplus-version-3", str(file)]) == 0
    assert Image.from_file(file).sha256 == find_case("hfsplus-version-3")[1].image().sha256
    assert "sha256" in capsys.readouterr().out


def test_a_mutant_is_made_again_from_its_blob(tmp_path: Path) -> None:
    mutant = Mutant(base_image("hfs"), ((1024, b"xx"),), size=4096)
    file = tmp_path / "image"
    assert main(["images", "write", f"@{mutant.blob}", str(file)]) == 0
    assert file.read_bytes() == mutant.image().to_bytes()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["show", "nosuch"], "no crafted image 'nosuch'"),
        (["write", "@!!", "x"], "not the blob of a mutated image"),
        (["write", "hfs", "/nosuch/folder/x"], "expected a file to write"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["images", *words]) == 2
    err = capsys.readouterr().err
    assert error in err
    assert err.count("\n") == 1
