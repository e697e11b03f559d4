"""`errpath completion`: what a shell proposes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from errpath.cli.completion import script
from errpath.cli.main import build_parser, main

_ASK = """
source "$1"
shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
# What `complete` registered for the command.
function=$(complete -p errpath | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function errpath "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def _proposed(tmp_path: Path, *words: str) -> set[str]:
    """What bash has for the last of these words."""
    (tmp_path / "errpath.bash").write_text(script(build_parser(), "bash"))
    done = subprocess.run(
        ["bash", "--norc", "-c", _ASK, "bash", str(tmp_path / "errpath.bash"), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_bash_completes_commands_options_choices_and_files(tmp_path: Path) -> None:
    assert _proposed(tmp_path, "errpath", "co") == {"compare", "completion", "coverage"}
    assert _proposed(tmp_path, "errpath", "nightly", "b") == {"bisect"}
    assert {"--isolation"} == _proposed(tmp_path, "errpath", "compare", "--iso")
    assert _proposed(tmp_path, "errpath", "compare", "--isolation", "b") == {"batch", "boot"}
    # An option that a command does not take is not proposed, nor one that is only refused.
    assert _proposed(tmp_path, "errpath", "shell", "--iso") == set()
    assert "-n" not in _proposed(tmp_path, "errpath", "compare", "-")
    (tmp_path / "fix.patch").touch()
    assert _proposed(tmp_path, "errpath", "compare", "--patch", "fi") == {"fix.patch"}


def test_the_script_for_zsh(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["completion", "zsh"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("#compdef errpath")
    assert "--require[" in text
    if shutil.which("zsh") is None:
        pytest.skip("no zsh to read it with (Debian package zsh)")
    (tmp_path / "_errpath").write_text(text)
    subprocess.run(["zsh", "-n", str(tmp_path / "_errpath")], check=True)


def test_another_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 2
    assert "invalid choice: 'fish'" in capsys.readouterr().err
