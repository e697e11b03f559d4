"""Points of sweeps that are chosen by their ids, as further attempts at a night's failures are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from suites.selftest.paths import ROOT

_UNIT = "sweep-hfs-mount-rw-alloc"
_POINT = f"{_UNIT}-hfs_init_fs_context"

# Tells which points each of the chosen tests is asked for.
_TELL = """
from errpath.plugin.sweep import CHOSEN_POINTS

def pytest_collection_finish(session):
    for item in session.items:
        print("chosen", item.name, *item.stash.get(CHOSEN_POINTS, ()))
"""


def _collect(tmp_path: Path, *names: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "tell.py").write_text(_TELL)
    chosen = tmp_path / "unsure"
    chosen.write_text("".join(f"{name}\n" for name in names))
    argv = [sys.executable, "-m", "pytest", "-p", "tell", "--collect-only", "-q", "-s"]
    argv += ["--cases-from", str(chosen), "--artefacts", str(tmp_path), "suites/sweep"]
    return subprocess.run(
        argv,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((_POINT,), f"chosen test_sweep[{_UNIT}] {_POINT}"),
        ((_POINT, f"{_POINT}#2"), f"chosen test_sweep[{_UNIT}] {_POINT} {_POINT}#2"),
        ((f"suites/sweep/test_sweep.py::test_sweep[{_UNIT}]",), f"chosen test_sweep[{_UNIT}]"),
    ],
)
def test_a_points_id_chooses_its_test_and_that_point_alone(
    tmp_path: Path, names: tuple[str, ...], told: str
) -> None:
    done = _collect(tmp_path, *names)
    lines = [line for line in done.stdout.splitlines() if line.startswith("chosen")]
    assert lines == [told], done.stdout + done.stderr


def test_what_no_sweep_can_have_is_refused(tmp_path: Path) -> None:
    done = _collect(tmp_path, "sweep-hfs-mount-sideways-alloc-hfs_init_fs_context")
    assert done.returncode == 4
    assert "no such case or test" in done.stdout + done.stderr
