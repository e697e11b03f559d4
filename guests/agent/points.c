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

/* Open all the time: opening it in an armed step would allocate. */
static int arm_file = -1;
/* What is written when an armed step begins; empty without such a fault. */
static char command[320];

int points_set(struct call *call, json_t *fault)
{
	const char *text = json_string_value(json_object_get(fault, "arm"));

	command[0] = '\0';
	if (!text)
		return 0;
	if (arm_file < 0)
		arm_file = open(FAULTS "arm", O_WRONLY | O_CLOEXEC);
	if (arm_file < 0 || strlen(text) >= sizeof(command)) {
		int error = arm_file < 0 ? errno : E2BIG;
		snprintf(call->what, sizeof(call->what), "arm " FAULTS);
		return -error;
	}
	snprintf(command, sizeof(command), "%s", text);
	/* Counts begin anew with each case, and go on over its armed steps. */
	if (write(arm_file, "off", 3) != 3)
		return -errno;
	/* What the kernel warns about once in a boot, it shall at every point that leads there. */
	int error = write_text("/sys/kernel/debug/clear_warn_once", "1");
	if (error)
		snprintf(call->what, sizeof(call->what), "write clear_warn_once");
	return error;
}

int points_begin(void)
{
	size_t size = strlen(command);

	return size && write(arm_file, command, size) != (ssize_t)size ? -errno : 0;
}

int points_end(void)
{
	return command[0] && write(arm_file, "off", 3) != 3 ? -errno : 0;
}

int points_take(struct call *call)
{
	unsigned long long fired = 0, matched = 0, lost = 0;
	char text[128];
	int error = read_text(FAULTS "state", text, sizeof(text));

	if (error < 0)
		return error;
	if (sscanf(text, "fired %llu matched %llu lost %llu", &fired, &matched, &lost) != 3)
		return -EBADMSG;
	json_object_set_new(call->reply, "fired", json_integer(fired));
	json_object_set_new(call->reply, "lost", json_integer(lost));
	return 0;
}
