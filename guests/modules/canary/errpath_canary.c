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
 * Writing "keep WHAT" takes one of something and keeps it where everybody can see it: nothing that
 * kmemleak would call a leak. It proves what is counted (harness/leaks/ledger.py).
 */
#include <linux/buffer_head.h>
#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static const size_t sizes[] = { 64, 192, 512, 1024, 2048, 4096 };
#define PLANTS_MAX 256

static unsigned long hidden[PLANTS_MAX];
static unsigned int planted;
static struct dentry *file;

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

/* Nothing reads it but the scanner: the compiler must not see that. */
static void *kept[PLANTS_MAX] __used;
static unsigned int keeps;

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
	else if (!strcmp(what, "module"))
		one = try_module_get(THIS_MODULE) ? THIS_MODULE : NULL;
	else
		return -EINVAL;
	if (!one)
		return -ENOMEM;
	kept[keeps++] = one;
	return 0;
}

static ssize_t canary_write(struct file *f, const char __user *from, size_t size, loff_t *at)
{
	char word[16] = "";
	int error = 0;

	if (size >= sizeof(word) || copy_from_user(word, from, size))
		return -EINVAL;
	if (!strcmp(word, "plant"))
		error = errpath_canary_plant();
	else if (!strcmp(word, "lose"))
		error = errpath_canary_lose();
	else if (!strcmp(word, "reap"))
		errpath_canary_reap();
	else if (!strncmp(word, "keep ", 5))
		error = errpath_canary_keep(word + 5);
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
	return PTR_ERR_OR_ZERO(file);
}

static void __exit canary_exit(void)
{
	debugfs_remove(file);
	errpath_canary_reap();
}

module_init(canary_init);
module_exit(canary_exit);
MODULE_DESCRIPTION("Leaks on purpose, for errpath");
MODULE_LICENSE("GPL");
