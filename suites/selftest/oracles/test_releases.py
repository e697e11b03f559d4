"""Which function should have released what was lost with what held it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from errpath.oracles.releases import find_release
from errpath.oracles.timeline import Holder, Place

# What hfs, ext4 and ocfs2 do, in few lines.
_MDB = """\
int hfs_mdb_get(struct super_block *sb)
{
    HFS_SB(sb)->mdb_bh = bh;
    HFS_SB(sb)->ext_tree = hfs_btree_open(sb);
    /* brelse(HFS_SB(sb)->ext_tree) would be wrong */
    if (HFS_SB(sb)->fs_ablocks == 0)
        hfs_btree_close(HFS_SB(sb)->ext_tree);
    tree->root = 1;
}

void hfs_mdb_commit(struct super_block *sb)
{
    lock_buffer(HFS_SB(sb)->mdb_bh);
    input(HFS_SB(sb)->ext_tree);
}

void hfs_mdb_put(struct super_block *sb)
{
    // hfs_btree_close(HFS_SB(sb)->ext_tree);
    if (HFS_SB(sb)->mdb_bh)
        brelse(HFS_SB(sb)->mdb_bh);
    free_root(tree->root);
}
"""
_MMP = """\
static int ext4_multi_mount_protect(struct super_block *sb)
{
    EXT4_SB(sb)->s_mmp_bh = bh;
    EXT4_SB(sb)->s_mmp_tsk = kthread_run(kmmpd, sb, "kmmpd-%.*s",
                                         name);
}

void ext4_stop_mmpd(struct ext4_sb_info *sbi)
{
    if (sbi->s_mmp_tsk) {
        kthread_stop(sbi->s_mmp_tsk);
        sbi->s_mmp_tsk = NULL;
    }
}
"""
_LOCAL = """\
int ocfs2_load_local_alloc(struct ocfs2_super *osb)
{
    osb->local_alloc_bh = alloc_bh;
}

int ocfs2_reserve_local_alloc_bits(struct ocfs2_super *osb)
{
    alloc = (struct ocfs2_dinode *) osb->local_alloc_bh->b_data;
    kfree(alloc);
}

void ocfs2_shutdown_local_alloc(struct ocfs2_super *osb)
{
    struct buffer_head *bh = NULL;

    bh = osb->local_alloc_bh;
    osb->local_alloc_bh = NULL;
    brelse(bh);
}
"""
_FILES = {"fs/a/mdb.c": _MDB, "fs/a/mmp.c": _MMP, "fs/a/localalloc.c": _LOCAL, "fs/a/gone.c": ""}


def _holder(name: str, function: str, file: str) -> Holder:
    gone = Place("put_super", "fs/a/super.c", 9)
    return Holder(name, 0x1000, Place(function, f"fs/a/{file}", 4), gone, freed=True)


_TREE = _holder("HFS_SB(sb)->ext_tree", "hfs_mdb_get", "mdb.c")
_BUFFER = _holder("EXT4_SB(sb)->s_mmp_bh", "ext4_multi_mount_protect", "mmp.c")
_BITMAP = _holder("osb->local_alloc_bh", "ocfs2_load_local_alloc", "localalloc.c")


@pytest.mark.parametrize(
    ("holder", "function", "line", "text", "beside"),
    [
        # Its own error path and a comment are no release, and tree->root is of another structure.
        (_TREE, "hfs_mdb_put", 21, "brelse(HFS_SB(sb)->mdb_bh);", ("mdb_bh",)),
        (_BUFFER, "ext4_stop_mmpd", 11, "kthread_stop(sbi->s_mmp_tsk);", ("s_mmp_tsk",)),
        # By the name of a local variable. A pointer that is in the buffer is not the buffer.
        (_BITMAP, "ocfs2_shutdown_local_alloc", 18, "brelse(bh);", ()),
    ],
    ids=["beside", "thread", "itself"],
)
def test_the_function_that_releases_it_or_what_is_beside_it(
    holder: Holder, function: str, line: int, text: str, beside: tuple[str, ...]
) -> None:
    found = find_release(holder, _FILES)
    assert found is not None
    assert found.place == Place(function, holder.stored.file, line, text)
    assert found.beside == beside
    assert found.stored_by == holder.stored.function
    assert found.member == holder.name.rpartition("->")[2]


def test_what_it_was_in_is_cleared_as_a_whole() -> None:
    cleared = Place("ocfs2_delete_osb", "fs/a/super.c", 9, "memset(osb, 0, sizeof(*osb));")
    found = find_release(replace(_BITMAP, freed=False, gone=cleared), _FILES)
    assert found == find_release(_BITMAP, _FILES)
    # Who stored something else there had the pointer in hand.
    stored = replace(cleared, text="osb->local_alloc_bh = NULL;")
    assert find_release(replace(_BITMAP, freed=False, gone=stored), _FILES) is None


def test_the_source_does_not_tell() -> None:
    # No member.
    assert find_release(replace(_TREE, name="*ptr"), _FILES) is None
    # Nothing that is stored beside it is released.
    assert find_release(_TREE, {"fs/a/mdb.c": _MDB.partition("void hfs_mdb_put")[0]}) is None


def test_two_functions_that_could_be_meant() -> None:
    twin = _MMP.replace("ext4_stop_mmpd", "ext4_stop_again")
    # Its counterpart stands where that stands which stored it.
    found = find_release(_BUFFER, {"fs/a/mmp.c": _MMP, "fs/a/other.c": twin})
    assert found is not None
    assert found.place.function == "ext4_stop_mmpd"
    assert find_release(_BUFFER, {"fs/a/mmp.c": _MMP + twin}) is None
