/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Faults by fail_function: one function at a time, for the tasks that ask for it.
 *
 * A fault is {"function", "retval", "times"}. Placing a kprobe costs more than a mount, so it stays
 * until another function is wanted; times=0 keeps it harmless for cases without a fault.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAIL_FUNCTION "/sys/kernel/debug/fail_function/"
#define MAKE_IT_FAIL "/proc/self/make-it-fail"

/* What stands in the kernel's files now. */
static struct injector {
	int prepared;	    /* whether the settings that never change are made */
	char function[256]; /* the function with the kprobe, empty without one */
	json_int_t retval;  /* 0: not set since the kprobe was placed */
	int times;	    /* -1: not known */
} injector = { .times = -1 };

static int set(struct call *call, const char *file, const char *value)
{
	char path[400];

	snprintf(path, sizeof(path), FAIL_FUNCTION "%s", file);
	int error = write_text(path, value);
	if (error)
		snprintf(call->what, sizeof(call->what), "write %.120s to %.120s", value, path);
	return error;
}

/* Only a task that sets make-it-fail is ever failed, and at every call. */
static int prepare(struct call *call)
{
	static const struct {
		const char *file, *value;
	} settings[] = {
		{ "task-filter", "Y" }, { "probability", "100" }, { "interval", "1" },
		{ "verbose", "0" },	{ "space", "0" },
	};

	for (size_t i = 0; !injector.prepared && i < ARRAY_SIZE(settings); i++) {
		int error = set(call, settings[i].file, settings[i].value);
		if (error)
			return error;
	}
	injector.prepared = 1;
	return 0;
}

/* "times" is written for nearly every case: 0 is not written again. */
static int set_times(struct call *call, int times)
{
	char value[16];

	if (times == 0 && injector.times == 0)
		return 0;
	snprintf(value, sizeof(value), "%d", times);
	int error = set(call, "times", value);
	injector.times = error ? -1 : times;
	return error;
}

static int set_function(struct call *call, const char *function)
{
	if (strcmp(function, injector.function) == 0)
		return 0;
	int error = verb_fault_clear(call);
	if (!error)
		error = set(call, "inject", function);
	if (!error)
		snprintf(injector.function, sizeof(injector.function), "%s", function);
	return error;
}

static int set_retval(struct call *call, json_int_t retval)
{
	char file[300], value[32];

	if (retval == injector.retval)
		return 0;
	snprintf(file, sizeof(file), "%s/retval", injector.function);
	snprintf(value, sizeof(value), "%#llx", retval);
	int error = set(call, file, value);
	injector.retval = error ? 0 : retval;
	return error;
}

int injector_set(struct call *call, json_t *fault)
{
	const char *function = json_string_value(json_object_get(fault, "function"));
	int error = prepare(call);

	if (!error)
		error = set_times(call, 0);
	if (error || !function)
		return error;
	error = set_function(call, function);
	if (!error)
		error = set_retval(call, json_integer_value(json_object_get(fault, "retval")));
	if (!error)
		error = set_times(call, json_integer_value(json_object_get(fault, "times")));
	return error;
}

int injector_begin(void)
{
	return write_text(MAKE_IT_FAIL, "1");
}

int injector_end(void)
{
	return write_text(MAKE_IT_FAIL, "0");
}

int injector_take(struct call *call, json_t *fault)
{
	json_int_t times = json_integer_value(json_object_get(fault, "times"));
	char left[32];

	if (!json_is_object(fault))
		return 0;
	int error = read_text(FAIL_FUNCTION "times", left, sizeof(left));
	if (error < 0) {
		snprintf(call->what, sizeof(call->what), "read " FAIL_FUNCTION "times");
		return error;
	}
	json_object_set_new(call->reply, "fired", json_integer(times - atoi(left)));
	return set_times(call, 0);
}

int verb_fault_clear(struct call *call)
{
	char value[300];

	if (!injector.function[0])
		return 0;
	snprintf(value, sizeof(value), "!%s", injector.function);
	injector.function[0] = '\0';
	injector.retval = 0;
	return set(call, "inject", value);
}
