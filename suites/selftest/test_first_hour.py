"""docs/first-hour.md: every command of it, in its order, and what the text says of each."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from suites.selftest.paths import ROOT
from suites.selftest.wheel import Installed

_TEXT = (ROOT / "docs" / "first-hour.md").read_text()
_COMMANDS = re.findall(r"(?m)^    \$ (.*?)(?: +# status (\d+))?$", _TEXT)
# What a command's output must have, by its first words.
_SAID = {
    "errpath doctor": "qemu",
    "errpath kernel list": "debian:7.2",
    "errpath images show": "drAlBlkSiz",
    "errpath test hfs": " passed",
    "errpath compare": "REGRESSED",
    "errpath run": "memory leak in hfs_init_fs_context",
    "errpath shell": "hfs",
}


def _run(installed: Installed, directory: Path, command: str) -> subprocess.CompletedProcess[str]:
    return installed.run(*shlex.split(command), cwd=directory, seconds=600.0)


def test_links_and_patches_are_there() -> None:
    links = re.findall(r"\]\(([\w./-]+)\)", _TEXT)
    paths = re.findall(r"guests/patches/[\w.-]+", _TEXT)
    assert links
    assert paths
    assert all((ROOT / "docs" / link).exists() for link in links)
    assert all((ROOT / path).exists() for path in paths)


@pytest.mark.qemu
@pytest.mark.kernel_build
def test_every_command_does_what_the_text_says(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "guests").symlink_to(ROOT / "guests")
    assert _COMMANDS[0] == ("pip install .", "")
    assert len(_COMMANDS) == 10
    for command, status in _COMMANDS[1:]:
        done = _run(installed, tmp_path, command)
        output = done.stdout + done.stderr
        assert done.returncode == int(status or 0), f"{command}:\n{output}"
        said = next((text for words, text in _SAID.items() if command.startswith(words)), "")
        assert said in output, f"{command}:\n{output}"
    answer = (tmp_path / "answer.mail").read_text()
    assert "hfs_init_fs_context" in answer
    run = next(command for command, _ in _COMMANDS if command.startswith("errpath run"))
    report = _run(installed, tmp_path, run).stdout
    for words in ("fc->s_fs_info, in sget_fc", "fs/hfs/super.c:", "not freed"):
        assert words in report
    assert (tmp_path / "errpath-results").is_dir()
