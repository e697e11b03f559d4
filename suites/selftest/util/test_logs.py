"""What `-v` shows, and that nothing is shown without it."""

from __future__ import annotations

import subprocess
import sys

from suites.selftest.paths import ROOT

_SCRIPT = """
import sys
from errpath.util import process
from errpath.util.logs import show_logs
if sys.argv[1:]:
    show_logs()
    show_logs()
process.run(["true"])
"""


def _shown(*words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_programs_are_shown_once_with_time_and_status() -> None:
    (line,) = _shown("-v")
    time, name, text = line.split(maxsplit=2)
    assert time.count(":") == 2
    assert name == "errpath.util.process:"
    assert text.startswith("status 0 after 0.")
    assert "true" in text


def test_nothing_is_shown_unless_asked_for() -> None:
    assert _shown() == []
