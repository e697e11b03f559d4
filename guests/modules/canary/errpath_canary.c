// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leaks on purpose, to prove that a leak check on this boot can see one.
 *
 * Writing "plant" to debugfs errpath_canary allocates one object in each of several kmalloc caches
 * and drops every pointer. Each is the most recent allocation of its cache, which is what makes a
 * freshly leaked s_fs_info hard to see: per-CPU structures may still point to it. Reading the file
 * gives the sizes, one a line. "reap" frees what was planted, so that a canary is never a neighbour
 * of the next one. "stacks" clears what tasks that sleep have left on their stacks.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/stop_machine.h>

#include "errpath_command.h"

#define PLANTED_MAX 256

static const size_t sizes[] = { 64, 192, 512, 1024, 2048, 4096 };

/*
 * Addresses kept complemented, which no scanner takes for pointers. No lock: the agent is the only
 * writer of the file, and it writes one command at a time.
 */
static unsigned long hidden[PLANTED_MAX];
static unsigned int planted;
static struct dentry *canary_file;

/* noinline: the check knows the canary by this name in the backtrace. */
static noinline int errpath_canary_plant(const char *argument)
{
	void *object;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (planted == PLANTED_MAX)
			return -ENOSPC;
		object = kzalloc(sizes[i], GFP_KERNEL);
		if (!object)
			return -ENOMEM;
		hidden[planted++] = ~(unsigned long)object;
	}
	return 0;
}

static int canary_reap(const char *argument)
{
	while (planted) {
		kfree((void *)~hidden[--planted]);
		hidden[planted] = 0;
	}
	return 0;
}

#ifdef CONFIG_X86_64
static bool runs(const struct task_struct *task)
{
#ifdef CONFIG_SMP
	if (task->on_cpu)
		return true;
#endif
	return task == current;
}

/* With every processor stopped: below its stack pointer a task has nothing that it uses. */
static __no_sanitize_address int clear_below(void *unused)
{
	struct task_struct *leader, *task;

	for_each_process_thread(leader, task) {
		unsigned long *word, *top;

		/* One that has ended may have given its stack back. */
		if (runs(task) || !refcount_read(&task->stack_refcount))
			continue;
		top = (unsigned long *)task->thread.sp;
		/* The last word is the kernel's mark of an overrun. */
		for (word = end_of_stack(task) + 1; word < top; word++)
			WRITE_ONCE(*word, 0);
	}
	return 0;
}

static int canary_stacks(const char *argument)
{
	return stop_machine(clear_below, NULL, NULL);
}
#else
static int canary_stacks(const char *argument)
{
	return -EOPNOTSUPP;
}
#endif

static const struct errpath_command commands[] = {
	{ "plant", errpath_canary_plant },
	{ "reap", canary_reap },
	{ "stacks", canary_stacks },
	{}
};

static ssize_t canary_read(struct file *filp, char __user *buf, size_t count, loff_t *ppos)
{
	char text[128];
	size_t i, used = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		used += scnprintf(text + used, sizeof(text) - used, "%zu\n", sizes[i]);
	return simple_read_from_buffer(buf, count, ppos, text, used);
}

static const struct file_operations canary_fops = {
	.owner = THIS_MODULE,
	.read = canary_read,
	.write = errpath_command_write,
};

static int __init canary_init(void)
{
	canary_file = debugfs_create_file("errpath_canary", 0600, NULL, (void *)commands,
					  &canary_fops);
	return PTR_ERR_OR_ZERO(canary_file);
}

static void __exit canary_exit(void)
{
	debugfs_remove(canary_file);
	canary_reap("");
}

module_init(canary_init);
module_exit(canary_exit);
MODULE_DESCRIPTION("Planted leaks that a leak check must find");
MODULE_LICENSE("GPL");
