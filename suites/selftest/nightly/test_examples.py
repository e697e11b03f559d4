"""The examples under docs/scale are what they say: parsed by those who would parse them."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from errpath.guest.definition import load_guest
from errpath.nightly.job import load_job
from errpath.nightly.plan import Limits, plan
from errpath.results.known import load_known
from suites.selftest.paths import ROOT

_SCALE = ROOT / "docs" / "scale"


@pytest.mark.parametrize("name", ["example.yaml", "trees.yaml", "series.yaml"])
def test_jobs(name: str) -> None:
    job = load_job(_SCALE / name)
    assert plan(job, Limits(4, 8000), {name: load_guest(name).memory_mib for name in job.guests})
    assert job.known_path is not None
    load_known(job.known_path)
    # Nobody is told anything by an example.
    assert not job.mail_to
    assert not job.webhook


def test_the_known_issue_in_the_comment_is_right(tmp_path: Path) -> None:
    lines = (_SCALE / "known.yaml").read_text().splitlines()
    entry = [line[1:] for line in lines if line.startswith("#   ")]
    path = tmp_path / "known.yaml"
    path.write_text("issues:\n" + "\n".join(entry) + "\n")
    (issue,) = load_known(path)
    assert (issue.id, issue.patterns[0].kind) == ("hfs-setup-bdev", "leak")


def test_systemd_units() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze (Debian package systemd)")
    units = sorted(map(str, (_SCALE / "systemd").iterdir()))
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_gitlab() -> None:
    jobs = yaml.safe_load((_SCALE / "gitlab" / ".gitlab-ci.yml").read_text())
    stages = jobs["stages"]
    runnable = {
        name: job for name, job in jobs.items() if isinstance(job, dict) and "script" in job
    }
    assert {job["stage"] for job in runnable.values()} == set(stages)
    assert jobs["hfs"]["parallel"] == 8


def test_github() -> None:
    flow = yaml.safe_load((_SCALE / "github" / "errpath.yml").read_text())
    names = flow["jobs"]["hfs"]["env"]
    assert set(names) == {"ERRPATH_JOB_INDEX", "ERRPATH_JOB_TOTAL"}


def test_buildbot_is_python() -> None:
    ast.parse((_SCALE / "buildbot" / "master.cfg").read_text())


@pytest.mark.parametrize("name", ["array.sh", "night.sh"])
def test_shell(name: str) -> None:
    path = _SCALE / "slurm" / name
    subprocess.run(["sh", "-n", str(path)], check=True)
    assert path.stat().st_mode & 0o111
