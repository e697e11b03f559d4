// SPDX-License-Identifier: GPL-2.0-only
/*
 * Corruption of memory on purpose, for the tests of what must see it. Guests of a run never load
 * it.
 *
 * Writing one of the commands below to debugfs errpath_corrupt does it once, to an object of its
 * own cache, and then what makes a kernel with slab_debug=FZP look: a free or an allocation.
 */
#include <linux/compiler.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "errpath_command.h"

#define OBJECT_SIZE 200

static struct dentry *corrupt_file;
static struct kmem_cache *corrupt_cache;

/* noinline: reports name the functions that allocated and freed. */
static noinline char *corrupt_allocate(void)
{
	char *object = kmem_cache_alloc(corrupt_cache, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(object);
	return object;
}

static noinline void corrupt_free(char *object)
{
	kmem_cache_free(corrupt_cache, object);
	barrier();
}

/* The slab of the object is never empty: of an empty one only its count is reported. */
static int corrupt_double_free(const char *argument)
{
	char *neighbour = corrupt_allocate(), *object;

	if (!neighbour)
		return -ENOMEM;
	object = corrupt_allocate();
	if (object) {
		corrupt_free(object);
		corrupt_free(object);
	}
	corrupt_free(neighbour);
	return object ? 0 : -ENOMEM;
}

/* Seen when the object is handed out again. */
static int corrupt_write_after_free(const char *argument)
{
	char *object = corrupt_allocate();

	if (!object)
		return -ENOMEM;
	corrupt_free(object);
	WRITE_ONCE(object[64], 1);
	object = corrupt_allocate();
	if (object)
		corrupt_free(object);
	return 0;
}

/* Seen when the object is freed. */
static int corrupt_overrun(const char *argument)
{
	char *object = corrupt_allocate();

	if (!object)
		return -ENOMEM;
	WRITE_ONCE(object[OBJECT_SIZE], 1);
	corrupt_free(object);
	return 0;
}

/* Seen by CONFIG_DEBUG_LIST: an entry is added whose neighbour points elsewhere. */
static int corrupt_list(const char *argument)
{
	static struct list_head first, second, entry;

	INIT_LIST_HEAD(&first);
	INIT_LIST_HEAD(&second);
	WRITE_ONCE(first.next, &second);
	list_add(&entry, &first);
	return 0;
}

static const struct errpath_command commands[] = {
	{ "double-free", corrupt_double_free },
	{ "list", corrupt_list },
	{ "overrun", corrupt_overrun },
	{ "write-after-free", corrupt_write_after_free },
	{}
};

static int __init corrupt_init(void)
{
	/* With debug flags it is not merged with another cache. */
	corrupt_cache = kmem_cache_create("errpath_corrupt", OBJECT_SIZE, 0, 0, NULL);
	if (!corrupt_cache)
		return -ENOMEM;
	corrupt_file = errpath_command_file("errpath_corrupt", commands);
	if (IS_ERR(corrupt_file))
		kmem_cache_destroy(corrupt_cache);
	return PTR_ERR_OR_ZERO(corrupt_file);
}

static void __exit corrupt_exit(void)
{
	debugfs_remove(corrupt_file);
	kmem_cache_destroy(corrupt_cache);
}

module_init(corrupt_init);
module_exit(corrupt_exit);
MODULE_DESCRIPTION("Planted memory corruption for errpath's own tests");
MODULE_LICENSE("GPL");
