// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leaks on purpose, to prove that a leak check on this boot can see one.
 *
 * Writing "plant" to debugfs errpath_canary allocates one object in each of several kmalloc caches
 * and drops every pointer. Each is the most recent allocation of its cache, which is what makes a
 * freshly leaked s_fs_info hard to see: per-CPU structures may still point to it. Reading the file
 * gives the sizes, one a line. "reap" frees what was planted, so that a canary is never a neighbour
 * of the next one: the addresses are kept complemented, which no scanner takes for pointers.
 *
 * Writing "lose" leaks one object that no check knows of (`errpath bench` counts how many of those a
 * way of checking finds).
 *
 * Writing "purge" has RCU and vmalloc give back what they put off, and "press" has page reclaim look
 * at every page of the page cache, as when memory is short (harness/errpath/oracles/resources.py counts after
 * that). The host says where try_to_free_pages() is, which is private to the kernel.
 *
 * Writing "keep WHAT" takes one of something and keeps it where everybody can see it: nothing that
 * kmemleak would call a leak. It proves what is counted (harness/errpath/oracles/resources.py). "hold WHAT TYPE"
 * does so with something of the first mounted superblock of a filesystem type.
 *
 * Reading errpath_supers gives every superblock that is still listed, one a line: type, name, and
 * whether anybody uses it. Nothing else of the kernel tells of those that are only listed. The host
 * says where the list and its lock are: they are private to fs/super.c.
 */
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>

static const size_t sizes[] = { 64, 192, 512, 1024, 2048, 4096 };
#define PLANTS_MAX 256

static unsigned long hidden[PLANTS_MAX];
static unsigned int planted;
static struct dentry *file, *supers_file;

static unsigned long super_blocks;
module_param(super_blocks, ulong, 0400);
static unsigned long sb_lock;
module_param(sb_lock, ulong, 0400);

static unsigned long try_to_free;
module_param(try_to_free, ulong, 0400);

static noinline int errpath_canary_leak(size_t size)
{
	void *object;

	if (planted == PLANTS_MAX)
		return -ENOSPC;
	object = kzalloc(size, GFP_KERNEL);
	if (!object)
		return -ENOMEM;
	hidden[planted++] = ~(unsigned long)object;
	return 0;
}

static noinline int errpath_canary_plant(void)
{
	int error = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes) && !error; i++)
		error = errpath_canary_leak(sizes[i]);
	return error;
}

/* One object of the size of a small s_fs_info: a leak like any other, not the canary's. */
static noinline int errpath_canary_lose(void)
{
	int error = errpath_canary_leak(512);

	/* No tail call: this function's name must stand in the backtrace. */
	barrier();
	return error;
}

static void errpath_canary_reap(void)
{
	while (planted) {
		kfree((void *)~hidden[--planted]);
		hidden[planted] = 0;
	}
}

/*
 * Every call looks at more pages of a list, down to all of them, until it could free 32 or has seen
 * all. A page that was used lately is only moved from the active list to the inactive one, or spared
 * once, so that two calls that free nothing are not yet the end.
 */
#define PRESS_IDLE 4
#define PRESS_MAX 4096

static int errpath_canary_press(void)
{
	unsigned long (*reclaim)(struct zonelist *, int, gfp_t, nodemask_t *) = (void *)try_to_free;
	int calls, idle = 0;
	unsigned int flags;

	if (!reclaim)
		return -EOPNOTSUPP;
	for (calls = 0; calls < PRESS_MAX && idle < PRESS_IDLE; calls++) {
		/* As the page allocator calls it: what it needs itself must not reclaim again. */
		flags = memalloc_noreclaim_save();
		idle = reclaim(node_zonelist(numa_node_id(), GFP_KERNEL), 0, GFP_KERNEL, NULL) ?
			       0 : idle + 1;
		memalloc_noreclaim_restore(flags);
		cond_resched();
	}
	return 0;
}

static void errpath_canary_purge(void)
{
	/* Inodes and dentries that went are freed only when no reader can see them any more. */
	rcu_barrier();
	/* Areas of vmalloc that were freed stay on the books until many are. */
	vm_unmap_aliases();
}

/* Nothing reads it but the scanner: the compiler must not see that. */
static void *kept[PLANTS_MAX] __used;
static unsigned int keeps;

/*
 * An area of vmalloc that costs nothing but its addresses: one page, mapped many times over, in a
 * hole of just its size, so that the hole's own bookkeeping goes as the area's comes. With more than
 * VMAP_MAX_ALLOC pages it gets an area of its own.
 */
#define AREA_PAGES (BITS_PER_LONG + 1)
#define HOLES 128

static void *keep_area(void)
{
	static struct page *pages[AREA_PAGES];
	static void *areas[2 * HOLES];
	int i;

	if (!pages[0]) {
		pages[0] = alloc_page(GFP_KERNEL);
		if (!pages[0])
			return NULL;
		for (i = 1; i < AREA_PAGES; i++)
			pages[i] = pages[0];
		for (i = 0; i < 2 * HOLES; i++)
			areas[i] = vm_map_ram(pages, AREA_PAGES, NUMA_NO_NODE);
		for (i = 0; i < 2 * HOLES; i += 2)
			if (areas[i])
				vm_unmap_ram(areas[i], AREA_PAGES);
		vm_unmap_aliases();
	}
	return vm_map_ram(pages, AREA_PAGES, NUMA_NO_NODE);
}

/* A page that the kernel has in its own books, as if it were a page table. */
static void *keep_table(void)
{
	struct page *table = alloc_page(GFP_KERNEL);

	if (table)
		mod_node_page_state(page_pgdat(table), NR_PAGETABLE, 1);
	return table;
}

/*
 * A page of the page cache that was cut off from its file, with its buffers, as truncation leaves it
 * while somebody uses them: reclaim takes it away, unless one of the buffers still is in use.
 */
static void *keep_orphan(bool used)
{
	struct folio *folio = folio_alloc(GFP_KERNEL, 0);
	struct buffer_head *buffer;

	if (!folio)
		return NULL;
	folio_lock(folio);
	folio->mapping = d_inode(file)->i_mapping;
	buffer = create_empty_buffers(folio, PAGE_SIZE, 0);
	folio->mapping = NULL;
	if (used)
		get_bh(buffer);
	folio_unlock(folio);
	folio_add_lru(folio);
	folio_put(folio);
	return buffer;
}

static int errpath_canary_keep(const char *what)
{
	static const struct qstr name = QSTR_INIT("errpath", 7);
	struct super_block *sb = file->d_sb;
	void *one = NULL;

	if (keeps == PLANTS_MAX)
		return -ENOSPC;
	if (!strcmp(what, "object"))
		one = kzalloc(512, GFP_KERNEL);
	else if (!strcmp(what, "buffer"))
		one = alloc_buffer_head(GFP_KERNEL);
	else if (!strcmp(what, "inode"))
		one = new_inode(sb);
	else if (!strcmp(what, "dentry"))
		one = d_alloc(file, &name);
	else if (!strcmp(what, "page"))
		one = alloc_page(GFP_KERNEL);
	else if (!strcmp(what, "vmalloc"))
		one = vmalloc(PAGE_SIZE);
	else if (!strcmp(what, "area"))
		one = keep_area();
	else if (!strcmp(what, "table"))
		one = keep_table();
	else if (!strcmp(what, "orphan"))
		one = keep_orphan(false);
	else if (!strcmp(what, "used"))
		one = keep_orphan(true);
	else if (!strcmp(what, "module"))
		one = try_module_get(THIS_MODULE) ? THIS_MODULE : NULL;
	else
		return -EINVAL;
	if (!one)
		return -ENOMEM;
	kept[keeps++] = one;
	return 0;
}

/*
 * A reference to the superblock itself: it stays listed when it is dead. With the last of these its
 * type's module is let go (before s_passive: with the last user). That is done here, so that the list
 * alone tells.
 */
static void *hold_super(struct super_block *sb)
{
#ifdef ERRPATH_S_PASSIVE
	refcount_inc(&sb->s_passive);
	module_put(sb->s_type->owner);
#else
	if (!sb_lock)
		return NULL;
	spin_lock((spinlock_t *)sb_lock);
	sb->s_count++;
	spin_unlock((spinlock_t *)sb_lock);
#endif
	return sb;
}

/* The block device once more, by the same holder. */
static void *hold_device(struct super_block *sb)
{
	struct file *opened;

	opened = bdev_file_open_by_dev(sb->s_dev, BLK_OPEN_READ, sb, &fs_holder_ops);
	return IS_ERR(opened) ? NULL : opened;
}

/* An inode of the filesystem's own cache, which no list of the superblock knows. */
static void *hold_inode(struct super_block *sb)
{
	return sb->s_op->alloc_inode ? sb->s_op->alloc_inode(sb) : NULL;
}

struct hold {
	void *(*take)(struct super_block *sb);
	void *one;
};

static void hold_one(struct super_block *sb, void *argument)
{
	struct hold *hold = argument;

	if (!hold->one)
		hold->one = hold->take(sb);
}

static int errpath_canary_hold(char *what)
{
	char *name = strchr(what, ' ');
	struct file_system_type *type;
	struct hold hold = { 0 };

	if (!name || keeps == PLANTS_MAX)
		return -EINVAL;
	*name++ = '\0';
	if (!strcmp(what, "super"))
		hold.take = hold_super;
	else if (!strcmp(what, "device"))
		hold.take = hold_device;
	else if (!strcmp(what, "inode"))
		hold.take = hold_inode;
	else
		return -EINVAL;
	type = get_fs_type(name);
	if (!type)
		return -ENODEV;
	iterate_supers_type(type, hold_one, &hold);
	module_put(type->owner);
	if (!hold.one)
		return -ENOENT;
	kept[keeps++] = hold.one;
	return 0;
}

static int supers_show(struct seq_file *out, void *unused)
{
	struct super_block *sb;

	if (!super_blocks || !sb_lock)
		return -ENODATA;
	spin_lock((spinlock_t *)sb_lock);
	list_for_each_entry(sb, (struct list_head *)super_blocks, s_list)
		seq_printf(out, "%s %s %s\n", sb->s_type->name, sb->s_id[0] ? sb->s_id : "-",
			   atomic_read(&sb->s_active) > 0 ? "active" : "dead");
	spin_unlock((spinlock_t *)sb_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(supers);

static ssize_t canary_write(struct file *f, const char __user *from, size_t size, loff_t *at)
{
	char word[48] = "";
	int error = 0;

	if (size >= sizeof(word) || copy_from_user(word, from, size))
		return -EINVAL;
	if (!strcmp(word, "plant"))
		error = errpath_canary_plant();
	else if (!strcmp(word, "lose"))
		error = errpath_canary_lose();
	else if (!strcmp(word, "purge"))
		errpath_canary_purge();
	else if (!strcmp(word, "press"))
		error = errpath_canary_press();
	else if (!strcmp(word, "reap"))
		errpath_canary_reap();
	else if (!strncmp(word, "keep ", 5))
		error = errpath_canary_keep(word + 5);
	else if (!strncmp(word, "hold ", 5))
		error = errpath_canary_hold(word + 5);
	else
		error = -EINVAL;
	return error ? error : size;
}

static ssize_t canary_read(struct file *f, char __user *to, size_t size, loff_t *at)
{
	char text[128];
	size_t i, used = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		used += scnprintf(text + used, sizeof(text) - used, "%zu\n", sizes[i]);
	return simple_read_from_buffer(to, size, at, text, used);
}

static const struct file_operations canary_operations = {
	.owner = THIS_MODULE,
	.read = canary_read,
	.write = canary_write,
};

static int __init canary_init(void)
{
	file = debugfs_create_file("errpath_canary", 0600, NULL, NULL, &canary_operations);
	supers_file = debugfs_create_file("errpath_supers", 0400, NULL, NULL, &supers_fops);
	return PTR_ERR_OR_ZERO(file);
}

static void __exit canary_exit(void)
{
	debugfs_remove(supers_file);
	debugfs_remove(file);
	errpath_canary_reap();
}

module_init(canary_init);
module_exit(canary_exit);
MODULE_DESCRIPTION("Leaks on purpose, for errpath");
MODULE_LICENSE("GPL");
