"""`errpath kernel`, over the fake tree."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import pytest

from errpath.cli import kernel
from errpath.errors import UsageError
from suites.selftest.kernel.fake_tree import fake_store, make_tree, write_fragment


@pytest.fixture
def parser(tmp_path: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    kernel.add_parser(
        parser.add_subparsers(dest="command", required=True),
        make_store=lambda **_: fake_store(tmp_path / "cache"),
        fragments=(write_fragment(tmp_path),),
    )
    return parser


def _run(parser: argparse.ArgumentParser, *words: str) -> int:
    return kernel.run_kernel(parser.parse_args(["kernel", *words]))


def test_build_list_and_rm(
    parser: argparse.ArgumentParser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = make_tree(tmp_path / "linux")
    assert _run(parser, "build", str(tree), "--modules", "foo,bar") == 0
    lines = capsys.readouterr().out.splitlines()
    key = lines[0].split()[0]
    assert [Path(line).name for line in lines[2:]] == ["foo.ko", "barlib.ko", "bar.ko"]
    assert all(Path(line).exists() for line in lines[1:])
    assert _run(parser, "list") == 0
    assert key in capsys.readouterr().out
    assert _run(parser, "rm", key) == 0
    assert f"removed {key}" in capsys.readouterr().out
    assert _run(parser, "list") == 0
    assert key not in capsys.readouterr().out


def test_patch_from_standard_input(
    parser: argparse.ArgumentParser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stdin(io.StringIO):
        buffer = io.BytesIO(b"--- a/init/main.c\n+++ b/init/main.c\n")

    monkeypatch.setattr(sys, "stdin", Stdin())
    named = tmp_path / "b.patch"
    words = ["kernel", "build", "x", "--patch", "-", "--patch", str(named)]
    with pytest.raises(UsageError, match=r"b\.patch: no such file"):
        kernel.to_request(parser.parse_args(words))
    named.write_text("--- a/x\n+++ b/x\n")
    Stdin.buffer.seek(0)
    request = kernel.to_request(parser.parse_args(words))
    assert request.patches[0].read_bytes().startswith(b"--- a/init/main.c")
    assert request.patches[1] == named
    again = parser.parse_args(["kernel", "build", "x", "--patch", "-", "--patch", "-"])
    with pytest.raises(UsageError, match="only once"):
        kernel.to_request(again)


def test_rm_wants_keys_or_all(parser: argparse.ArgumentParser) -> None:
    for words in (["rm"], ["rm", "--all", "abc"], ["rm", ""]):
        with pytest.raises(UsageError, match="kernel rm"):
            _run(parser, *words)


def test_the_kernel_of_a_guest(
    parser: argparse.ArgumentParser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = make_tree(tmp_path / "linux")
    with pytest.raises(UsageError, match=r"guest nowhere: .*expected one of: .*kasan, lockdep"):
        _run(parser, "build", str(tree), "--guest", "nowhere")
    assert _run(parser, "build", str(tree), "--guest", "kasan") == 0
    directory = Path(capsys.readouterr().out.splitlines()[1])
    assert "CONFIG_KASAN=y\n" in (directory / "config").read_text()


def test_defaults(parser: argparse.ArgumentParser) -> None:
    request = kernel.to_request(parser.parse_args(["kernel", "build"]))
    assert request.spec == "debian:7.2"
    assert request.patches == ()
    added = parser.parse_args(["kernel", "build", "--kconfig-add", "CONFIG_A=y"])
    assert kernel.to_request(added).kconfig_add == ("CONFIG_A=y",)
