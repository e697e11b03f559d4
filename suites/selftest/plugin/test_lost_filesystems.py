"""A filesystem that fails at one stage costs its own cases alone, with the reason."""

from __future__ import annotations

import pytest

from errpath.results.records import CaseRecord, CaseStatus
from errpath.results.reports.jsonl import read_results
from suites.selftest.paths import ROOT
from suites.selftest.runner import simsession

pytest_plugins = ["pytester"]

_TOY = """
fstype: toy
kconfig: [CONFIG_TOY_FS=m]
modules: [toy]
fill_super: toy_fill_super
reconfigure: ""
source: fs/toy/super.c
image:
  size: 4096
  mkfs: [./mkfs.toy, "{image}"]
"""
_TESTS = """
from errpath.plugin.lifecycle import killsb_parameters

def pytest_generate_tests(metafunc):
    metafunc.parametrize("case", killsb_parameters(metafunc.config))

def test_killsb(case, expect_pass):
    expect_pass()
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The matrix over hfs and a filesystem `toy`, in simulated guests."""
    pytester.makeconftest(simsession.CONFTEST)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ERRPATH_CACHE", str(pytester.path / "cache"))
    folder = pytester.mkdir("suite")
    (folder / "filesystems").mkdir()
    (folder / "filesystems" / "toy.yaml").write_text(_TOY)
    (folder / "test_suite.py").write_text(_TESTS)
    return pytester


def _mkfs(suite: pytest.Pytester, text: str) -> None:
    path = suite.path / "suite" / "filesystems" / "mkfs.toy"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _run(suite: pytest.Pytester, *words: str) -> dict[str, list[CaseRecord]]:
    """Records by filesystem. Mounts and unmounts of the simulation do as they are told."""
    result = suite.runpytest_subprocess(
        *("suite", "--fs", "hfs,toy", "--event", "d", "--results", "r.jsonl", *words)
    )
    assert result.ret in (0, 1), str(result.stdout)
    found: dict[str, list[CaseRecord]] = {"hfs": [], "toy": []}
    for _, record in read_results(suite.path / "r.jsonl").cases:
        found["toy" if "toy" in record.nodeid else "hfs"].append(record)
    assert found["hfs"]
    assert {record.status for record in found["hfs"]} == {CaseStatus.PASS}
    return found


def test_control_nothing_is_lost(suite: pytest.Pytester) -> None:
    _mkfs(suite, 'printf toy | dd of="$1" conv=notrunc status=none')
    assert {record.status for record in _run(suite)["toy"]} == {CaseStatus.PASS}


def test_no_mkfs_is_a_skip(suite: pytest.Pytester) -> None:
    (record,) = _run(suite)["toy"]
    assert record.status is CaseStatus.SKIP
    assert "mkfs.toy: not there, or not executable" in record.reasons[0]


def test_a_mkfs_that_fails_is_an_error(suite: pytest.Pytester) -> None:
    _mkfs(suite, "echo no space >&2; exit 3")
    (record,) = _run(suite)["toy"]
    assert record.status is CaseStatus.ERROR
    assert "filesystem toy: " in record.reasons[0]
    assert "no space" in record.reasons[0]


@pytest.mark.parametrize(
    ("kernel", "status", "reason"),
    [
        # No option for it, a module that does not compile, one that does not load.
        ("absent:toy", CaseStatus.SKIP, "filesystem toy: not in sim: CONFIG_X is absent"),
        ("broken:toy", CaseStatus.ERROR, "fs/toy/super.c:1: error: expected expression"),
        ("unloadable:toy", CaseStatus.ERROR, "filesystem toy: toy does not load: Exec format"),
    ],
)
def test_what_a_kernel_lacks_costs_one_filesystem(
    suite: pytest.Pytester, kernel: str, status: CaseStatus, reason: str
) -> None:
    _mkfs(suite, 'printf toy | dd of="$1" conv=notrunc status=none')
    found = _run(suite, "--kernel", kernel)["toy"]
    assert {record.status for record in found} == {status}
    assert all(reason in record.reasons[0] for record in found)
