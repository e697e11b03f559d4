/* SPDX-License-Identifier: GPL-2.0-only */
/* Time, quiet and the end of the guest. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Guest time: what has an age in the guest must be waited for on the guest's clock. */
int verb_sleep(struct call *call)
{
	json_int_t ms = json_integer_value(json_object_get(call->request, "ms"));
	struct timespec left = { ms / 1000, (ms % 1000) * 1000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
	return 0;
}

/*
 * Kernel stacks hold pointers to what was freed long ago. When such memory is allocated again and then
 * leaked, kmemleak, which scans the whole stack of every task, takes the old pointer for a reference.
 * Two kinds of stack are ours to clean. Our own: deep calls left pointers that shallower ones never
 * overwrite, so a fresh copy of the agent takes over and this one ends. And those of dead tasks, which
 * are kept for reuse (kernel/fork.c, cached_stacks): one is cleared when a new task takes it, so more
 * tasks at once than stacks are kept clear them all.
 */
#define KEPT_STACKS_PER_CPU 2

static int take_over(void)
{
	pid_t old = getpid();
	pid_t successor = fork();

	if (successor < 0)
		return -errno;
	if (successor > 0)
		init_hand_over(successor);
	struct pollfd predecessor = { .fd = syscall(SYS_pidfd_open, old, 0), .events = POLLIN };
	/* It may have ended before we looked. */
	if (predecessor.fd < 0)
		return errno == ESRCH ? 0 : -errno;
	int ready = poll(&predecessor, 1, 10000);
	close(predecessor.fd);
	return ready == 1 ? 0 : -ETIMEDOUT;
}

static int clear_dead_stacks(void)
{
	long wanted = (KEPT_STACKS_PER_CPU + 1) * sysconf(_SC_NPROCESSORS_CONF), started = 0;
	int gate[2], error = 0;

	if (pipe2(gate, O_CLOEXEC) != 0)
		return -errno;
	while (started < wanted) {
		pid_t pid = fork();
		if (pid < 0) {
			error = -errno;
			break;
		}
		if (pid == 0) {
			char byte;
			close(gate[1]);
			_exit(read(gate[0], &byte, 1) < 0);
		}
		started++;
	}
	close(gate[1]);
	close(gate[0]);
	while (started-- > 0)
		wait(NULL);
	return error;
}

/*
 * Lets the kernel finish what it put off: dirty pages are written, caches that hold objects only
 * for reuse give them back, two RCU grace periods pass, and old stacks are cleared.
 */
int verb_quiesce(struct call *call)
{
	sync();
	int error = write_text("/proc/sys/vm/drop_caches", "3");
	if (error) {
		snprintf(call->what, sizeof(call->what), "write /proc/sys/vm/drop_caches");
		return error;
	}
	for (int i = 0; i < 2; i++)
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0) {
			snprintf(call->what, sizeof(call->what), "membarrier");
			return -errno;
		}
	error = take_over();
	if (error) {
		snprintf(call->what, sizeof(call->what), "a fresh agent");
		return error;
	}
	error = clear_dead_stacks();
	if (error)
		snprintf(call->what, sizeof(call->what), "tasks that clear dead stacks");
	return error;
}

int verb_poweroff(struct call *call)
{
	sync();
	reboot(RB_AUTOBOOT);
	snprintf(call->what, sizeof(call->what), "reboot");
	return -errno;
}
