// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mistakes on purpose, one for each kind of report that a debugging kernel makes: KASAN, UBSAN,
 * lockdep, RCU, atomic context, the lifetime of timers and work. A guest whose kernel does not
 * report one of them proves nothing by its silence (harness/errpath/oracles/report_canaries.py).
 *
 * Writing one of the commands below to debugfs errpath_reports makes the mistake once. Several of
 * the reports come once in a boot, and what is corrupted stays so: the guest is of no use
 * afterwards. Where the kernel was built without the check, the mistake would only do harm:
 * -EOPNOTSUPP.
 */
#include <linux/compiler.h>
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "errpath_command.h"

/* Room for a timer or a work item. */
#define OBJECT_SIZE 200
#define LONG_TIME (600 * HZ)

static struct dentry *reports_file;

/* -- KASAN: noinline, because reports name the functions --------------------------------------- */

static noinline char *reports_allocate(void)
{
	char *object = IS_ENABLED(CONFIG_KASAN) ? kmalloc(OBJECT_SIZE, GFP_KERNEL) : NULL;

	OPTIMIZER_HIDE_VAR(object);
	return object;
}

static noinline void reports_free(char *object)
{
	kfree(object);
	barrier();
}

static int no_object(void)
{
	return IS_ENABLED(CONFIG_KASAN) ? -ENOMEM : -EOPNOTSUPP;
}

static int reports_read_after_free(const char *argument)
{
	char *object = reports_allocate();

	if (!object)
		return no_object();
	reports_free(object);
	READ_ONCE(object[64]);
	return 0;
}

static int reports_write_after_free(const char *argument)
{
	char *object = reports_allocate();

	if (!object)
		return no_object();
	reports_free(object);
	WRITE_ONCE(object[64], 1);
	return 0;
}

static int reports_out_of_bounds(const char *argument)
{
	char *object = reports_allocate();

	if (!object)
		return no_object();
	READ_ONCE(object[OBJECT_SIZE]);
	reports_free(object);
	return 0;
}

static int reports_double_free(const char *argument)
{
	char *object = reports_allocate();

	if (!object)
		return no_object();
	reports_free(object);
	reports_free(object);
	return 0;
}

/* -- UBSAN ------------------------------------------------------------------------------------- */

/* More than an int has bits, and more than the array below has elements. */
static unsigned int beyond(void)
{
	unsigned int number = 40;

	OPTIMIZER_HIDE_VAR(number);
	return number;
}

static int reports_shift(const char *argument)
{
	int shifted = 1;

	if (!IS_ENABLED(CONFIG_UBSAN_SHIFT))
		return -EOPNOTSUPP;
	shifted <<= beyond();
	OPTIMIZER_HIDE_VAR(shifted);
	return 0;
}

static int reports_index(const char *argument)
{
	/* What lies behind the array is another array: the read itself does no harm. */
	static struct {
		int array[4];
		int behind[60];
	} both;
	int element;

	if (!IS_ENABLED(CONFIG_UBSAN_BOUNDS))
		return -EOPNOTSUPP;
	element = both.array[beyond()];
	OPTIMIZER_HIDE_VAR(element);
	return 0;
}

/* -- Locks, RCU, atomic context ---------------------------------------------------------------- */

static DEFINE_MUTEX(outer);
static DEFINE_MUTEX(inner);

static int reports_lock_inversion(const char *argument)
{
	if (!IS_ENABLED(CONFIG_PROVE_LOCKING))
		return -EOPNOTSUPP;
	mutex_lock(&outer);
	mutex_lock(&inner);
	mutex_unlock(&inner);
	mutex_unlock(&outer);
	mutex_lock(&inner);
	mutex_lock(&outer);
	mutex_unlock(&outer);
	mutex_unlock(&inner);
	return 0;
}

static int reports_rcu(const char *argument)
{
	static int __rcu *pointer;

	if (!IS_ENABLED(CONFIG_PROVE_RCU))
		return -EOPNOTSUPP;
	/* Nobody holds what protects it. */
	return rcu_dereference(pointer) ? -EINVAL : 0;
}

static int reports_sleep(const char *argument)
{
	if (!IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP))
		return -EOPNOTSUPP;
	preempt_disable();
	might_sleep();
	preempt_enable();
	return 0;
}

/* -- Timers and work: the kernel disarms what it finds armed in memory that is freed -- */

static void nothing_to_do(struct timer_list *timer)
{
}

static int reports_free_timer(const char *argument)
{
	struct timer_list *timer;

	if (!IS_ENABLED(CONFIG_DEBUG_OBJECTS_TIMERS) || !IS_ENABLED(CONFIG_DEBUG_OBJECTS_FREE))
		return -EOPNOTSUPP;
	timer = kzalloc(OBJECT_SIZE, GFP_KERNEL);
	if (!timer)
		return -ENOMEM;
	timer_setup(timer, nothing_to_do, 0);
	mod_timer(timer, jiffies + LONG_TIME);
	kfree(timer);
	return 0;
}

static DECLARE_COMPLETION(released);

static void wait_for_release(struct work_struct *work)
{
	wait_for_completion(&released);
}

static void no_work(struct work_struct *work)
{
}

/* Work that is queued behind other work is active until a worker takes it. */
static int reports_free_work(const char *argument)
{
	static DECLARE_WORK(first, wait_for_release);
	struct workqueue_struct *queue;
	struct work_struct *second;

	if (!IS_ENABLED(CONFIG_DEBUG_OBJECTS_WORK) || !IS_ENABLED(CONFIG_DEBUG_OBJECTS_FREE))
		return -EOPNOTSUPP;
	queue = alloc_ordered_workqueue("errpath_reports", 0);
	second = kzalloc(OBJECT_SIZE, GFP_KERNEL);
	if (queue && second) {
		INIT_WORK(second, no_work);
		queue_work(queue, &first);
		queue_work(queue, second);
	}
	kfree(second);
	complete(&released);
	if (queue)
		destroy_workqueue(queue);
	return queue && second ? 0 : -ENOMEM;
}

static const struct errpath_command commands[] = {
	{ "double-free", reports_double_free },
	{ "free-timer", reports_free_timer },
	{ "free-work", reports_free_work },
	{ "index", reports_index },
	{ "lock-inversion", reports_lock_inversion },
	{ "out-of-bounds", reports_out_of_bounds },
	{ "rcu", reports_rcu },
	{ "read-after-free", reports_read_after_free },
	{ "shift", reports_shift },
	{ "sleep-in-atomic", reports_sleep },
	{ "write-after-free", reports_write_after_free },
	{}
};

static int __init reports_init(void)
{
	reports_file = errpath_command_file("errpath_reports", commands);
	return PTR_ERR_OR_ZERO(reports_file);
}

static void __exit reports_exit(void)
{
	debugfs_remove(reports_file);
}

module_init(reports_init);
module_exit(reports_exit);
MODULE_DESCRIPTION("Canaries for the reports of a debugging kernel");
MODULE_LICENSE("GPL");
