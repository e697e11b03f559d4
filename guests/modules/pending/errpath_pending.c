// SPDX-License-Identifier: GPL-2.0-only
/*
 * Timers and delayed work of modules that are armed and have not fired
 * (harness/errpath/oracles/pending.py). A timer in memory that was freed does no harm until it
 * fires: who asks here knows whether it is worth while to wait for it.
 *
 * Reading debugfs errpath_pending gives one a line: milliseconds until it is due, the task that
 * armed it, the function that it will call. The kernel's own timers are left out, and so is what
 * this module's own table has no room for: then the last line is "lost N".
 *
 * The table is kept by the tracepoints of timers: the memory of a timer is looked at only while it
 * is being armed, when it must be there. A kernel without tracepoints has no errpath_pending.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>

#ifdef CONFIG_TRACEPOINTS
#define SLOTS 256

/*
 * Of a timer that has fired the slot stays, for the name: work that arms itself again is the task's
 * that armed it first. Addresses are kept inverted: kmemleak would take the table for a reference.
 */
static struct slot {
	unsigned long timer;
	unsigned long function;
	unsigned long expires;
	bool armed;
	char comm[TASK_COMM_LEN];
} slots[SLOTS];
static unsigned int next_slot, nr_armed, lost;
static DEFINE_RAW_SPINLOCK(slots_lock);

static struct dentry *pending_file;
static struct tracepoint *start_point, *cancel_point;

static struct slot *slot_of(unsigned long timer)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (slots[i].timer == timer)
			return &slots[i];
	return NULL;
}

/* One that is not armed; the one that was taken longest ago. */
static struct slot *free_slot(void)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++) {
		struct slot *slot = &slots[next_slot++ % SLOTS];

		if (!slot->armed)
			return slot;
	}
	return NULL;
}

static bool in_module(unsigned long function)
{
	return function >= MODULES_VADDR && function < MODULES_END;
}

static unsigned long function_of(struct timer_list *timer)
{
	struct delayed_work *work;

	if (timer->function != delayed_work_timer_fn)
		return (unsigned long)timer->function;
	work = container_of(timer, struct delayed_work, timer);
	return (unsigned long)work->work.func;
}

/* What else the tracepoint gives differs between versions, and is left where it is. */
static void timer_started(void *data, struct timer_list *timer)
{
	unsigned long function = function_of(timer), key = ~(unsigned long)timer, flags;
	struct slot *slot;

	if (!in_module(function))
		return;
	raw_spin_lock_irqsave(&slots_lock, flags);
	slot = slot_of(key);
	/* A kernel thread, or an interrupt in whoever happens to run, arms it again. */
	if (!slot || slot->function != ~function || (in_task() && !(current->flags & PF_KTHREAD))) {
		slot = slot ? slot : free_slot();
		if (slot)
			memcpy(slot->comm, current->comm, sizeof(slot->comm));
	}
	if (slot) {
		nr_armed += !slot->armed;
		slot->timer = key;
		slot->function = ~function;
		slot->expires = timer->expires;
		slot->armed = true;
	} else {
		lost++;
	}
	raw_spin_unlock_irqrestore(&slots_lock, flags);
}

/* Before it fires, too. Of all the timers of the kernel, so that it must cost nothing. */
static void timer_cancelled(void *data, struct timer_list *timer)
{
	struct slot *slot;
	unsigned long flags;

	if (!READ_ONCE(nr_armed))
		return;
	raw_spin_lock_irqsave(&slots_lock, flags);
	slot = slot_of(~(unsigned long)timer);
	if (slot && slot->armed) {
		slot->armed = false;
		nr_armed--;
	}
	raw_spin_unlock_irqrestore(&slots_lock, flags);
}

static void find_point(struct tracepoint *point, void *data)
{
	if (!strcmp(point->name, "timer_start"))
		start_point = point;
	else if (!strcmp(point->name, "timer_cancel"))
		cancel_point = point;
}

static int pending_show(struct seq_file *m, void *v)
{
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < SLOTS; i++) {
		struct slot slot;
		long left;

		raw_spin_lock_irqsave(&slots_lock, flags);
		slot = slots[i];
		raw_spin_unlock_irqrestore(&slots_lock, flags);
		left = (long)(slot.expires - jiffies);
		if (slot.armed)
			seq_printf(m, "%u %s %ps\n", left > 0 ? jiffies_to_msecs(left) : 0,
				   slot.comm, (void *)~slot.function);
	}
	if (lost)
		seq_printf(m, "lost %u\n", lost);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pending);

static int pending_begin(void)
{
	int error;

	for_each_kernel_tracepoint(find_point, NULL);
	if (!start_point || !cancel_point)
		return 0;
	error = tracepoint_probe_register(start_point, timer_started, NULL);
	if (error)
		return error;
	error = tracepoint_probe_register(cancel_point, timer_cancelled, NULL);
	if (error) {
		tracepoint_probe_unregister(start_point, timer_started, NULL);
		tracepoint_synchronize_unregister();
		return error;
	}
	pending_file = debugfs_create_file("errpath_pending", 0400, NULL, NULL, &pending_fops);
	return 0;
}

static void pending_end(void)
{
	debugfs_remove(pending_file);
	if (!start_point || !cancel_point)
		return;
	tracepoint_probe_unregister(cancel_point, timer_cancelled, NULL);
	tracepoint_probe_unregister(start_point, timer_started, NULL);
	tracepoint_synchronize_unregister();
}

#else
static int pending_begin(void)
{
	return 0;
}

static void pending_end(void)
{
}
#endif

static int __init pending_init(void)
{
	return pending_begin();
}

static void __exit pending_exit(void)
{
	pending_end();
}

module_init(pending_init);
module_exit(pending_exit);
MODULE_DESCRIPTION("Armed timers and delayed work of modules");
MODULE_LICENSE("GPL");
