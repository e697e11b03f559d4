// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leaks on purpose, to prove that a leak check on this boot can see one.
 *
 * Writing "plant" to debugfs errpath_canary allocates one object in each of several kmalloc caches
 * and drops every pointer. Each is the most recent allocation of its cache, which is what makes a
 * freshly leaked s_fs_info hard to see: per-CPU structures may still point to it. Reading the file
 * gives the sizes, one a line. "reap" frees what was planted, so that a canary is never a neighbour
 * of the next one: the addresses are kept complemented, which no scanner takes for pointers.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static const size_t sizes[] = { 64, 192, 512, 1024, 2048, 4096 };
#define PLANTS_MAX 256

static unsigned long hidden[PLANTS_MAX];
static unsigned int planted;
static struct dentry *file;

static noinline int errpath_canary_plant(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *object;

		if (planted == PLANTS_MAX)
			return -ENOSPC;
		object = kzalloc(sizes[i], GFP_KERNEL);
		if (!object)
			return -ENOMEM;
		hidden[planted++] = ~(unsigned long)object;
	}
	return 0;
}

static void errpath_canary_reap(void)
{
	while (planted) {
		kfree((void *)~hidden[--planted]);
		hidden[planted] = 0;
	}
}

static ssize_t canary_write(struct file *f, const char __user *from, size_t size, loff_t *at)
{
	char word[16] = "";
	int error = 0;

	if (size >= sizeof(word) || copy_from_user(word, from, size))
		return -EINVAL;
	if (!strcmp(word, "plant"))
		error = errpath_canary_plant();
	else if (!strcmp(word, "reap"))
		errpath_canary_reap();
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
