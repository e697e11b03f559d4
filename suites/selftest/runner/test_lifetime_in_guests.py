"""The life of leaked objects, measured in guests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from errpath.cases.lifecycle import plan
from errpath.oracles.failure import RESOURCE_LEAK, WARNING, Failure
from errpath.runner.kept_references import counted_in, measure_kept
from errpath.runner.lifetime import Lifetime
from errpath.runner.testbed import Testbed

pytestmark = [pytest.mark.qemu, pytest.mark.xdist_group("guests")]


def _measured(testbed: Testbed, case_id: str) -> Lifetime:
    filesystem = case_id.split("-")[1]
    case = next(one.case for one in plan((filesystem,), "abcdefg") if one.id == case_id)
    assert case is not None
    functions = (case.fault.function,) if case.fault is not None else ()
    try:
        return testbed.watch((filesystem,), functions)(case)
    finally:
        testbed.close()


def test_the_last_reference_goes_where_the_array_is_freed(
    make_testbed: Callable[..., Testbed],
) -> None:
    """docs/findings/omfs-free-imap.patch changes omfs_put_super()."""
    found = _measured(make_testbed(), "killsb-omfs-d-plain-mount-ro")
    timeline = found.timeline
    assert timeline is not None, found.reason
    assert timeline.allocated.function == "omfs_get_imap"
    assert timeline.allocated.file == "fs/omfs/inode.c"
    (holder,) = timeline.holders
    assert holder.freed
    assert not holder.elsewhere
    assert timeline.lost.function == "omfs_put_super"
    assert timeline.lost.text == "kfree(sbi->s_imap);"


def test_s_fs_info_goes_from_the_context_to_the_superblock(
    make_testbed: Callable[..., Testbed],
) -> None:
    found = _measured(make_testbed(), "killsb-adfs-b-injected-EIO-mount-rw")
    timeline = found.timeline
    assert timeline is not None, found.reason
    assert timeline.allocated.function == "adfs_init_fs_context"
    context, superblock = timeline.holders
    assert context.stored.function == "adfs_init_fs_context"
    assert (context.gone and context.gone.text) == "fc->s_fs_info = NULL;"
    assert superblock.stored.text == "s->s_fs_info = fc->s_fs_info;"
    assert superblock.stored.function == "sget_fc"
    # An RCU callback frees the superblock, long after the call.
    assert superblock.freed
    assert superblock.elsewhere


def test_what_leaks_nothing_has_no_timeline(make_testbed: Callable[..., Testbed]) -> None:
    found = _measured(make_testbed(), "killsb-minix-d-plain-mount-ro")
    assert found == Lifetime(None, "in a guest of its own the case leaks nothing")


def test_what_is_stored_beside_it_is_released_where_it_should_be(
    make_testbed: Callable[..., Testbed],
) -> None:
    """guests/patches/hfs-trees-stay-open.patch takes the closing out of hfs_mdb_put()."""
    testbed = make_testbed(patches=("hfs-trees-stay-open.patch",))
    found = _measured(testbed, "killsb-hfs-d-plain-mount-rw")
    assert found.timeline is not None, found.reason
    assert found.timeline.last is not None
    assert found.timeline.last.freed
    assert found.release is not None
    assert found.release.place.function == "hfs_mdb_put"
    assert "mdb_bh" in found.release.beside


@pytest.mark.parametrize(
    ("patch", "failure", "kind", "place", "text", "freed"),
    [
        (
            "hfs-lost-buffer",
            Failure(
                RESOURCE_LEAK, "", resource="allocations: fs/buffer.c:1 func:alloc_buffer_head"
            ),
            "buffer",
            # Of what hfs_mdb_put() takes and puts nothing is left.
            "hfs_mdb_get",
            "bh = sb_bread512(sb, part_start + HFS_MDB_BLK, mdb);",
            # By a tail call of kfree(), whose caller is not always known.
            None,
        ),
        (
            "hfs-inode-kept",
            Failure(WARNING, "VFS: Busy inodes after unmount (hfs)"),
            "inode",
            "hfs_btree_open",
            "tree->inode = iget_locked(sb, id);",
            "hfs_btree_close",
        ),
        (
            "hfs-dentry-kept",
            Failure(WARNING, "BUG: Dentry still in use in unmount"),
            "dentry",
            "hfs_fill_super",
            "sb->s_root = d_make_root(root_inode);",
            # The VFS puts what is there, and clears it.
            "",
        ),
    ],
    ids=["buffer", "inode", "dentry"],
)
def test_who_took_what_is_not_put(
    make_testbed: Callable[..., Testbed],
    patch: str,
    failure: Failure,
    kind: str,
    place: str,
    text: str,
    freed: str | None,
) -> None:
    found = counted_in([failure])
    assert found is not None
    assert found[1].name == kind
    testbed = make_testbed(patches=(f"{patch}.patch",))
    case = next(one.case for one in plan(("hfs",), "d") if one.id == "killsb-hfs-d-plain-mount-rw")
    assert case is not None
    try:
        kept = measure_kept(testbed, ("hfs",), (), None, case, found[1])
    finally:
        testbed.close()
    assert kept.takers, kept.reason
    assert (kept.takers[0].place.function, kept.takers[0].place.text) == (place, text)
    assert kept.takers[0].kept > 0
    holder = kept.holder
    freed_by = holder.gone.function if holder and holder.gone and holder.freed else ""
    assert freed_by if freed is None else freed_by == freed
