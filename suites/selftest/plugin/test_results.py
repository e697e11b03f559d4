"""Results of real pytest runs: lines, properties, shards; with fakes instead of guests."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from errpath.errors import UsageError
from errpath.results.records import CaseStatus, ShardRecord
from errpath.results.reports.jsonl import ResultFile, read_results, write_results
from suites.selftest.paths import ROOT
from suites.selftest.results.data import KERNEL, records
from suites.selftest.runner import simsession

_ROOT = ROOT
_SUITE = """
import pytest
from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount

CASES = [MountCase(f"hfs-none-{n}", "hfs", Device(), (Mount("hfs"),)) for n in range(6)]

@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_case(case):
    assert case.id != "hfs-none-3", "planted"

@pytest.fixture
def broken():
    raise OSError("no guest")

def test_setup(broken): pass
def test_skipped(): pytest.skip("not here")
def test_plain(): pass
@pytest.fixture
def untidy():
    yield
    raise OSError("no cleaning")
def test_untidy(untidy): pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "suite" / "test_planted.py"
    path.parent.mkdir()
    path.write_text(_SUITE)
    (path.parent / "pytest.ini").write_text("[pytest]\n")
    # xdist's controller has every kernel built before its workers begin.
    (path.parent / "conftest.py").write_text(simsession.CONFTEST)
    return path


def _pytest(suite: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest", "-q"]
    argv += ["--artefacts", str(suite.parent / "artefacts")]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CI_", "SLURM_", "PYTEST_"))}
    env = {**env, "PYTHONPATH": str(_ROOT), **environment}
    return subprocess.run(
        [*argv, *words, str(suite)],
        cwd=suite.parent,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _run(suite: Path, *words: str, name: str = "r.jsonl", **environment: str) -> ResultFile:
    path = suite.parent / name
    _pytest(suite, "--results", str(path), *words, **environment)
    return read_results(path)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_outcome(suite: Path, workers: int) -> None:
    results = _run(suite, "-n", str(workers))
    assert results.whole
    assert results.status == 1
    by_name = {record.case.rpartition(":")[2]: record for _, record in results.cases}
    assert {name: record.status.value for name, record in by_name.items()} == {
        **{f"hfs-none-{n}": "pass" for n in range(6)},
        "hfs-none-3": "fail",
        "test_setup": "error",
        "test_skipped": "skip",
        "test_plain": "pass",
        "test_untidy": "error",
    }
    assert "planted" in by_name["hfs-none-3"].reasons[0]
    assert by_name["hfs-none-3"].filesystem == "hfs"
    assert by_name["test_setup"].reasons == ("OSError: no guest",)
    assert by_name["test_untidy"].reasons == ("no cleaning",)
    assert "not here" in by_name["test_skipped"].reasons[0]


def test_junit_carries_the_same(suite: Path) -> None:
    _pytest(suite, "--junitxml", "j.xml")
    root = ET.parse(suite.parent / "j.xml").getroot()
    found = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in root.iter("testcase")
    }
    failed = found["test_case[hfs-none-3]"]
    assert failed["errpath.status"] == "fail"
    assert failed["errpath.case"] == "hfs-none-3"
    assert "planted" in str(failed["errpath.reasons"])


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_make_a_whole(suite: Path, workers: int) -> None:
    parts = [
        _run(suite, "-n", str(workers), name=f"{i}.jsonl", CI_NODE_INDEX=str(i), CI_NODE_TOTAL="2")
        for i in (1, 2)
    ]
    assert [part.shard for part in parts] == [ShardRecord(i, 2) for i in (1, 2)]
    assert all(part.whole for part in parts)
    assert len({part.collected for part in parts}) == 1
    planned = [node for part in parts for node in part.planned or ()]
    assert sorted(planned) == sorted(parts[0].collected or ())
    assert len(planned) == 10


def test_a_shard_with_nothing_to_do_is_whole(suite: Path) -> None:
    results = [
        _run(suite, "-k", "hfs-none-1", "--shard", f"{i}/2", name=f"{i}.jsonl") for i in (1, 2)
    ]
    assert all(part.whole for part in results)
    assert sorted(len(part.cases) for part in results) == [0, 1]


def test_selection_of_nothing_stays_an_error(suite: Path) -> None:
    results = _run(suite, "-k", "no_such_case", "--shard", "1/2")
    assert not results.whole
    assert results.status == pytest.ExitCode.NO_TESTS_COLLECTED


def test_none_switches_the_environment_off(suite: Path) -> None:
    results = _run(suite, "--shard", "none", CI_NODE_INDEX="1", CI_NODE_TOTAL="2")
    assert len(results.cases) == 10


def test_cases_from(suite: Path) -> None:
    chosen = suite.parent / "cases"
    plain = "test_planted.py::test_plain"
    chosen.write_text(f"hfs-none-3\n{plain}\n")
    results = _run(suite, "--cases-from", str(chosen))
    assert {record.case for _, record in results.cases} == {"hfs-none-3", plain}
    chosen.write_text("hfs-none-9\n")
    done = _pytest(suite, "--cases-from", str(chosen))
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "hfs-none-9: no such case" in done.stderr


def test_wrong_shard_is_one_line(suite: Path) -> None:
    done = _pytest(suite, "--shard", "5/4")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "expected I/N" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_run_leaves_what_it_had(suite: Path) -> None:
    suite.write_text(suite.read_text() + "\ndef test_z(): import os; os.kill(os.getpid(), 9)\n")
    results = _run(suite)
    assert len(results.cases) == 10
    assert results.status is None
    assert not results.whole


def test_round_trip(tmp_path: Path) -> None:
    made = ResultFile(
        shard=ShardRecord(2, 3),
        started=1.0,
        ended=2.0,
        collected=("a", "b"),
        planned=("b",),
        kernels=(KERNEL,),
        cases=tuple(("stable", record) for record in records("PFES")),
        status=1,
    )
    path = tmp_path / "r.jsonl"
    write_results(path, made, version="0")
    assert read_results(path) == made


def test_a_torn_last_line_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    made = ResultFile(cases=tuple(("stable", record) for record in records("PF")), status=0)
    write_results(path, made, version="0")
    text = path.read_text()
    for cut in range(len(text) - 1, text.index("\n") + 1, -7):
        path.write_text(text[:cut])
        assert len(read_results(path).cases) <= 2
    path.write_text(text.replace('"case"', '"case', 1))
    with pytest.raises(UsageError, match=r"r.jsonl:3: .*expected a line of results"):
        read_results(path)
    path.write_text("")
    with pytest.raises(UsageError, match="no run in it"):
        read_results(path)


def test_statuses_are_plain_values() -> None:
    """execnet, which carries them from worker to controller, knows no enums."""
    from errpath.results.records import to_json

    assert type(to_json(records("F")[0])["status"]) is str
    assert CaseStatus("fail") is CaseStatus.FAIL


_SMALL_DISK = """
import resource
def pytest_sessionstart(session):
    # The kernel answers a longer file with EFBIG, as a full disk answers with ENOSPC.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2500, resource.RLIM_INFINITY))
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_a_disk_that_fills_up_ends_the_run_in_one_line(suite: Path, workers: int) -> None:
    conftest = suite.parent / "conftest.py"
    conftest.write_text(conftest.read_text() + _SMALL_DISK)
    words = ["-n", str(workers), "-p", "no:cacheprovider"]
    done = _pytest(suite, "--results", "r.jsonl", *words, PYTHONDONTWRITEBYTECODE="1")
    text = done.stdout + done.stderr
    assert done.returncode == 125, text
    assert text.count("r.jsonl: File too large; expected room for results") == 1
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    results = read_results(suite.parent / "r.jsonl")
    assert results.cases, "what was written before is kept"
    assert not results.whole


def test_a_disk_that_is_full_at_once_is_one_line(suite: Path) -> None:
    done = _pytest(suite, "--results", "/dev/full")
    text = done.stdout + done.stderr
    assert done.returncode == 125
    assert text.count("/dev/full: No space left on device; expected room for results") == 1
    assert "Traceback" not in text
    (suite.parent / "file").touch()
    done = _pytest(suite, "--results", "file/r.jsonl")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1
    assert lines[0].endswith("expected a file to write to")
