/* SPDX-License-Identifier: GPL-2.0-only */
/* Time, quiet and the end of the guest. */
#define _GNU_SOURCE
#include "agent.h"
#include "quiet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
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
 * Kernel stacks hold pointers to what was freed long ago. When such memory is allocated again and
 * then leaked, kmemleak, which scans the whole stack of every task, takes the old pointer for a
 * reference. In our own, deep calls left pointers that shallower ones never overwrite: a fresh copy
 * of the agent takes over and this one ends. Those of dead tasks are cleared as well
 * (guests/common/quiet.h).
 */
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

/* As a leak check wants it. */
int verb_quiesce(struct call *call)
{
	const char *what = "";
	int error = settle_kernel(&what);

	if (!error) {
		what = "a fresh agent";
		error = take_over();
	}
	if (!error) {
		what = "tasks that clear dead stacks";
		error = clear_dead_stacks();
	}
	if (error)
		snprintf(call->what, sizeof(call->what), "%s", what);
	return error;
}

int verb_poweroff(struct call *call)
{
	sync();
	reboot(RB_AUTOBOOT);
	snprintf(call->what, sizeof(call->what), "reboot");
	return -errno;
}
