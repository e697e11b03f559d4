"""Records for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from errpath.oracles import failure
from errpath.oracles.failure import Failure
from errpath.results.history.store import History
from errpath.results.records import (
    CaseRecord,
    CaseStatus,
    IssueRecord,
    KernelRecord,
    PatchRecord,
    TrackRecord,
)
from errpath.results.run_records import RunRow

__all__ = ["ISSUE", "KERNEL", "LEAK", "TRACK", "add_run", "records"]

TRACK = TrackRecord("hfs", "stable", "microvm", "suites/hfs")
KERNEL = KernelRecord(
    name="stable",
    spec="debian:7.2",
    state="c0ffee",
    release="7.2.13",
    description="debian:7.2 (7.2.13-1), 1 patch",
    config_hash="a" * 64,
    patches=(PatchRecord("b" * 40, "hfs-fix.patch", "d" * 64),),
)
LEAK = Failure(
    failure.LEAK,
    "memory leak in hfs_init_fs_context",
    signature="memory leak in hfs_init_fs_context < alloc_fs_context",
    functions=("__kmalloc_noprof", "hfs_init_fs_context", "alloc_fs_context"),
    size=512,
    detail="1 unreferenced object, 512 bytes, confirmed 2 of 2",
)
ISSUE = IssueRecord("hfs-s-fs-info", "docs/findings/hfs.md", "s_fs_info is lost")


def records(statuses: str, *, found: Failure = LEAK) -> list[CaseRecord]:
    """One record per letter: P, F, X (expected), E or S. Cases are named by their place."""
    return [_record(number, letter, found) for number, letter in enumerate(statuses)]


def _record(number: int, letter: str, found: Failure) -> CaseRecord:
    status = {
        "P": CaseStatus.PASS,
        "F": CaseStatus.FAIL,
        "X": CaseStatus.XFAIL,
        "E": CaseStatus.ERROR,
        "S": CaseStatus.SKIP,
    }[letter]
    case = f"hfs-setup_bdev_super-EIO-{number:04d}"
    passed = status is CaseStatus.PASS
    return CaseRecord(
        case=case,
        status=status,
        reasons=() if passed else (found.line,),
        failures=() if passed else (found,),
        issue=ISSUE if status is CaseStatus.XFAIL else None,
        seconds=0.004,
        filesystem="hfs",
        event="setup_bdev_super",
        errno="EIO",
        rerun=f"errpath run {case}",
        artefacts="" if passed else f"artefacts/{case}",
        nodeid=f"suites/hfs/test_mount.py::test_forced_failure[{case}]",
    )


def add_run(
    history: History,
    name: str,
    statuses: str | Sequence[str],
    *,
    started: float,
    kernel: KernelRecord = KERNEL,
    status: str = "complete",
    unit_status: str = "done",
    directory: Path = Path("/nonexistent"),
    track: TrackRecord = TRACK,
) -> RunRow:
    """A whole run of one unit; several strings are further units of the same track."""
    run = history.begin_run(
        id=name,
        job="hfs",
        digest="j",
        harness="h",
        host="here",
        directory=directory,
        started=started,
    )
    history.add_kernel(run, kernel)
    for number, letters in enumerate([statuses] if isinstance(statuses, str) else statuses):
        history.add_unit(
            run, f"unit-{number}", track, records(letters), status=unit_status, seconds=20.0
        )
    history.end_run(run, status=status, note="", ended=started + 60)
    return history.run(name)
