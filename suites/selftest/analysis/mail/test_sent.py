"""Mails that were sent, as those who get them read them: git send-email, git am and b4."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from errpath.analysis.mail.message import read_patches
from errpath.cli import main
from errpath.kernel.layout import Layout
from errpath.kernel.source.spec import open_spec
from errpath.kernel.source.tree import Tree
from errpath.util.cache import cache_root
from errpath.util.progress import silent
from suites.selftest.git_am import git_am

# Two patches: the second answers the first.
_FINDING = "gfs2"
# What git send-email takes for a mail server: it keeps each mail.
_SERVER = """#!/bin/sh
n=$(ls "$SENT" | wc -l)
exec cat > "$SENT/$n"
"""
_SEPARATOR = "From a@b.org Thu Jan  1 00:00:00 1970\n"

pytestmark = pytest.mark.kernel_build


@pytest.fixture
def posting(tmp_path: Path) -> tuple[Path, ...]:
    """The files that errpath mail writes."""
    directory = tmp_path / "posting"
    directory.mkdir()
    assert main.main(["mail", _FINDING, "-o", str(directory), "--from", "A <a@b.org>"]) == 0
    files = tuple(sorted(directory.iterdir()))
    assert [path.name[:5] for path in files] == ["0001-", "0002-"]
    return files


@pytest.fixture(scope="module")
def tree() -> Tree:
    return open_spec(Layout(cache_root()), "debian:7.2", silent())


def _run(argv: list[str], home: Path) -> str:
    """Run a program with nothing of the user's configuration; what it says."""
    keep = {name: os.environ[name] for name in ("PATH", "PERL5LIB") if name in os.environ}
    own = {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "SENT": str(home / "sent")}
    done = subprocess.run(
        argv,
        env={**keep, **own},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def _send(files: tuple[Path, ...], home: Path) -> list[str]:
    """The mails as they leave the machine, in order."""
    core = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True)
    if shutil.which("git-send-email", path=core.stdout.strip()) is None:
        pytest.skip("no git send-email (Debian package git-email)")
    (home / "sent").mkdir()
    server = home / "server"
    server.write_text(_SERVER)
    server.chmod(0o755)
    words = ["--confirm=never", "--suppress-cc=author", "--from=A <a@b.org>"]
    _run(["git", "send-email", *words, f"--smtp-server={server}", *map(str, files)], home)
    sent = sorted((home / "sent").iterdir(), key=lambda path: int(path.name))
    return [path.read_text() for path in sent]


def test_a_sent_series_is_applied_by_git_am(
    posting: tuple[Path, ...], tmp_path: Path, tree: Tree
) -> None:
    sent = _send(posting, tmp_path)
    first, second = (email.message_from_string(text) for text in sent)
    assert "gfs2@lists.linux.dev" in first["Cc"]
    assert second["In-Reply-To"] == first["Message-ID"]
    subjects = [one.subject for one in read_patches(posting)]
    assert list(git_am(tree, [text.encode() for text in sent])) == subjects


def test_b4_makes_a_series_of_what_was_sent(
    posting: tuple[Path, ...], tmp_path: Path, tree: Tree
) -> None:
    if shutil.which("b4") is None:
        pytest.skip("no b4 (pip install 'errpath[reports]')")
    # A list hands them out in any order.
    sent = reversed(_send(posting, tmp_path))
    (tmp_path / "sent.mbox").write_text("\n".join(_SEPARATOR + mail for mail in sent))
    words = ["--offline-mode", "--no-interactive", "-n", "am", "-m", "sent.mbox", "-o", "out"]
    said = _run(["b4", *words], tmp_path)
    assert "Total patches: 2" in said
    (series,) = (tmp_path / "out").glob("*.mbx")
    subjects = [one.subject for one in read_patches(posting)]
    assert [one.subject for one in read_patches((series,))] == subjects
    mails = series.read_bytes().split(b"From git@z Thu Jan  1 00:00:00 1970\n")[1:]
    assert list(git_am(tree, mails)) == subjects


def test_half_a_series_is_no_series(posting: tuple[Path, ...], tmp_path: Path) -> None:
    """What b4 says where a mail is missing: the check of the series checks something."""
    if shutil.which("b4") is None:
        pytest.skip("no b4 (pip install 'errpath[reports]')")
    (tmp_path / "sent.mbox").write_text(_SEPARATOR + posting[0].read_text().partition("\n")[2])
    words = ["--offline-mode", "--no-interactive", "-n", "am", "-m", "sent.mbox", "-o", "out"]
    assert "ERROR: missing [2/2]!" in _run(["b4", *words], tmp_path)
