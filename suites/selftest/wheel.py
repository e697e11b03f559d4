"""The built wheel in an environment of its own, for the tests of what people install."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from suites.selftest.paths import ROOT

__all__ = ["Installed", "build_wheel", "dependencies", "installed", "wheel"]


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel; its dependencies are those of this environment."""

    # The environment.
    root: Path

    @property
    def site_packages(self) -> Path:
        paths = {"base": str(self.root), "platbase": str(self.root)}
        return Path(sysconfig.get_path("purelib", vars=paths))

    def run(
        self, *words: str, cwd: Path, seconds: float = 120.0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in `cwd`."""
        return subprocess.run(
            [str(self.root / "bin" / words[0]), *words[1:]],
            cwd=cwd,
            env=clean_environment() | environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def clean_environment() -> dict[str, str]:
    """This environment without what would tell of the checkout, of a CI or of a running pytest."""
    gone = ("PYTHON", "PYTEST_", "CI", "SLURM_", "ERRPATH_JOB", "ERRPATH_SHARD", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(gone)}


def build_wheel(directory: Path) -> Path:
    """Build the wheel of this checkout.

    hatchling of this environment is used if it is there; else pip fetches it.
    """
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    if importlib.util.find_spec("hatchling") is not None:
        argv.append("--no-build-isolation")
    argv += ["--wheel-dir", str(directory), str(ROOT)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = directory.glob("*.whl")
    return path


def dependencies(directory: Path) -> Path:
    """A directory with all that is installed here but errpath, to go on another Python's path."""
    directory.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        own = path.name.startswith(("errpath", "_errpath", "_editable_impl_errpath"))
        if not own and path.suffix != ".pth":
            (directory / path.name).symlink_to(path)
    return directory


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    root = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    made = Installed(root)
    (made.site_packages / "deps.pth").write_text(f"{dependencies(root / 'deps')}\n")
    argv = [sys.executable, "-m", "pip", "--python", str(root / "bin" / "python"), "install"]
    argv += ["--quiet", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return made
