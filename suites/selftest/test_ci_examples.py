"""The CI examples of docs/scale, run with the built wheel in a checkout, up to the kernel's source.

apt is not on the PATH: whoever asks for the kernel's source ends there, in one line.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from suites.selftest.paths import ROOT
from suites.selftest.wheel import Installed

_SCALE = ROOT / "docs" / "scale"
# What a kernel build and a guest want of the machine, but apt.
_TOOLS = "sh env git make gcc ld tar xz patch bc flex bison cp cat uname qemu-system-x86_64 setpriv"
_NO_SOURCE = "apt-get: not found on PATH (Debian package apt; "
_NO_KVM = "accel: kvm does not work here"
# The wheel stands for what these install, tox and people run the last one.
_DONE_ALREADY = {
    r"apt-get update && apt-get install -y python3-venv": "true",
    r"python3 -m venv venv && venv/bin/pip install \.": "true",
    r"pip install \.": "true",
    r"(venv/bin/)?errpath doctor --install": r"\1errpath doctor --help > doctor",
}


class _Checkout:
    """A copy of the files of this checkout, with the wheel in the environment `venv`."""

    def __init__(self, directory: Path, installed: Installed) -> None:
        self.directory = directory / "checkout"
        argv = [
            "git",
            "-C",
            str(ROOT),
            "ls-files",
            "-z",
            "suites",
            "docs",
            "pyproject.toml",
            "*.py",
        ]
        listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not name.startswith("suites/selftest/"):
                target = self.directory / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, target)
        (self.directory / "venv").symlink_to(installed.root)
        tools = directory / "tools"
        tools.mkdir()
        for name in _TOOLS.split():
            if found := shutil.which(name):
                (tools / name).symlink_to(found)
        pytest_script = tools / "pytest"
        pytest_script.write_text(f'#!/bin/sh\nexec {installed.root}/bin/python -m pytest "$@"\n')
        pytest_script.chmod(0o755)
        self._environment = {
            "HOME": str(directory / "home"),
            "ERRPATH_CACHE": str(directory / "cache"),
            "PATH": f"{installed.root}/bin:{tools}",
            "PIP_ROOT_USER_ACTION": "ignore",
        }

    def run(self, script: str, **environment: str) -> tuple[int, str]:
        """The status of a script of the example, and what it printed."""
        for pattern, other in _DONE_ALREADY.items():
            script = re.sub(pattern, other, script)
        if not (self.directory / "venv" / "bin" / "pytest").exists():
            script = script.replace("venv/bin/pytest", "pytest")
        done = subprocess.run(
            ["sh", "-ec", script],
            cwd=self.directory,
            env=self._environment | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path, installed: Installed) -> _Checkout:
    return _Checkout(tmp_path, installed)


def _merged(checkout: _Checkout, script: str, number: int, **environment: str) -> None:
    """One of `number` shards has a file of results, with nothing in it: no answer."""
    status, output = checkout.run(script, **environment)
    assert status == 125, output
    assert f"shard {number}/{number}: missing" in output
    assert ": cut short (" in output
    assert "Traceback" not in output


def test_gitlab(checkout: _Checkout) -> None:
    jobs: dict[str, Any] = yaml.safe_load((_SCALE / "gitlab" / ".gitlab-ci.yml").read_text())
    prepared = jobs["default"]["before_script"]
    assert checkout.run("\n".join(prepared))[0] == 0
    (build,) = jobs["kernel"]["script"]
    status, output = checkout.run(build)
    assert status == 125
    assert output.splitlines()[-1].startswith(f"errpath: {_NO_SOURCE}")
    (shard,) = jobs["hfs"]["script"]
    total = str(jobs["hfs"]["parallel"])
    status, output = checkout.run(shard, CI_NODE_INDEX="1", CI_NODE_TOTAL=total)
    # The runners of the example have KVM; this machine may have none.
    assert _NO_SOURCE in output or _NO_KVM in output, output
    assert status != 0
    assert "shard 1/8 (from CI_NODE_INDEX" in output
    _merged(checkout, "\n".join(jobs["merge"]["script"]), int(total), CI_PROJECT_NAME="linux")


def test_github(checkout: _Checkout) -> None:
    flow: dict[str, Any] = yaml.safe_load((_SCALE / "github" / "errpath.yml").read_text())
    job = flow["jobs"]["hfs"]
    shards = job["strategy"]["matrix"]["shard"]
    names = {"strategy.job-index": "1", "strategy.job-total": str(len(shards)), "matrix.shard": "2"}

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ (\S+) \}\}", lambda match: names[match[1]], text)

    environment = {name: filled(value) for name, value in job["env"].items()}
    install, shard = (filled(step["run"]) for step in job["steps"] if "run" in step)
    assert checkout.run(install, **environment)[0] == 0
    status, output = checkout.run(shard, **environment)
    assert status != 0
    assert _NO_SOURCE in output, output
    assert "shard 2/4 (from ERRPATH_JOB_INDEX" in output
    (merge,) = (step["run"] for step in flow["jobs"]["merge"]["steps"] if "run" in step)
    _merged(checkout, merge, len(shards))
