"""The kernel's reports as failures: syzbot's titles, kinds, stable signatures."""

from __future__ import annotations

import pytest

from errpath.cases.case import Device, MountCase, Outcome
from errpath.cases.steps import Mount
from errpath.kernel import log
from errpath.kernel.log import find_crashes
from errpath.oracles.failure import CORRUPTION, WARNING
from errpath.oracles.kernel_log import LOG_KINDS, hang_failure, log_failures
from suites.selftest import golden
from suites.selftest.paths import ROOT

_REPORTS = ROOT / "suites" / "selftest" / "golden" / "oops"
_NULL = "BUG: unable to handle kernel NULL pointer dereference in hfs_fill_super"

# By golden file: (kind, title) of each report in it.
_TITLES: dict[str, list[tuple[str, str]]] = {
    "bug_at": [("oops", "kernel BUG in hfs_fill_super")],
    "busy_inodes": [("corruption", "VFS: Busy inodes after unmount (hfs)")],
    "clean_boot": [],
    "hung_in_io": [("hang", "INFO: task hung")],
    "hung_task": [("hang", "INFO: task hung in super_lock")],
    "kasan": [("corruption", "KASAN: slab-use-after-free Read in hfs_mdb_put")],
    "kfence": [("corruption", "KFENCE: use-after-free read in hfs_mdb_put")],
    "list_corruption": [("corruption", "BUG: corrupted list in hfs_fill_super")],
    "lockdep_held": [("lockdep", "WARNING: lock held when returning to user space")],
    "lockdep_rcu": [("lockdep", "WARNING: suspicious RCU usage")],
    "null_dereference": [("oops", _NULL)],
    "page_fault": [("oops", "BUG: unable to handle kernel paging request in hfs_fill_super")],
    "panic_no_root": [("oops", "kernel panic: Attempted to kill init!")],
    "protection_fault": [("oops", "general protection fault in hfs_fill_super")],
    "refcount": [("corruption", "WARNING: refcount bug in hfs_fill_super")],
    "slab_corruption": [("corruption", "Poison overwritten in slab kmalloc-512")],
    "slab_remaining": [
        ("resource leak", "Objects remaining on __kmem_cache_shutdown() in slab hfs_inode_cache")
    ],
    "soft_lockup": [("hang", "BUG: soft lockup in sys_mount")],
    "ubsan": [("undefined behaviour", "UBSAN: array-index-out-of-bounds")],
    "warning": [("warning", "WARNING in generic_shutdown_super")],
}


@pytest.mark.parametrize("name", _TITLES)
def test_titles(name: str) -> None:
    text = golden.load(_REPORTS / f"{name}.txt").input
    found = log_failures(find_crashes(text))
    assert [(one.kind.name, one.title) for one in found] == _TITLES[name]
    assert all(one.evidence for one in found)


@pytest.mark.parametrize(
    "name", ["lockdep_circular", "rcu_stall", "rcu_self_stall", "sleeping", "several"]
)
def test_every_report_has_a_title(name: str) -> None:
    text = golden.load(_REPORTS / f"{name}.txt").input
    found = log_failures(find_crashes(text))
    assert found
    for one in found:
        assert "{" not in one.title
        assert "+0x" not in one.title


def test_every_kind_of_the_log_is_a_kind_of_failure() -> None:
    assert {kind for kind, _, _ in log._STARTS} == set(LOG_KINDS)


def test_a_warning_of_an_older_kernel_has_the_same_title() -> None:
    new = "WARNING: fs/hfs/bnode.c:520 at hfs_bnode_create+0x6b/0x240 [hfs], CPU#0: t/38\n"
    old = "WARNING: CPU: 0 PID: 38 at fs/hfs/bnode.c:489 hfs_bnode_create+0x60/0x230 [hfs]\n"
    first, again = (log_failures(find_crashes(text))[0] for text in (new, old))
    assert first.title == again.title == "WARNING in hfs_bnode_create"
    assert (first.signature, first.where) == (again.signature, "fs/hfs/bnode.c:520")
    assert again.where == "fs/hfs/bnode.c:489"


def test_signatures_hold_across_addresses_and_builds() -> None:
    first = (
        "BUG: kernel NULL pointer dereference, address: 0000000000000018\n"
        "RIP: 0010:hfs_mdb_put+0x1c/0x90\nCall Trace:\n---[ end trace 0000000000000000 ]---\n"
    )
    again = first.replace("0018", "0020").replace("+0x1c/0x90", "+0x2c/0xa0")
    other = first.replace("hfs_mdb_put", "hfs_fill_super")
    signatures = [log_failures(find_crashes(text))[0].signature for text in (first, again, other)]
    assert signatures[0] == signatures[1] != signatures[2]


def test_what_comes_after_a_fatal_report_follows() -> None:
    text = "BUG: KASAN: slab-use-after-free in f+0x1/0x2\nCall Trace:\n g+0x1/0x2\nWARNING: x\n"
    found = log_failures(find_crashes(text))
    assert [(one.kind, one.follows) for one in found] == [(CORRUPTION, False), (WARNING, True)]


_CASE = MountCase("c", "hfs", Device(), (Mount("hfs"),), seconds=3.0)


@pytest.mark.parametrize(
    ("stack", "title"),
    [
        (
            "__flush_work+0x1/0x2\nhfs_file_fsync+0x3/0x4 [hfs]\n",
            "hfs_file_fsync",
        ),
        # A task that runs: the top of its stack is wherever it was caught.
        ("find_get_block_common+0x1/0x2\nhfs_mdb_get+0x1/0x2 [hfs]\n", "hfs_mdb_get"),
        ("wb_wait_for_completion+0x1/0x2\nsync_inodes_sb+0x1/0x2\n", "sync_inodes_sb"),
    ],
)
def test_a_hung_task_is_named_by_where_it_waits(stack: str, title: str) -> None:
    found = hang_failure(_CASE, Outcome("t", 1, hung=True, stack=stack))
    assert found.title == f"INFO: task hung in {title}"
    assert found.detail == "the task did not end within 3 s"


def test_a_hung_task_without_a_stack() -> None:
    assert hang_failure(_CASE, Outcome("t", 1, hung=True)).title == "INFO: task hung"
