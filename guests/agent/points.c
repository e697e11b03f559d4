/* SPDX-License-Identifier: GPL-2.0-only */
/* Faults by the module errpath_faults (guests/modules/faults): one call of the case's own task. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FAULTS "/sys/kernel/debug/errpath_faults/"

/* Open all the time: opening them in an armed step would allocate. */
static int arm_file = -1, state_file = -1;

static const char *arm_of(json_t *step)
{
	return json_string_value(json_object_get(step, "arm"));
}

int points_open(struct call *call, json_t *steps)
{
	json_t *step;
	size_t i, armed = 0;

	json_array_foreach(steps, i, step)
		armed += arm_of(step) != NULL;
	if (!armed)
		return 0;
	if (arm_file < 0)
		arm_file = open(FAULTS "arm", O_WRONLY | O_CLOEXEC);
	if (state_file < 0)
		state_file = open(FAULTS "state", O_RDONLY | O_CLOEXEC);
	if (arm_file < 0 || state_file < 0) {
		snprintf(call->what, sizeof(call->what), "open " FAULTS);
		return -errno;
	}
	/* Counts begin anew with each case, and go on over the steps that have the same fault. */
	if (write(arm_file, "off", 3) != 3)
		return -errno;
	/* What the kernel warns about once in a boot, it shall at every point that leads there. */
	int error = write_text("/sys/kernel/debug/clear_warn_once", "1");
	if (error)
		snprintf(call->what, sizeof(call->what), "write clear_warn_once");
	return error;
}

/* The disk that a fault has taken away is there again, for whoever comes next. */
int points_close(void)
{
	return arm_file >= 0 && write(arm_file, "off", 3) != 3 ? -errno : 0;
}

int points_begin(json_t *step)
{
	const char *command = arm_of(step);
	size_t size = command ? strlen(command) : 0;

	return size && write(arm_file, command, size) != (ssize_t)size ? -errno : 0;
}

int points_end(json_t *step)
{
	return arm_of(step) && write(arm_file, "off", 3) != 3 ? -errno : 0;
}

int points_fired(json_t *step)
{
	char text[128];
	int fired;

	if (!arm_of(step))
		return -1;
	ssize_t got = pread(state_file, text, sizeof(text) - 1, 0);
	text[got > 0 ? got : 0] = '\0';
	return sscanf(text, "fired %d", &fired) == 1 ? fired : -1;
}
