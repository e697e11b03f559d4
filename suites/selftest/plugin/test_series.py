"""A small selection on one newer series and one LTS, beside the default kernel: named, for the
newest moves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from errpath.guest.definition import load_guest
from errpath.kernel import KernelRequest, KernelStore
from errpath.results.records import CaseRecord, CaseStatus
from errpath.results.reports.jsonl import read_results
from errpath.util.progress import silent
from suites.selftest.plugin.test_runs import PATCH, pytest_argv, run

pytestmark = [pytest.mark.qemu, pytest.mark.kernel_build, pytest.mark.xdist_group("series")]

NEWER, LTS = "debian:7.3", "debian:6.12"
# What is forced with EIO, what fails by itself, and what is remounted.
_MOUNTS = "(EIO and fsopen) or device or remount"


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The runs below have a time limit; a kernel that is not in the cache takes longer."""
    store = KernelStore(progress=silent())
    for spec in (NEWER, LTS):
        store.build(KernelRequest(spec, fragments=load_guest("microvm").fragments))


def _run(tmp_path: Path, *words: str) -> tuple[int, str, dict[str, CaseRecord]]:
    """Status, what was printed, and the records by case."""
    results = tmp_path / "r.jsonl"
    done = run(pytest_argv(*words, "-q", f"--artefacts={tmp_path / 'a'}", f"--results={results}"))
    found = read_results(results).cases if results.is_file() else ()
    return done.returncode, done.stdout + done.stderr, {one.case: one for _, one in found}


def _count(records: dict[str, CaseRecord]) -> Counter[CaseStatus]:
    return Counter(record.status for record in records.values())


@pytest.mark.parametrize("kernel", [NEWER, LTS])
def test_mounts_are_green_and_what_is_left_out_says_why(tmp_path: Path, kernel: str) -> None:
    words = ("suites/hfs/test_mount.py", "-k", _MOUNTS, "--kernel", kernel)
    status, text, records = _run(tmp_path, *words)
    assert status == 0, text
    count = _count(records)
    assert set(count) <= {CaseStatus.PASS, CaseStatus.SKIP}, text
    assert count[CaseStatus.PASS] >= 70
    skipped = [one for one in records.values() if one.status is CaseStatus.SKIP]
    lacks = ("hfs_reconfigure", "hfsplus_reconfigure") if kernel == LTS else ()
    why = {one.reasons[0].partition(":")[0] for one in skipped}
    assert why == {f"function {name}" for name in lacks}
    assert "oracles: leak verdicts, superblocks" in text


def test_a_planted_leak_is_red_by_name(tmp_path: Path) -> None:
    case = "hfs-setup_bdev_super-EIO-fsopen-ro"
    words = ("suites/hfs/test_mount.py", "--kernel", NEWER, "--patch", PATCH, "--case", case)
    status, text, records = _run(tmp_path, *words)
    assert (status, records[case].status) == (1, CaseStatus.FAIL), text
    assert "memory leak in hfs_init_fs_context" in records[case].reasons[0]


def test_a_patch_that_a_series_does_not_take_says_where(tmp_path: Path) -> None:
    words = ("suites/hfs/test_mount.py", "--kernel", LTS, "--patch", PATCH, "-k", "remount")
    status, text, records = _run(tmp_path, *words)
    assert status not in (0, 1)
    assert not records
    assert "hfs-kill-sb-leak.patch: fs/hfs/" in text
    assert "does not apply" in text


def test_images_are_expected_to_do_what_the_kernel_s_code_says(tmp_path: Path) -> None:
    """On the series that has the change, and on the default kernel, which has not."""
    names = ("hfs-root-id-5-mount-ro", "hfsplus-private-map-cut-mount-rw")
    for kernel in (NEWER, "debian:7.2"):
        words = ("suites/hfs/test_crafted_images.py", "--kernel", kernel)
        status, text, records = _run(
            tmp_path, *words, *(word for name in names for word in ("--case", name))
        )
        assert status == 0, text
        assert _count(records) == {CaseStatus.PASS: 2}


def test_the_matrix_leaves_out_the_filesystems_that_a_series_lacks(tmp_path: Path) -> None:
    words = ("suites/killsb", "--fs", "efs,minix", "--event", "b,d", "--no-conservation")
    status, text, records = _run(tmp_path, *words, "--kernel", NEWER)
    assert status == 0, text
    found: dict[str, set[CaseStatus]] = {}
    for record in records.values():
        found.setdefault(record.filesystem, set()).add(record.status)
    assert found == {"efs": {CaseStatus.SKIP}, "minix": {CaseStatus.PASS}}
    reasons = {one.reasons[0] for one in records.values() if one.filesystem == "efs"}
    assert all("CONFIG_EFS_FS is absent" in reason for reason in reasons)
