// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a count of the kernel's resources needs and no file of the kernel gives
 * (harness/errpath/oracles/resources.py).
 *
 * Writing "purge" to debugfs errpath_probe has RCU and vmalloc give back what they put off, and
 * "press" has page reclaim look at every page of the page cache, as when memory is short. Reading
 * errpath_supers gives every superblock that is still listed, one a line: type, name, and whether
 * anybody uses it. Nothing else of the kernel shows those that are only listed.
 *
 * try_to_free_pages(), the list of superblocks and its lock are private to the kernel: the host
 * gives their addresses. What has none is refused, the rest works.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/swap.h>
#include <linux/vmalloc.h>

#include "errpath_command.h"

static unsigned long super_blocks;
module_param(super_blocks, ulong, 0400);
MODULE_PARM_DESC(super_blocks, "address of the list of superblocks");

static unsigned long sb_lock;
module_param(sb_lock, ulong, 0400);
MODULE_PARM_DESC(sb_lock, "address of the lock of that list");

static unsigned long try_to_free;
module_param(try_to_free, ulong, 0400);
MODULE_PARM_DESC(try_to_free, "address of try_to_free_pages()");

static struct dentry *probe_file, *supers_file;

static int probe_purge(const char *argument)
{
	/* Inodes and dentries that went are freed only when no reader can see them any more. */
	rcu_barrier();
	/* Areas of vmalloc that were freed stay on the books until many are. */
	vm_unmap_aliases();
	return 0;
}

/*
 * Every call looks at more pages of a list, down to all of them, until it could free 32 or has
 * seen all. A page that was used lately is only moved from the active list to the inactive one, or
 * spared once, so that two calls that free nothing are not yet the end.
 */
#define PRESS_IDLE 4
#define PRESS_MAX 4096

static int probe_press(const char *argument)
{
	unsigned long (*reclaim)(struct zonelist *zonelist, int order, gfp_t gfp,
				 nodemask_t *nodemask) = (void *)try_to_free;
	struct zonelist *zonelist = node_zonelist(numa_node_id(), GFP_KERNEL);
	int calls, idle = 0;
	unsigned int flags;

	if (!reclaim)
		return -EOPNOTSUPP;
	for (calls = 0; calls < PRESS_MAX && idle < PRESS_IDLE; calls++) {
		/* As the page allocator calls it: what it needs itself must not reclaim again. */
		flags = memalloc_noreclaim_save();
		idle = reclaim(zonelist, 0, GFP_KERNEL, NULL) ? 0 : idle + 1;
		memalloc_noreclaim_restore(flags);
		cond_resched();
	}
	return 0;
}

static const struct errpath_command commands[] = {
	{ "purge", probe_purge },
	{ "press", probe_press },
	{}
};

static int supers_show(struct seq_file *m, void *v)
{
	spinlock_t *lock = (spinlock_t *)sb_lock;
	struct super_block *sb;

	if (!super_blocks || !lock)
		return -ENODATA;
	spin_lock(lock);
	list_for_each_entry(sb, (struct list_head *)super_blocks, s_list)
		seq_printf(m, "%s %s %s\n", sb->s_type->name, sb->s_id[0] ? sb->s_id : "-",
			   atomic_read(&sb->s_active) > 0 ? "active" : "dead");
	spin_unlock(lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(supers);

static int __init probe_init(void)
{
	probe_file = errpath_command_file("errpath_probe", commands);
	/* Without this one superblocks are not counted; debugfs_remove() takes error pointers. */
	supers_file = debugfs_create_file("errpath_supers", 0400, NULL, NULL, &supers_fops);
	return PTR_ERR_OR_ZERO(probe_file);
}

static void __exit probe_exit(void)
{
	debugfs_remove(supers_file);
	debugfs_remove(probe_file);
}

module_init(probe_init);
module_exit(probe_exit);
MODULE_DESCRIPTION("Reclaim, RCU and superblocks for counts of the kernel's resources");
MODULE_LICENSE("GPL");
