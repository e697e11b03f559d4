/* SPDX-License-Identifier: GPL-2.0-only */
/* Time, quiet and the end of the guest. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <linux/membarrier.h>
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

/* Lets the kernel finish what it put off: dirty pages are written, caches that hold objects only
 * for reuse give them back, and two RCU grace periods pass. */
int verb_quiesce(struct call *call)
{
	sync();
	int error = write_text("/proc/sys/vm/drop_caches", "3");
	if (error)
		snprintf(call->what, sizeof(call->what), "write /proc/sys/vm/drop_caches");
	for (int i = 0; i < 2 && !error; i++)
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0) {
			error = -errno;
			snprintf(call->what, sizeof(call->what), "membarrier");
		}
	return error;
}

int verb_poweroff(struct call *call)
{
	sync();
	reboot(RB_AUTOBOOT);
	snprintf(call->what, sizeof(call->what), "reboot");
	return -errno;
}
