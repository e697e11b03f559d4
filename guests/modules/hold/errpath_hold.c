// SPDX-License-Identifier: GPL-2.0-only
/*
 * References to what a mounted filesystem has, taken and never given back, for the tests of the
 * oracles. Guests of a run never load it.
 *
 * Writing "super TYPE", "device TYPE" or "inode TYPE" to debugfs errpath_hold takes one of the
 * first mounted superblock of that filesystem type and keeps it where kmemleak can see it. "write
 * TYPE" takes nothing: it inverts the first byte of the fourth block and writes it to the device.
 */
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>

#include "errpath_command.h"
#include "errpath_features.h"

#define HELD_MAX 256

static unsigned long sb_lock;
module_param(sb_lock, ulong, 0400);
MODULE_PARM_DESC(sb_lock, "address of the lock of the list of superblocks");

static struct dentry *hold_file;

/* Nothing reads it but the scanner: the compiler must not see that. No lock: one writer. */
static void *held[HELD_MAX] __used;
static unsigned int nr_held;

/*
 * A reference to the superblock itself: it stays listed when it is dead. With the last of these
 * its type's module is let go (before s_passive: with the last user). That is done here, so that
 * the list alone shows it.
 */
static void *take_super(struct super_block *sb)
{
#ifdef ERRPATH_HAVE_S_PASSIVE
	refcount_inc(&sb->s_passive);
	module_put(sb->s_type->owner);
#else
	spinlock_t *lock = (spinlock_t *)sb_lock;

	if (!lock)
		return NULL;
	spin_lock(lock);
	sb->s_count++;
	spin_unlock(lock);
#endif
	return sb;
}

#ifdef ERRPATH_HAVE_BDEV_FILE
/* The block device once more, by the same holder with the same operations. */
static void *take_device(struct super_block *sb)
{
	struct file *opened;

	if (!sb->s_bdev)
		return NULL;
	opened = bdev_file_open_by_dev(sb->s_dev, BLK_OPEN_READ, sb, sb->s_bdev->bd_holder_ops);
	return IS_ERR(opened) ? NULL : opened;
}
#endif

/* An inode of the filesystem's own cache, which no list of the superblock knows. */
static void *take_inode(struct super_block *sb)
{
	return sb->s_op->alloc_inode ? sb->s_op->alloc_inode(sb) : NULL;
}

/* Something that is not NULL, and that is never released. */
static void *write_block(struct super_block *sb)
{
	struct buffer_head *block = sb_bread(sb, 3);

	if (!block)
		return NULL;
	lock_buffer(block);
	block->b_data[0] ^= 0xff;
	unlock_buffer(block);
	mark_buffer_dirty(block);
	sync_dirty_buffer(block);
	brelse(block);
	return hold_file;
}

struct hold {
	void *(*take)(struct super_block *sb);
	void *taken;
};

static void hold_first(struct super_block *sb, void *data)
{
	struct hold *hold = data;

	if (!hold->taken)
		hold->taken = hold->take(sb);
}

static int hold_of(const char *fstype, void *(*take)(struct super_block *sb))
{
	struct file_system_type *type;
	struct hold hold = { .take = take };

	if (nr_held == HELD_MAX)
		return -ENOSPC;
	type = get_fs_type(fstype);
	if (!type)
		return -ENODEV;
	iterate_supers_type(type, hold_first, &hold);
	module_put(type->owner);
	if (!hold.taken)
		return -ENOENT;
	held[nr_held++] = hold.taken;
	return 0;
}

static int hold_super(const char *fstype)
{
	return hold_of(fstype, take_super);
}

static int hold_device(const char *fstype)
{
#ifdef ERRPATH_HAVE_BDEV_FILE
	return hold_of(fstype, take_device);
#else
	return -EOPNOTSUPP;
#endif
}

static int hold_inode(const char *fstype)
{
	return hold_of(fstype, take_inode);
}

static int hold_write(const char *fstype)
{
	return hold_of(fstype, write_block);
}

static const struct errpath_command commands[] = {
	{ "super", hold_super },
	{ "device", hold_device },
	{ "inode", hold_inode },
	{ "write", hold_write },
	{}
};

static int __init hold_init(void)
{
	hold_file = errpath_command_file("errpath_hold", commands);
	return PTR_ERR_OR_ZERO(hold_file);
}

static void __exit hold_exit(void)
{
	debugfs_remove(hold_file);
}

module_init(hold_init);
module_exit(hold_exit);
MODULE_DESCRIPTION("Held references of a mounted filesystem for errpath's own tests");
MODULE_LICENSE("GPL");
