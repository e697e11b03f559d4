"""errpath from its wheel, in a virtual environment and an empty directory."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from errpath.util.resources import shipped_suites
from suites.selftest.paths import ROOT
from suites.selftest.wheel import Installed

_MINE = """
import pytest

@pytest.mark.filesystems("hfs")
def test_mine(guest):
    assert "hfs" in guest.read_file("/proc/filesystems").decode()
"""
_JOB = """
name: j
kernels: [{name: stable, kernel: 'debian:7.2'}]
suites: [suites/hfs]
filesystems: [hfs]
keyword: "context"
directory: out
"""


def _tracked(*paths: str) -> set[str]:
    argv = ["git", "-C", str(ROOT), "ls-files", "--", *paths]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.splitlines() if (ROOT / name).exists()}


def _collected(text: str) -> list[str]:
    return [line for line in text.splitlines() if "::" in line]


def test_it_holds_guests_suites_and_definitions(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        f"errpath/{name.removeprefix('harness/errpath/')}"
        for name in _tracked("harness/errpath", "guests", "suites")
        if not name.startswith("suites/selftest/")
    }
    assert names >= expected
    # Files that are not committed yet may be there as well; nothing of errpath's own tests.
    assert not {name for name in names if "suites/selftest" in name}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("errpath", "kernel", "list"), ""),
        (("errpath", "images", "list"), "hfs"),
        (("errpath", "doctor"), "qemu"),
    ],
)
def test_commands_in_an_empty_directory(
    installed: Installed, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    cache = str(tmp_path / "cache")
    done = installed.run(*words, cwd=tmp_path, ERRPATH_CACHE=cache)
    assert done.returncode == 0, done.stdout + done.stderr
    assert expected in done.stdout.lower()


def test_the_shipped_suites_are_the_same_tests(installed: Installed, tmp_path: Path) -> None:
    words = ("errpath", "test", "hfs", "--collect-only", "-q")
    done = installed.run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    here = subprocess.run(
        ["pytest", "suites/hfs", "--collect-only", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(_collected(done.stdout)) > 2000
    assert _collected(done.stdout) == _collected(here.stdout)


def test_a_suite_that_is_not_there(installed: Installed, tmp_path: Path) -> None:
    known = ", ".join(shipped_suites())
    for name in ("none", "hfs/none.py", "../errors.py", "selftest", "suites/none::test"):
        done = installed.run("errpath", "test", name, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr == f"errpath: {name}: no such suite; expected one of {known}\n"
        assert done.stdout == ""


def test_no_configuration_around_the_environment_has_a_say(
    installed: Installed, tmp_path: Path
) -> None:
    (installed.root / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts="--none"\n')
    (installed.root / "conftest.py").write_text("raise AssertionError('not ours')\n")
    done = installed.run("errpath", "test", "hfs", "--collect-only", "-qq", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.qemu
def test_suites_jobs_and_a_test_of_ones_own(installed: Installed, tmp_path: Path) -> None:
    before = _files(installed)
    done = installed.run("errpath", "test", "hfs", "-k", "context", cwd=tmp_path, seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    # The finding of the NLS tables is known in half of them.
    assert "4 passed" in done.stdout
    assert "4 xfailed" in done.stdout
    assert (tmp_path / ".pytest_cache").is_dir()

    (tmp_path / "test_mine.py").write_text(_MINE)
    # pytest is there without its script.
    words = ("python", "-m", "pytest", "test_mine.py")
    done = installed.run(*words, cwd=tmp_path, seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr

    case = "hfs-context-closed-after-create-ro"
    done = installed.run("errpath", "run", case, cwd=tmp_path, seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr

    (tmp_path / "job.yaml").write_text(_JOB)
    done = installed.run("errpath", "nightly", "run", "job.yaml", cwd=tmp_path, seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "index.html").is_file()
    # It may be installed where nobody can write.
    assert _files(installed) == before


def _files(installed: Installed) -> set[Path]:
    package = installed.site_packages / "errpath"
    return {path for path in package.rglob("*") if "__pycache__" not in path.parts}
