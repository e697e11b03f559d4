"""Which function names a stack."""

from __future__ import annotations

import pytest

from errpath.oracles.frames import base_name, first_named, is_helper, own_frames, stack_frames

_HELPERS = """
kmemdup_noprof kmemdup_nul kvmemdup kstrdup kstrndup kvasprintf kasprintf kobject_set_name
kobject_set_name_vargs alloc_inode_sb __kmalloc_noprof __kmalloc_cache_noprof kzalloc_noprof
kmem_cache_alloc_lru_noprof __kvmalloc_node_noprof kcalloc krealloc_noprof slab_post_alloc_hook
___slab_alloc kmemleak_alloc alloc_pages_noprof __alloc_frozen_pages_noprof folio_alloc_noprof
vmalloc_noprof __vmalloc_node_range_noprof pcpu_alloc_noprof memdup_user mempool_alloc_noprof
schedule __schedule io_schedule mutex_lock __mutex_lock.constprop.0 down_write
rwsem_down_write_slowpath out_of_line_wait_on_bit folio_wait_bit_common __lock_buffer
__flush_work dump_stack_lvl print_report kasan_report __asan_load8 panic refcount_warn_saturate
lock_acquire _raw_spin_lock asm_exc_page_fault memcpy
"""
_OWN = """
omfs_get_imap hfs_init_fs_context adfs_init_fs_context __hfs_bnode_create hfs_mdb_get alloc_super
alloc_fs_context set_page_dirty hfs_write_inode sync_inodes_sb new_inode hfs_alloc_inode d_alloc
kill_block_super generic_shutdown_super vfs_get_tree super_lock check_mount kstrtoint
"""


@pytest.mark.parametrize("function", _HELPERS.split())
def test_a_helper_names_nothing(function: str) -> None:
    assert is_helper(function)
    assert first_named((function, "omfs_get_imap", "omfs_fill_super")) == "omfs_get_imap"


@pytest.mark.parametrize("function", _OWN.split())
def test_a_filesystem_and_the_vfs_are_named(function: str) -> None:
    assert first_named(("kmemdup_noprof", function)) == function


def test_what_the_compiler_appends_is_left_out() -> None:
    assert base_name("hfs_brec_update_parent.isra.0") == "hfs_brec_update_parent"
    assert base_name("f.constprop.0.isra.0") == "f"
    assert base_name("f.part.0.cold") == "f"
    assert own_frames(("kmalloc", "g.cold", "0xffffffffa0000000")) == ["g"]


def test_a_stack_of_helpers_has_its_innermost() -> None:
    assert first_named(("kmalloc", "kmemdup_noprof")) == "kmalloc"
    assert first_named(()) == ""


def test_doubtful_frames_are_left_out() -> None:
    text = " <TASK>\n ? old+0x1/0x2\n f+0x1/0x2 [hfs]\n [<ffffffff81000000>] g+0x3/0x4\n"
    assert [(x.function, x.module) for x in stack_frames(text)] == [("f", "hfs"), ("g", "")]
