"""What people install as a Debian package. A container: test_container.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from errpath.cli.doctor import examine_packages
from suites.selftest.paths import ROOT

_INSTALL = ROOT / "docs" / "install"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("deb")
    done = subprocess.run(
        [sys.executable, _INSTALL / "make_deb.py", out],
        env={**os.environ, "DEBEMAIL": "errpath@lists.debian.org"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.deb")
    return path


def test_the_package_works_where_it_is_unpacked(package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", package, tmp_path / "root"], check=True)
    library = tmp_path / "root" / "usr" / "lib" / "errpath"
    command = (tmp_path / "root" / "usr" / "bin" / "errpath").read_text()
    assert f"PYTHONPATH=/{library.relative_to(tmp_path / 'root')} " in command
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-m", "errpath.cli", "images", "list"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(library), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hfs" in done.stdout
    assert (library / "errpath" / "guests" / "agent" / "main.c").is_file()


def test_the_package_depends_on_what_doctor_names(package: Path) -> None:
    done = subprocess.run(
        ["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True, check=True
    )
    names = {word.split()[0] for word in done.stdout.split(", ")}
    needed = set(examine_packages()[0]) - {"util-linux"}
    assert names >= needed
    assert "qemu-system-x86" in names


def test_lintian_finds_no_error(package: Path) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("no lintian (Debian package lintian)")
    words = ["lintian", "--fail-on", "error", "--tag-display-limit", "0"]
    # As root it warns of nothing but that.
    root = ["--allow-root"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*words, *root, package], capture_output=True, text=True, timeout=200, check=False
    )
    errors = [line for line in done.stdout.splitlines() if line.startswith("E:")]
    assert (done.returncode, errors) == (0, []), done.stdout + done.stderr


def test_the_package_wants_a_maintainer(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "DEBEMAIL"}
    done = subprocess.run(
        [sys.executable, _INSTALL / "make_deb.py", tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
