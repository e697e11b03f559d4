// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where members of the kernel's structures lie (harness/errpath/guest/offsets.py), which a
 * configuration decides and DEBUG_INFO_REDUCED does not say. The module is compiled and read, never
 * loaded.
 */
#include <linux/buffer_head.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
/* struct slab and struct kmem_cache. */
#include <mm/slab.h>

/* In the order of Offsets in offsets.py. */
static const u64 offsets[] __used __section("errpath_offsets") = {
	offsetof(struct buffer_head, b_this_page),
	offsetof(struct buffer_head, b_page),
	offsetof(struct buffer_head, b_count),
	offsetof(struct inode, i_count),
	offsetof(struct inode, i_data.host),
	offsetof(struct inode, i_sb),
	sizeof(struct inode),
	offsetof(struct dentry, d_lockref.count),
	offsetof(struct dentry, d_sb),
	sizeof(struct dentry),
	offsetof(struct super_block, s_list),
	offsetof(struct slab, slab_cache),
	offsetof(struct kmem_cache, size),
	offsetof(struct kmem_cache, object_size),
	offsetof(struct kmem_cache, red_left_pad),
	offsetof(struct kmem_cache, oo),
	offsetof(struct kmem_cache, name),
	offsetof(struct kmem_cache, list),
};

MODULE_DESCRIPTION("Offsets of members, for errpath");
MODULE_LICENSE("GPL");
