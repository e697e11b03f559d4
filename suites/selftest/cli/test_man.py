"""`errpath man`: every command and option, and roff that groff takes without a word."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from errpath.cli.main import build_parser, main
from errpath.cli.man import manual
from errpath.cli.walk import arguments, parsers


def test_every_command_and_every_option_is_there() -> None:
    text = manual(build_parser()).replace("\\-", "-")
    for _, parser in parsers(build_parser()):
        if parser.prog == "errpath":
            continue
        (section,) = re.findall(
            rf"^\.SS {re.escape(parser.prog)}\n(.*?)(?=^\.S[SH] )", text, re.DOTALL | re.MULTILINE
        )
        for action in arguments(parser):
            assert action.help, f"{parser.prog}: {action.dest} has no help"
            named = action.metavar or next(iter(action.choices or ()), "")
            for word in action.option_strings or [str(named)]:
                assert word
                assert word in section
    for heading in ("NAME", "SYNOPSIS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT"):
        assert f".SH {heading}\n" in text
    # What is only there to be refused is not shown.
    assert "two meanings" not in text
    assert "%(default)" not in text


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff (Debian package groff)")
def test_groff_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["man"]) == 0
    text = capsys.readouterr().out
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-c"],
        input=text.encode(),
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    shown = re.sub(r".\x08", "", done.stdout.decode())
    assert "--require {fixed,no-regression}" in re.sub(r"\s+", " ", shown)
    assert re.search(r"125\s+no answer", shown)
