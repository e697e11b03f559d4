"""What the kernel said of itself, as steps: allocated, freed, used, and where to look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from errpath.oracles import failure
from errpath.oracles.failure import Failure
from errpath.oracles.leaks import resource_failures
from errpath.oracles.message_source import MessageSource
from errpath.oracles.references import Taker
from errpath.oracles.releases import Release
from errpath.oracles.resources import Resource, ResourceLeak
from errpath.oracles.timeline import Holder, Place
from errpath.results.reports.crash_story import crash_lines, resource_lines
from errpath.results.reports.text import render
from errpath.runner.lifetime import Lifetime
from errpath.runner.result import Result
from errpath.runner.verdict import Status, Verdict
from suites.selftest.runner.simguest import make_case
from suites.selftest.runner.simsession import SimFrame

_TWICE = """\
BUG kmalloc-512 (Tainted: G           O       ): Object already free
-----------------------------------------------------------------------------
Allocated in hfs_init_fs_context+0x30/0xe0 [hfs] age=1 cpu=0 pid=39
 __kmalloc_cache_noprof+0x176/0x2f0
 hfs_init_fs_context+0x30/0xe0 [hfs]
 alloc_fs_context+0x122/0x190
Freed in hfs_kill_super+0x1a/0x30 [hfs] age=0 cpu=0 pid=39
 hfs_kill_super+0x1a/0x30 [hfs]
 deactivate_locked_super+0x29/0xa0
Slab 0xffffea00000da100 objects=10 used=7 fp=0xffff888003686c00 flags=0x240
RIP: 0010:object_err+0x22a/0x310
Call Trace:
 <TASK>
 free_to_partial_list+0x2a3/0x540
 kfree+0x192/0x330
 ? hfs_free_inode+0x20/0x20 [hfs]
 deactivate_locked_super+0x29/0xa0
 get_tree_bdev_flags+0x14b/0x1b0
"""
_NULL = """\
BUG: kernel NULL pointer dereference, address: 0000000000000018
RIP: 0010:hfsplus_kill_super+0x12/0x40 [hfsplus]
Call Trace:
 deactivate_locked_super+0x29/0xa0
"""
_FREED = """\
Oops: general protection fault, probably for non-canonical address 0x6b6b6b6b6b6b6b83: 0000 [#1]
RIP: 0010:hfs_bnode_put+0x12/0x40 [hfs]
Call Trace:
 hfs_brec_find+0x29/0xa0 [hfs]
"""
_WAITS = """\
 __flush_work+0x1bf/0x380
 hfs_file_fsync+0x4d/0x70 [hfs]
 do_fsync+0x4d/0xb0
"""
_BLOCKED = """\
task kworker/0:1+events_long 12
[<0>] __lock_buffer+0x4d/0x60
[<0>] hfs_mdb_commit+0x4d/0x70 [hfs]
[<0>] flush_mdb+0x4d/0x70 [hfs]
[<0>] process_one_work+0x4d/0x70
"""


def _lines(kind: failure.Kind, text: str, blocked: str = "") -> list[str]:
    return crash_lines(Failure(kind, "title", evidence=text), None, blocked)


def test_a_double_free_names_who_freed_first() -> None:
    lines = _lines(failure.CORRUPTION, _TWICE)
    assert "  allocated  hfs_init_fs_context" in lines
    assert "  freed      hfs_kill_super" in lines
    # The second kfree() was a tail call: no stack has its caller.
    assert any(line.startswith("  freed again ") for line in lines)
    assert lines[-1] == "  look at    hfs_kill_super"


def test_bad_pointers_are_described_by_what_they_are() -> None:
    null = _lines(failure.OOPS, _NULL)
    assert null[0] == "  pointer    0x18: a member of NULL"
    assert null[-1] == "  look at    hfsplus_kill_super"
    freed = _lines(failure.OOPS, _FREED)
    assert freed[0] == "  pointer    0x6b6b6b6b6b6b6b83: memory that was freed (slab poison 0x6b)"
    assert freed[-1] == "  look at    hfs_bnode_put"


def test_who_gave_rcu_a_bad_pointer_is_to_be_looked_at() -> None:
    text = _NULL.replace(
        "hfsplus_kill_super+0x12/0x40 [hfsplus]", "__call_rcu_common.constprop.0+0x22/0x260"
    )
    assert _lines(failure.OOPS, text)[-1] == "  look at    deactivate_locked_super"


def test_who_holds_the_lock_that_is_waited_for() -> None:
    own = _WAITS.replace("__flush_work", "__mutex_lock")
    lines = _lines(failure.HANG, own, f"owner errpath-hanging kworker/0:1\n{_BLOCKED}")
    assert lines[1] == "  owner      its lock is held by kworker/0:1"
    itself = _lines(failure.HANG, own, "owner errpath-hanging errpath-hanging\n")
    assert itself[1] == "  owner      its lock is held by itself"


def test_who_printed_what_nobody_expected() -> None:
    verdict = Verdict(make_case("c"), Status.FAIL, failures=(Failure(failure.KERNEL_LOG, "x: no"),))
    place = Place("f", "fs/x/a.c", 3, 'pr_err("no\\n");')
    text = render(
        Result(verdict, None, None),
        None,
        rerun="",
        folder=None,
        message=MessageSource(place, "if (bad)"),
    )
    assert '  printed    by f (fs/x/a.c:3): pr_err("no\\n");\n  because    if (bad)\n' in text
    assert "  look at    f (fs/x/a.c:3)\n" in text


def test_a_hang_that_waits_for_a_worker_is_the_workers() -> None:
    alone = _lines(failure.HANG, _WAITS)
    assert alone[0] == "  waits in   hfs_file_fsync <- do_fsync"
    assert alone[-1] == "  look at    hfs_file_fsync"
    both = _lines(failure.HANG, _WAITS, _BLOCKED)
    assert both[1].startswith("  also waits kworker/0:1+events_long in hfs_mdb_commit <- flush_mdb")
    assert both[-1] == "  look at    hfs_mdb_commit"
    # What waits for no other task is not another's fault.
    own = _WAITS.replace("__flush_work", "__lock_buffer")
    assert _lines(failure.HANG, own, _BLOCKED)[-1] == "  look at    hfs_file_fsync"


def test_a_task_that_waits_for_itself_is_described_by_its_cycle() -> None:
    stack = """\
[<0>] x_find_init+0x56/0xa0 [x]
[<0>] x_read+0x42/0x190 [x]
[<0>] x_extend+0x163/0x3a0 [x]
[<0>] x_read+0x15c/0x190 [x]
[<0>] x_extend+0x163/0x3a0 [x]
[<0>] x_create+0x68/0x490 [x]
"""
    assert _lines(failure.HANG, stack)[-1] == "  look at    the cycle x_read <- x_extend"


def test_a_task_that_runs_in_circles_is_described_by_what_every_look_finds() -> None:
    looks = "".join(
        f"sample\n[<0>] {name}+0x1/0x2\n[<0>] hfs_part_find+0x1/0x2 [hfs]\n{rest}"
        for name, rest in (
            ("__breadahead", "[<0>] hfs_mdb_get+0x1/0x2 [hfs]\n"),
            ("bread", "[<0>] hfs_mdb_get+0x1/0x2 [hfs]\n"),
        )
    )
    looks += "sample\n[<0>] lookup+0x1/0x2\n[<0>] hfs_mdb_get+0x9/0x20 [hfs]\n"
    stack = "[<0>] __breadahead+0x1/0x2\n[<0>] hfs_part_find+0x1/0x2 [hfs]\n"
    assert _lines(failure.HANG, stack, looks)[-1] == "  look at    hfs_mdb_get"
    # One stack seen again and again is of a task that does not move.
    same = "sample\n[<0>] f+0x1/0x2 [hfs]\n" * 4
    assert _lines(failure.HANG, stack, same)[-1] == "  look at    hfs_part_find"


def test_the_taker_of_what_is_not_given_back_is_the_filesystems() -> None:
    lost = Failure(
        failure.RESOURCE_LEAK,
        "not given back",
        functions=("alloc_buffer_head", "folio_alloc_buffers", "gfs2_getbuf", "gfs2_meta_read"),
    )
    assert resource_lines(lost, "gfs2")[-1] == "  look at    gfs2_getbuf <- gfs2_meta_read"
    assert resource_lines(Failure(failure.RESOURCE_LEAK, "pages"), "gfs2") == []


def test_a_report_of_what_is_not_given_back_ends_in_where_to_look() -> None:
    held = Resource("buffer heads", "buffer_head from alloc_buffer_head < hfs_get < hfs_read")
    failures = resource_failures([ResourceLeak(held, 32, 2)])
    result = Result(Verdict(make_case("a"), Status.FAIL, failures))
    text = render(result, None, rerun="", folder=None)
    assert "  look at    hfs_get <- hfs_read\n" in text
    reason = render(result, None, rerun="", folder=None, lifetime=Lifetime(None, "no gcc"))
    assert "  lifetime   not measured: no gcc\n" in reason


_BUFFER = Place("read_mmp_block", "fs/ext4/mmp.c", 84, "*bh = sb_getblk(sb, mmp_block);")
_HOLDER = Holder(
    "EXT4_SB(sb)->s_mmp_bh",
    0x1000,
    Place("ext4_multi_mount_protect", "fs/ext4/mmp.c", 377, "EXT4_SB(sb)->s_mmp_bh = bh;"),
    Place("ext4_put_sbi_rcu", "fs/ext4/super.c", 1287, "kfree(sbi);"),
    freed=True,
    elsewhere=True,
)
_STOP = Place("ext4_stop_mmpd", "fs/ext4/mmp.c", 256, "kthread_stop(sbi->s_mmp_tsk);")


@pytest.mark.parametrize(
    ("holder", "release", "told", "look"),
    [
        (None, None, [], "read_mmp_block (fs/ext4/mmp.c:84)"),
        (
            _HOLDER,
            None,
            ["freed      what held EXT4_SB(sb)->s_mmp_bh, in ext4_put_sbi_rcu", ", later"],
            "ext4_put_sbi_rcu (fs/ext4/super.c:1287)",
        ),
        # Who stored something else there may have left the put to others.
        (
            replace(_HOLDER, freed=False),
            None,
            ["given up   EXT4_SB(sb)->s_mmp_bh, in ext4_put_sbi_rcu"],
            "read_mmp_block (fs/ext4/mmp.c:84)",
        ),
        (
            _HOLDER,
            Release(_STOP, "s_mmp_bh", "ext4_multi_mount_protect", ("s_mmp_tsk",)),
            ["ext4_stop_mmpd (fs/ext4/mmp.c:256) releases s_mmp_tsk", "beside s_mmp_bh"],
            "ext4_stop_mmpd (fs/ext4/mmp.c:256)",
        ),
        (
            _HOLDER,
            Release(_STOP, "s_mmp_bh", "ext4_multi_mount_protect"),
            ["released   nowhere but in ext4_stop_mmpd (fs/ext4/mmp.c:256): kthread_stop"],
            "ext4_stop_mmpd (fs/ext4/mmp.c:256)",
        ),
    ],
    ids=["taken", "freed", "given-up", "beside", "released"],
)
def test_what_became_of_the_pointer_to_what_is_not_put(
    holder: Holder | None, release: Release | None, told: list[str], look: str
) -> None:
    lost = resource_failures([ResourceLeak(Resource("buffers", "buffer_head from f"), 2, 2)])
    result = Result(Verdict(make_case("a"), Status.FAIL, lost))
    lifetime = Lifetime(None, takers=(Taker(_BUFFER, 2, 0),), holder=holder, release=release)
    text = render(result, None, rerun="", folder=None, lifetime=lifetime)
    assert "  taken in   read_mmp_block (fs/ext4/mmp.c:84), 2 taken, 0 put" in text
    assert ("held by" in text) == (holder is not None)
    for words in told:
        assert words in text
    assert text.count("look at") == 1
    assert f"  look at    {look}\n" in text


def test_what_has_no_stack_has_no_story() -> None:
    assert _lines(failure.ERRNO, "") == []


def test_what_a_header_has_is_not_where_to_look() -> None:
    class Inlined:
        def resolve(
            self, function: str, offset: int, module: str | None = None
        ) -> tuple[SimFrame, ...]:
            return (
                SimFrame("read_mapping_folio", "include/linux/pagemap.h", 1015, True),
                SimFrame(function, "fs/hfsplus/super.c", 77),
            )

    lines = crash_lines(Failure(failure.OOPS, "title", evidence=_NULL), Inlined())
    assert lines[-1] == "  look at    hfsplus_kill_super (fs/hfsplus/super.c:77)"
