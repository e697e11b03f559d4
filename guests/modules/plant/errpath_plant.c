// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on purpose, for the tests of the oracles. Guests of a run never load it.
 *
 * Writing "keep WHAT" to debugfs errpath_plant takes one of something and keeps it where everybody
 * can see it: nothing that kmemleak would call a leak. It proves what is counted
 * (harness/errpath/oracles/resources.py). "drop" gives a reference to this module back, whether or
 * not one was taken. "lose" leaks one object that is not a canary, "hide" one whose address stays
 * on the stack of a thread, "stale" one whose address stays where the stack of a worker is no
 * longer in use. "flood N" prints N lines as fast as it can, of which the reader of the log may
 * miss some; "print N" lets it read them. "stay" never comes back.
 */
#include <linux/buffer_head.h>
#include <linux/completion.h>
#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/kstrtox.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>

#include "errpath_command.h"
#include "errpath_features.h"

#define KEPT_MAX 256

static struct dentry *plant_file;

/*
 * Nothing reads it but the scanner: the compiler must not see that. No lock: tests write one
 * command at a time. It is never given back, so this module cannot be unloaded without a loss.
 */
static void *kept[KEPT_MAX] __used;
static unsigned int nr_kept;

static void *keep_object(void)
{
	return kzalloc(512, GFP_KERNEL);
}

static void *keep_buffer(void)
{
	return alloc_buffer_head(GFP_KERNEL);
}

static void *keep_inode(void)
{
	return new_inode(plant_file->d_sb);
}

static void *keep_dentry(void)
{
	static const struct qstr name = QSTR_INIT("errpath", 7);

	return d_alloc(plant_file, &name);
}

static void *keep_page(void)
{
	return alloc_page(GFP_KERNEL);
}

/* noinline and no tail call: /proc/vmallocinfo names the function that called vmalloc(). */
static noinline void *keep_vmalloc(void)
{
	void *area = vmalloc(PAGE_SIZE);

	barrier();
	return area;
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
 * A page of the page cache that was cut off from its file, with its buffers, as truncation leaves
 * it while somebody uses them: reclaim takes it away, unless one of the buffers still is in use.
 */
static struct buffer_head *make_orphan(void)
{
	struct folio *folio = folio_alloc(GFP_KERNEL, 0);
	struct buffer_head *buffer;

	if (!folio)
		return NULL;
	folio_lock(folio);
	folio->mapping = d_inode(plant_file)->i_mapping;
#ifdef ERRPATH_HAVE_FOLIO_BUFFERS
	buffer = create_empty_buffers(folio, PAGE_SIZE, 0);
#else
	create_empty_buffers(&folio->page, PAGE_SIZE, 0);
	buffer = folio_buffers(folio);
#endif
	folio->mapping = NULL;
	/* Its buffers are in use until the caller has chosen. */
	get_bh(buffer);
	folio_unlock(folio);
	folio_add_lru(folio);
	folio_put(folio);
	return buffer;
}

static void *keep_used_orphan(void)
{
	return make_orphan();
}

static void *keep_orphan(void)
{
	struct buffer_head *buffer = make_orphan();

	if (buffer)
		put_bh(buffer);
	return buffer;
}

static void *keep_module(void)
{
	return try_module_get(THIS_MODULE) ? THIS_MODULE : NULL;
}

static const struct plant {
	const char *name;
	void *(*keep)(void);
} plants[] = {
	{ "object", keep_object },
	{ "buffer", keep_buffer },
	{ "inode", keep_inode },
	{ "dentry", keep_dentry },
	{ "page", keep_page },
	{ "vmalloc", keep_vmalloc },
	{ "table", keep_table },
	{ "orphan", keep_orphan },
	{ "used", keep_used_orphan },
	{ "module", keep_module },
};

static int plant_keep(const char *argument)
{
	void *one;
	size_t i;

	if (nr_kept == KEPT_MAX)
		return -ENOSPC;
	for (i = 0; i < ARRAY_SIZE(plants); i++) {
		if (strcmp(argument, plants[i].name))
			continue;
		one = plants[i].keep();
		if (!one)
			return -ENOMEM;
		kept[nr_kept++] = one;
		return 0;
	}
	return -EINVAL;
}

static int plant_drop(const char *argument)
{
	module_put(THIS_MODULE);
	return 0;
}

/* One object of the size of a small s_fs_info. noinline: tests know it by this name. */
static noinline int errpath_plant_lose(const char *argument)
{
	void *object = kzalloc(512, GFP_KERNEL);

	return object ? 0 : -ENOMEM;
}

static void *hidden;
static DECLARE_COMPLETION(hidden_taken);

/* The address must be on the stack, and nowhere else. */
static int hold_on_stack(void *unused)
{
	void *object;

	WRITE_ONCE(object, hidden);
	hidden = NULL;
	complete(&hidden_taken);
	while (READ_ONCE(object))
		schedule_timeout_idle(MAX_SCHEDULE_TIMEOUT);
	return 0;
}

static int plant_hide(const char *argument)
{
	struct task_struct *thread;

	hidden = kzalloc(512, GFP_KERNEL);
	if (!hidden)
		return -ENOMEM;
	thread = kthread_run(hold_on_stack, NULL, "errpath_hider");
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	/* The thread never ends. */
	__module_get(THIS_MODULE);
	wait_for_completion(&hidden_taken);
	return 0;
}

#define DEEP_WORDS 128

/* What the worker calls when it goes to sleep does not come as far down. */
static noinline void leave_on_stack(void *object)
{
	void *deep[DEEP_WORDS];

	barrier_data(deep);
	WRITE_ONCE(deep[0], object);
}

static void leave_work(struct work_struct *work)
{
	leave_on_stack(hidden);
	hidden = NULL;
}

static DECLARE_WORK(stale_work, leave_work);

static int plant_stale(const char *argument)
{
	hidden = kzalloc(512, GFP_KERNEL);
	if (!hidden)
		return -ENOMEM;
	schedule_work(&stale_work);
	flush_work(&stale_work);
	return 0;
}

static int plant_stay(const char *argument)
{
	DECLARE_COMPLETION_ONSTACK(never);

	wait_for_completion(&never);
	return 0;
}

static int print_lines(const char *argument, bool flood)
{
	unsigned int i, lines;
	int error = kstrtouint(argument, 10, &lines);

	for (i = 0; !error && i < lines; i++) {
		pr_info("errpath_plant: line %u of %u, one of many that are all as long as this one\n",
			i, lines);
		if (!flood && i % 64 == 63)
			msleep(20);
	}
	return error;
}

static int plant_flood(const char *argument)
{
	return print_lines(argument, true);
}

static int plant_print(const char *argument)
{
	return print_lines(argument, false);
}

static const struct errpath_command commands[] = {
	{ "drop", plant_drop },
	{ "flood", plant_flood },
	{ "hide", plant_hide },
	{ "keep", plant_keep },
	{ "lose", errpath_plant_lose },
	{ "print", plant_print },
	{ "stale", plant_stale },
	{ "stay", plant_stay },
	{}
};

static int __init plant_init(void)
{
	plant_file = errpath_command_file("errpath_plant", commands);
	return PTR_ERR_OR_ZERO(plant_file);
}

static void __exit plant_exit(void)
{
	debugfs_remove(plant_file);
}

module_init(plant_init);
module_exit(plant_exit);
MODULE_DESCRIPTION("Planted resources and leaks for errpath's own tests");
MODULE_LICENSE("GPL");
