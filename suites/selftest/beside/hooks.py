"""The hooks of docs/leakcheck.md, and the checkouts of the runners that they are for."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

import pytest

from suites.selftest.paths import ROOT

__all__ = ["hook", "real_runner"]


def hook(runner: str) -> str:
    """The first block of a runner's section."""
    text = (ROOT / "docs" / "leakcheck.md").read_text()
    section = text[text.index(f"### {runner}\n") :]
    block = re.search(r"(?m)(?:^ {4}.*\n|^\n(?= {4}))+", section)
    assert block is not None
    return textwrap.dedent(block[0]).strip() + "\n"


def real_runner(name: str) -> Path:
    """A runner's checkout in $ERRPATH_RUNNERS, or a skip."""
    runners = os.environ.get("ERRPATH_RUNNERS", "")
    path = Path(runners) / name
    if not runners or not path.is_dir():
        pytest.skip(f"no checkout {name} in ERRPATH_RUNNERS")
    return path
