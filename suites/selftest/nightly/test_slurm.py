"""A Slurm array, really run: one controller and three node daemons on the loopback address.

The cases are planted and need no guest: what is tested is who runs what, and that nothing is lost
when a node dies.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from errpath.results.merge import find_results, merge, read_all
from suites.selftest.nightly.slurmcluster import Cluster, cluster, missing_programs
from suites.selftest.paths import ROOT

_ROOT = ROOT
_ARRAY = _ROOT / "docs" / "scale" / "slurm" / "array.sh"
# Case 5 waits for a file, on whichever node it runs first, so that the node can be killed.
_SUITE = """
import os, pathlib, time
import pytest
from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount

CASES = [MountCase(f"hfs-none-{n}", "hfs", Device(), (Mount("hfs"),)) for n in range(30)]

@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_case(case):
    place = pathlib.Path(os.environ["PLANTED"])
    if case.id == "hfs-none-5" and not (place / "go").exists():
        (place / "node").write_text(os.environ["SLURMD_NODENAME"])
        while not (place / "go").exists():
            time.sleep(0.05)
    assert case.id != "hfs-none-7", "planted"
"""

pytestmark = pytest.mark.skipif(
    bool(missing_programs()) or os.geteuid() != 0,
    reason="needs root and the Debian packages slurmctld, slurmd, slurm-client, munge",
)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("slurm")) as up:
        yield up


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "suite" / "test_planted.py"
    path.parent.mkdir()
    path.write_text(_SUITE)
    (path.parent / "pytest.ini").write_text("[pytest]\n")
    return path


def _submit(slurm: Cluster, suite: Path, shards: int, *words: str) -> None:
    exported = {
        "PLANTED": str(suite.parent),
        "PYTHONPATH": str(_ROOT),
        "ERRPATH_PYTHON": sys.executable,
    }
    export = ",".join(["ALL", *(f"{name}={value}" for name, value in exported.items())])
    slurm.call(
        "sbatch",
        f"--array=1-{shards}",
        f"--export={export}",
        f"--chdir={suite.parent}",
        str(_ARRAY),
        str(suite),
        str(suite.parent / "results"),
        *words,
    )


def test_an_array_makes_a_whole(slurm: Cluster, suite: Path) -> None:
    (suite.parent / "go").touch()
    _submit(slurm, suite, 5)
    slurm.wait_for_jobs(300)
    merged = merge(read_all(find_results([suite.parent / "results"])))
    assert merged.problems == ()
    assert len(merged.results.cases) == 30
    failed = [record.case for _, record in merged.results.cases if record.reasons]
    assert failed == ["hfs-none-7"]


def test_a_node_that_dies_loses_nothing(slurm: Cluster, suite: Path) -> None:
    _submit(slurm, suite, 3)
    place = suite.parent / "node"
    slurm.wait_for(lambda: bool(place.exists() and place.read_text()), "the case that waits")
    node = place.read_text()
    slurm.kill_node(node)
    # Without the dead node's shard, nobody is told that all is well.
    slurm.wait_for(
        lambda: len(list((suite.parent / "results").glob("*.jsonl"))) == 3, "the other shards"
    )
    torn = merge(read_all(find_results([suite.parent / "results"])))
    assert any("cut short" in problem for problem in torn.problems)
    assert any("hfs-none-5" in name for name in torn.missing)
    (suite.parent / "go").touch()
    # Slurm notices, and queues the task again on another node; in two minutes, so that a broken
    # node can come back, unless told otherwise.
    waiting = ("squeue", "-h", "-t", "PENDING", "-o", "%A")
    slurm.wait_for(lambda: bool(slurm.call(*waiting).strip()), "a task in line")
    slurm.call("scontrol", "update", f"JobId={slurm.call(*waiting).strip()}", "StartTime=now")
    slurm.wait_for_jobs(300)
    merged = merge(read_all(find_results([suite.parent / "results"])))
    assert merged.problems == ()
    assert merged.replaced == 1
    assert len(merged.results.cases) == 30
    slurm.start_node(node)
