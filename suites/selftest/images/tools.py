"""Programs that others wrote, to judge our images: on PATH, or in the folders of ERRPATH_TOOLS."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from errpath.filesystems.hfsprogs import find_program
from errpath.images.image import Image

__all__ = ["fsck", "run_tool"]

# Debian package that brings each program.
_PACKAGES = {
    "7zz": "7zip",
    "fsck.hfs": "hfsprogs",
    "fsck.hfsplus": "hfsprogs",
    "hcopy": "hfsutils",
    "hformat": "hfsutils",
    "hls": "hfsutils",
    "hmount": "hfsutils",
    "mkfs.hfs": "hfsprogs",
    "mkfs.hfsplus": "hfsprogs",
}


def _find(name: str) -> str:
    """The program's path; the test is skipped where it is missing."""
    folders = [*os.environ.get("ERRPATH_TOOLS", "").split(os.pathsep), os.environ.get("PATH", "")]
    # Debian keeps the checkers where only root's PATH looks.
    folders += ["/usr/sbin", "/sbin"]
    found = shutil.which(name, path=os.pathsep.join(folder for folder in folders if folder))
    if found is None and _PACKAGES[name] == "hfsprogs":
        cached = find_program(name)
        found = str(cached) if cached is not None else None
    if found is None:
        pytest.skip(f"{name} is missing (package {_PACKAGES[name]}); not on PATH or ERRPATH_TOOLS")
    return found


def run_tool(
    argv: Sequence[str], *, home: Path, check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run a program by its name; `home` keeps its state from the user's."""
    command = [_find(argv[0]), *argv[1:]]
    done = subprocess.run(
        command,
        capture_output=True,
        env={**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        timeout=60,
        check=False,
    )
    if check:
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done


def fsck(image: Image, folder: Path, *, program: str = "fsck.hfsplus") -> tuple[int, str]:
    """(exit status, output) of the checker on a copy that it must not repair."""
    path = folder / "image"
    image.write(path)
    done = run_tool([program, "-n", "-f", "-d", str(path)], home=folder, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")
