"""Points of sweeps that are chosen by their ids, as further attempts at a night's failures are."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
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
    chosen = tmp_path / "unsure"
    chosen.write_text("".join(f"{name}\n" for name in names))
    return _pytest(tmp_path, "--cases-from", str(chosen))


def _pytest(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "tell.py").write_text(_TELL)
    argv = [sys.executable, "-m", "pytest", "-p", "tell", "--collect-only", "-q", "-s"]
    argv += ["--artefacts", str(tmp_path), *words, "suites/sweep"]
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


def test_all_of_a_volume_is_in_one_shard_and_large_ones_are_spread(tmp_path: Path) -> None:
    names = ("gfs2", "ext4", "hfs", "minix", "bfs", "affs", "cramfs", "efs")
    shards = []
    for index in (1, 2):
        done = _pytest(tmp_path, "--fs", ",".join(names), "--shard", f"{index}/2")
        found = re.findall(r"chosen test_sweep\[sweep-(\w+)-", done.stdout)
        shards.append(Counter(found))
    assert shards[0].keys() & shards[1].keys() == set()
    assert shards[0].keys() | shards[1].keys() == set(names)
    # Each event and kind of each: those that mount read-only alone have fewer events.
    assert all(one[name] >= 4 for one in shards for name in one)
    # gfs2 takes as long as all the others together.
    alone = next(one for one in shards if "gfs2" in one)
    assert "ext4" not in alone
