"""`errpath nightly bisect`: every option that is given reaches the process that answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Runs the command with this program in the place of Python for the processes that it starts.
_MAIN = "import sys; sys.executable = sys.argv.pop(1); from errpath.cli.main import main; sys.exit(main(sys.argv[1:]))"  # noqa: E501
_RECORD = """#!{python}
import json, sys
with open({out!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""
_JOB = """
name: j
kernels: [{name: old, kernel: "debian:7.2"}, {name: new, kernel: "debian:7.2"}]
suites: [suites/hfs]
conservation: true
"""


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    path = tmp_path / "recorder"
    out = str(tmp_path / "asked")
    path.write_text(_RECORD.format(python=sys.executable, out=out))
    path.chmod(0o755)
    return path


def _bisect(tmp_path: Path, recorder: Path, *words: str) -> list[str]:
    """The words of the first process that is asked."""
    argv = [sys.executable, "-c", _MAIN, str(recorder), "nightly", "bisect", "a-case", *words]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    # Whoever is asked gives no answer.
    assert done.returncode == 2, done.stderr
    assert "expected good" in done.stderr
    asked: list[str] = json.loads((tmp_path / "asked").read_text().splitlines()[0])
    return asked


@pytest.mark.parametrize("over", ["git", "job"])
def test_options_reach_the_process_that_answers(tmp_path: Path, recorder: Path, over: str) -> None:
    if over == "git":
        tree = tmp_path / "tree"
        tree.mkdir()
        for words in (["init", "-q"], *[["commit", "-q", "--allow-empty", "-m", "x"]] * 2):
            git = ["git", "-C", str(tree), "-c", "user.name=x", "-c", "user.email=x@x"]
            subprocess.run([*git, *words], check=True)
        which = ["--tree", str(tree), "--good", "HEAD~1", "--bad", "HEAD"]
    else:
        job = tmp_path / "job.yaml"
        job.write_text(_JOB)
        which = ["--job", str(job)]
    given = {"--isolation": "boot", "--leak-check": "slow"}
    words = [word for pair in given.items() for word in pair]
    asked = _bisect(tmp_path, recorder, *which, *words, "--conservation")
    for name, value in given.items():
        assert (f"{name}={value}" in asked) or (
            name in asked and asked[asked.index(name) + 1] == value
        ), asked
    assert {"--conservation", "--resource-leaks"} & set(asked)


def test_what_a_job_says_of_its_oracles_reaches_it(tmp_path: Path, recorder: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(_JOB)
    asked = _bisect(tmp_path, recorder, "--job", str(job))
    assert {"--conservation", "--resource-leaks"} & set(asked)
