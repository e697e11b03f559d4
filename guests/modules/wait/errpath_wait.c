// SPDX-License-Identifier: GPL-2.0-only
/*
 * Has one task wait at the entry of a function until another has done something.
 *
 * An ftrace_ops with IPMODIFY is on the functions that a case names. The call that is to wait goes
 * to a function of ours, which sleeps, as nothing may in the tracer's own callback, and then goes
 * on to the real one. So the order of two tasks is that of events in the kernel, and not of time.
 *
 * debugfs errpath_wait/:
 *   control  write:
 *              place FUNCTION     traces the function, beside those that are traced already
 *              wait NTH FUNCTION  the writing task waits at its nth call of the function, from 1
 *              threads NTH FUNCTION  the same, or a kernel thread, if that comes there first
 *              leave              nobody waits from now on
 *              go                 what waits goes on
 *              clear              that, and no function is traced any more
 *   state    read: "waits", or why a task does not: "off", "armed" (it has not come to the place),
 *            "atomic" (it came there and may not sleep), "went" (it went on); poll: readable
 *            while it waits.
 *
 * A kernel that cannot redirect a call has no errpath_wait.
 */
#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#if defined(CONFIG_X86_64) && defined(CONFIG_DYNAMIC_FTRACE_WITH_REGS) && \
	defined(CONFIG_KPROBES)
#define PLACES_MAX 16
#define NAME_MAX_SIZE 128

enum state { OFF, ARMED, ENTERED, WAITS, ATOMIC, WENT };

static const char *const state_names[] = {
	[OFF] = "off",	   [ARMED] = "armed",	[ENTERED] = "armed",
	[WAITS] = "waits", [ATOMIC] = "atomic", [WENT] = "went",
};

static struct place {
	char name[NAME_MAX_SIZE];
	unsigned long address;
} places[PLACES_MAX];
static int place_count;
static DEFINE_MUTEX(lock);

/* One task waits at a time. */
static struct {
	/* A dead task's structure may become another's: both are compared. */
	struct task_struct *task;
	pid_t pid;
	unsigned long address;
	unsigned int nth;
	atomic_t seen;
	bool threads; /* a kernel thread may wait instead */
	enum state state;
} waiter;
static DECLARE_WAIT_QUEUE_HEAD(changed);
static struct dentry *directory;

/* Traced while nothing else is: an ftrace_ops without any function would trace them all. */
static noinline void traced_for_none(void)
{
	barrier();
}

/*
 * Sleeps until the other task has done its part; then where the call goes on, as the next step may
 * name another function before it has got there.
 */
__used __visible unsigned long errpath_wait_here(void)
{
	const unsigned long address = waiter.address;

	/* Nobody's call may be made to sleep where it must not. */
	if (preempt_count() || irqs_disabled() || rcu_preempt_depth()) {
		WRITE_ONCE(waiter.state, ATOMIC);
	} else {
		WRITE_ONCE(waiter.state, WAITS);
		wake_up_all(&changed);
		/* A task that is killed here goes on, and dies where the function lets it. */
		if (wait_event_killable(changed, READ_ONCE(waiter.state) != WAITS))
			WRITE_ONCE(waiter.state, WENT);
	}
	return address;
}

/*
 * Called in place of the function. Its arguments are as they were when it begins, those in
 * registers and those on the stack; traced again, it is let through.
 */
void errpath_wait_first(void);
asm(".pushsection .text, \"ax\"\n"
	".type errpath_wait_first, @function\n"
	".globl errpath_wait_first\n"
	"errpath_wait_first:\n"
	"	push %rdi\n"
	"	push %rsi\n"
	"	push %rdx\n"
	"	push %rcx\n"
	"	push %r8\n"
	"	push %r9\n"
	"	push %rax\n"
	"	call errpath_wait_here\n"
	"	mov %rax, %r11\n"
	"	pop %rax\n"
	"	pop %r9\n"
	"	pop %r8\n"
	"	pop %rcx\n"
	"	pop %rdx\n"
	"	pop %rsi\n"
	"	pop %rdi\n"
	"	jmp *%r11\n"
	".size errpath_wait_first, . - errpath_wait_first\n"
	".popsection\n");

static bool may_wait(void)
{
	if (READ_ONCE(waiter.task) == current)
		return waiter.pid == current->pid;
	return READ_ONCE(waiter.threads) && current->flags & PF_KTHREAD;
}

static void notrace entered(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			    struct ftrace_regs *fregs)
{
	struct pt_regs *regs;

	if (likely(READ_ONCE(waiter.state) != ARMED) || !may_wait() || !in_task())
		return;
	/* With indirect branch tracking the traced place is behind the first instruction. */
	if (ip - waiter.address >= 16)
		return;
	regs = ftrace_get_regs(fregs);
	if (!regs || atomic_inc_return(&waiter.seen) != waiter.nth ||
	    cmpxchg(&waiter.state, ARMED, ENTERED) != ARMED)
		return;
	instruction_pointer_set(regs, (unsigned long)errpath_wait_first);
}

static struct ftrace_ops ops = {
	.func = entered,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_RECURSION,
};

/* A probe that is never armed knows where its function is. */
static long address_of(const char *name)
{
	struct kprobe probe = { .symbol_name = name, .flags = KPROBE_FLAG_DISABLED };
	int error = register_kprobe(&probe);

	if (error)
		return error;
	unregister_kprobe(&probe);
	return (long)probe.addr;
}

static const struct place *place_of(const char *name)
{
	int i;

	for (i = 0; i < place_count; i++)
		if (!strcmp(places[i].name, name))
			return &places[i];
	return NULL;
}

static int add_place(const char *name)
{
	struct place *place = &places[place_count];
	long address;
	int error;

	if (place_of(name))
		return 0;
	if (place_count == PLACES_MAX)
		return -ENOSPC;
	address = address_of(name);
	if (IS_ERR_VALUE(address))
		return address;
	error = ftrace_set_filter_ip(&ops, address, 0, 0);
	if (error)
		return error;
	strscpy(place->name, name, sizeof(place->name));
	place->address = address;
	place_count++;
	return 0;
}

static void go_on(void)
{
	if (cmpxchg(&waiter.state, WAITS, WENT) == WAITS)
		wake_up_all(&changed);
}

static void leave(void)
{
	WRITE_ONCE(waiter.threads, false);
	WRITE_ONCE(waiter.task, NULL);
}

static int clear(void)
{
	leave();
	go_on();
	if (!place_count)
		return 0;
	place_count = 0;
	return ftrace_set_filter_ip(&ops, (unsigned long)traced_for_none, 0, 1);
}

static int wait_at(unsigned int nth, const char *name, bool threads)
{
	const struct place *place = place_of(name);

	if (!place || !nth)
		return place ? -EINVAL : -ENOENT;
	waiter.address = place->address;
	waiter.nth = nth;
	atomic_set(&waiter.seen, 0);
	waiter.pid = current->pid;
	WRITE_ONCE(waiter.state, ARMED);
	WRITE_ONCE(waiter.threads, threads);
	WRITE_ONCE(waiter.task, current);
	return 0;
}

static int obey(const char *text)
{
	char name[NAME_MAX_SIZE];
	unsigned int nth;

	if (sscanf(text, "place %127s", name) == 1)
		return add_place(name);
	if (sscanf(text, "wait %u %127s", &nth, name) == 2)
		return wait_at(nth, name, false);
	if (sscanf(text, "threads %u %127s", &nth, name) == 2)
		return wait_at(nth, name, true);
	if (!strcmp(text, "leave")) {
		leave();
		return 0;
	}
	if (!strcmp(text, "go")) {
		go_on();
		return 0;
	}
	return strcmp(text, "clear") ? -EINVAL : clear();
}

static ssize_t control_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	char text[NAME_MAX_SIZE + 32];
	int error;

	if (size >= sizeof(text))
		return -E2BIG;
	if (copy_from_user(text, from, size))
		return -EFAULT;
	text[size] = '\0';
	mutex_lock(&lock);
	error = obey(text);
	mutex_unlock(&lock);
	return error ?: size;
}

static ssize_t state_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	const char *name = state_names[READ_ONCE(waiter.state)];

	return simple_read_from_buffer(to, size, at, name, strlen(name));
}

static __poll_t state_poll(struct file *file, poll_table *table)
{
	poll_wait(file, &changed, table);
	return READ_ONCE(waiter.state) == WAITS ? EPOLLIN : 0;
}

static const struct file_operations control_file = {
	.owner = THIS_MODULE, .write = control_write,
};

static const struct file_operations state_file = {
	.owner = THIS_MODULE, .read = state_read, .poll = state_poll,
};

static int __init wait_init(void)
{
	int error = ftrace_set_filter_ip(&ops, (unsigned long)traced_for_none, 0, 1);

	if (!error)
		error = register_ftrace_function(&ops);
	if (error)
		return error;
	directory = debugfs_create_dir("errpath_wait", NULL);
	debugfs_create_file("control", 0200, directory, NULL, &control_file);
	debugfs_create_file("state", 0400, directory, NULL, &state_file);
	return 0;
}

static void __exit wait_exit(void)
{
	debugfs_remove_recursive(directory);
	unregister_ftrace_function(&ops);
	traced_for_none();
}

#else
static int __init wait_init(void)
{
	return 0;
}

static void __exit wait_exit(void)
{
}
#endif

module_init(wait_init);
module_exit(wait_exit);
MODULE_DESCRIPTION("A task that waits at the entry of a function, for errpath");
MODULE_LICENSE("GPL");
