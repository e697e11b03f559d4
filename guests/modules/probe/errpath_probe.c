// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a count of the kernel's resources needs and no file of the kernel gives
 * (harness/errpath/oracles/resources.py).
 *
 * Writing "purge" to debugfs errpath_probe has RCU and vmalloc give back what they put off, and
 * "press" has page reclaim look at every page of the page cache, as when memory is short. Reading
 * errpath_supers gives every superblock that is still listed, one a line: type, name, and whether
 * anybody uses it. Nothing else of the kernel shows those that are only listed. Opening
 * errpath_counts gives what the number of live allocations has changed by since it was opened
 * before, a line for each place in the source: number and place, as in /proc/allocinfo, which takes
 * longer to print than a case to run.
 *
 * What all this needs is private to the kernel: the host gives its addresses. What has none is
 * refused, the rest works.
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
#ifdef CONFIG_MEM_ALLOC_PROFILING
#include <linux/alloc_tag.h>
#endif

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

static unsigned long tag_type;
module_param(tag_type, ulong, 0400);
MODULE_PARM_DESC(tag_type, "address of alloc_tag_cttype");

static unsigned long tags_lock, tags_unlock, tags_begin, tags_next;
module_param(tags_lock, ulong, 0400);
MODULE_PARM_DESC(tags_lock, "address of codetag_lock_module_list()");
module_param(tags_unlock, ulong, 0400);
MODULE_PARM_DESC(tags_unlock, "address of codetag_unlock_module_list(), where it exists");
module_param(tags_begin, ulong, 0400);
MODULE_PARM_DESC(tags_begin, "address of codetag_get_ct_iter()");
module_param(tags_next, ulong, 0400);
MODULE_PARM_DESC(tags_next, "address of codetag_next_ct()");

static struct dentry *probe_file, *supers_file, *counts_file;

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

#ifdef CONFIG_MEM_ALLOC_PROFILING
#define COUNTS_ROOM (64 * 1024)

/* Allocated once: what counting takes must not be counted. */
static char *counts_text;
static size_t counts_used;
/* The last number of each tag, in the order of the iterator. */
static u64 *counts_last;
static size_t counts_nr;
static DEFINE_MUTEX(counts_lock);

enum tags_look {
	TAGS_NUMBER,
	TAGS_NOTE,
	TAGS_COMPARE,
};

static void tag_note(size_t at, struct codetag *tag, enum tags_look look)
{
	u64 now, last;

	if (look == TAGS_NUMBER || at >= counts_nr)
		return;
	now = alloc_tag_read(ct_to_alloc_tag(tag)).calls;
	last = counts_last[at];
	counts_last[at] = now;
	if (look == TAGS_NOTE || now == last)
		return;
	counts_used += scnprintf(counts_text + counts_used, COUNTS_ROOM - counts_used,
				 "%lld %s:%u ", (s64)(now - last), tag->filename, tag->lineno);
	if (tag->modname)
		counts_used += scnprintf(counts_text + counts_used, COUNTS_ROOM - counts_used,
					 "[%s] ", tag->modname);
	counts_used += scnprintf(counts_text + counts_used, COUNTS_ROOM - counts_used,
				 "func:%s\n", tag->function);
}

/* Looks at every tag; the number of tags. */
static size_t tags_walk(enum tags_look look)
{
	typeof(codetag_get_ct_iter) *begin = (void *)tags_begin;
	typeof(codetag_next_ct) *next = (void *)tags_next;
	/* Before unlock existed, a second argument selected one of the two (Linux 6.10). */
	void (*lock)(struct codetag_type *type, bool take);
	void (*unlock)(struct codetag_type *type, bool take);
	struct codetag_type *type = *(struct codetag_type **)tag_type;
	struct codetag_iterator iter;
	struct codetag *tag;
	size_t nr = 0;

	lock = (void *)tags_lock;
	unlock = (void *)(tags_unlock ? tags_unlock : tags_lock);
	if (IS_ERR_OR_NULL(type))
		return 0;
	lock(type, true);
	iter = begin(type);
	while ((tag = next(&iter)) != NULL)
		tag_note(nr++, tag, look);
	unlock(type, false);
	return nr;
}

/* A module that came or went changes the order: then there is nothing to compare with. */
static int counts_begin(size_t nr)
{
	u64 *last = vcalloc(nr, sizeof(*last));

	if (!last)
		return -ENOMEM;
	vfree(counts_last);
	counts_last = last;
	counts_nr = nr;
	tags_walk(TAGS_NOTE);
	return 0;
}

static int counts_open(struct inode *inode, struct file *filp)
{
	size_t nr;
	int error = 0;

	if (!tag_type || !tags_lock || !tags_begin || !tags_next)
		return -EOPNOTSUPP;
	mutex_lock(&counts_lock);
	counts_used = 0;
	if (!counts_text)
		counts_text = vmalloc(COUNTS_ROOM);
	if (!counts_text)
		error = -ENOMEM;
	nr = error ? 0 : tags_walk(TAGS_NUMBER);
	/* Profiling is asleep. */
	if (!error && !nr)
		error = -ENODATA;
	if (!error && nr != counts_nr)
		error = counts_begin(nr);
	else if (!error)
		tags_walk(TAGS_COMPARE);
	mutex_unlock(&counts_lock);
	return error;
}

static ssize_t counts_read(struct file *filp, char __user *buf, size_t count, loff_t *ppos)
{
	return simple_read_from_buffer(buf, count, ppos, counts_text, counts_used);
}

static void counts_end(void)
{
	vfree(counts_last);
	vfree(counts_text);
}

static const struct file_operations counts_fops = {
	.owner = THIS_MODULE,
	.open = counts_open,
	.read = counts_read,
};
#else
static const struct file_operations counts_fops;

static void counts_end(void)
{
}
#endif

static int __init probe_init(void)
{
	probe_file = errpath_command_file("errpath_probe", commands);
	/* Without this one superblocks are not counted; debugfs_remove() takes error pointers. */
	supers_file = debugfs_create_file("errpath_supers", 0400, NULL, NULL, &supers_fops);
	if (counts_fops.open)
		counts_file = debugfs_create_file("errpath_counts", 0400, NULL, NULL,
						  &counts_fops);
	return PTR_ERR_OR_ZERO(probe_file);
}

static void __exit probe_exit(void)
{
	debugfs_remove(counts_file);
	counts_end();
	debugfs_remove(supers_file);
	debugfs_remove(probe_file);
}

module_init(probe_init);
module_exit(probe_exit);
MODULE_DESCRIPTION("Reclaim, RCU and superblocks for counts of the kernel's resources");
MODULE_LICENSE("GPL");
