"""docs/writing-suites.md, followed to the letter from an empty directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from suites.selftest.paths import ROOT

pytestmark = pytest.mark.qemu

_BLOCK = re.compile(r"((?:^.+\n)+)\n((?:^(?: {4}.*)?\n)+)", re.MULTILINE)
_FILE = re.compile(r"`([\w./]+(?:\.\w+|Kbuild))`")


def documented_files(text: str) -> dict[str, str]:
    """The files of a document: a block whose paragraph names a file as its first or last words."""
    files = {}
    for paragraph, block in _BLOCK.findall(text):
        code = textwrap.dedent(block)
        names = _FILE.findall(" ".join(paragraph.split()))
        if names and not code.startswith("$ "):
            begins = paragraph.startswith(f"`{names[0]}`")
            files[names[0] if begins else names[-1]] = code.strip("\n") + "\n"
    return files


def _commands(text: str) -> list[list[str]]:
    return [line.split() for line in re.findall(r"^    \$ (.*)$", text, re.MULTILINE)]


def _pytest(directory: Path, *words: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(
        argv,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("suite")
    for name, text in documented_files((ROOT / "docs" / "writing-suites.md").read_text()).items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if text.startswith("#!") else 0o644)
    return directory


def test_the_document_has_these_files(suite: Path) -> None:
    found = {str(path.relative_to(suite)) for path in suite.rglob("*") if path.is_file()}
    assert found == {
        *("test_ext4.py", "test_by_hand.py", "test_toy.py"),
        *("filesystems/toy.yaml", "filesystems/mkfs.toy"),
        *("filesystems/toy/Kbuild", "filesystems/toy/toy.c"),
    }


def test_the_documents_commands_pass(suite: Path) -> None:
    commands = _commands((ROOT / "docs" / "writing-suites.md").read_text())
    assert [command[0] for command in commands] == ["pytest", "pytest"]
    counts = []
    for _, *words in (*commands, ["pytest", "test_by_hand.py"]):
        output = _pytest(suite, *words)
        found = re.search(r"^(\d+) passed in ", output, re.MULTILINE)
        assert found, output
        counts.append(int(found[1]))
    assert counts[0] > 30
    assert counts[1] > 60
    assert counts[2] == 1


def test_the_leak_that_the_document_mentions_is_found(suite: Path, tmp_path: Path) -> None:
    """The negative control: the same module without its kfree()."""
    source = suite / "filesystems" / "toy" / "toy.c"
    text = source.read_text()
    leaking = text.replace("\tkill_block_super(sb);\n\tkfree(info);\n", "\tkill_block_super(sb);\n")
    assert leaking != text
    source.write_text(leaking.replace("\tvoid *info = sb->s_fs_info;\n\n", ""))
    by_hand = (
        "import pytest\nfrom errpath import Device, Mount, MountCase, Umount, image\n"
        "@pytest.mark.qemu\n@pytest.mark.filesystems('toy')\ndef test_leaks(guest):\n"
        "    steps = (Mount('toy'), Umount())\n"
        "    guest.run_case(MountCase('c', 'toy', Device(image('toy')), steps))\n"
        "    guest.expect_no_leaks()\n"
    )
    (suite / "test_leaks.py").write_text(by_hand)
    try:
        judged = _pytest(suite, "test_toy.py", "-k", "d-plain-mount-rw")
        free_form = _pytest(suite, "test_leaks.py")
    finally:
        source.write_text(text)
        (suite / "test_leaks.py").unlink()
    for output in (judged, free_form):
        assert re.search(r"^1 failed.* in ", output, re.MULTILINE), output
        assert "confirmed 2 of 2" in output
        assert re.search(r"toy_init_fs_context\+0x\w+ \[toy\]  .*toy\.c:\d+", output), output
        assert "allocated  toy_init_fs_context (" in output
