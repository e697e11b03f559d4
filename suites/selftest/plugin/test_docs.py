"""The examples of docs/writing-suites.md, run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from suites.selftest.paths import ROOT

pytestmark = pytest.mark.qemu


def test_writing_suites(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "writing-suites.md").read_text()
    blocks = re.findall(r"(?:^(?:    .*)?\n)+", text, flags=re.MULTILINE)
    code = "\n".join(textwrap.dedent(block) for block in blocks if "    " in block)
    assert code.count("def test_") == 2
    (tmp_path / "test_example.py").write_text(code)
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-q",
    ]
    argv += ["-c", str(ROOT / "pyproject.toml"), f"--artefacts={tmp_path / 'artefacts'}"]
    done = subprocess.run(
        [*argv, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
