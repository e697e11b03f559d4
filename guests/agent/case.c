/* SPDX-License-Identifier: GPL-2.0-only */
/* One mount case: device, fault, the steps in a task of their own, then everything taken down. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAIL_FUNCTION "/sys/kernel/debug/fail_function/"

/* The function whose kprobe is in place. Placing one costs more than a mount, so it stays until
 * another is wanted; times=0 keeps it harmless for cases without a fault. */
static char armed_function[256];

static int set(struct call *call, const char *file, const char *value)
{
	char path[400];

	snprintf(path, sizeof(path), FAIL_FUNCTION "%s", file);
	int error = write_text(path, value);
	if (error)
		snprintf(call->what, sizeof(call->what), "write %.120s to %.120s", value, path);
	return error;
}

/* "times" is written for nearly every case: what stands there already is not written again. */
static int set_times(struct call *call, int times)
{
	static int standing = -1;
	char value[16];

	if (times == standing && times == 0)
		return 0;
	snprintf(value, sizeof(value), "%d", times);
	int error = set(call, "times", value);
	standing = error ? -1 : times;
	return error;
}

static int arm(struct call *call, json_t *fault)
{
	static json_int_t retval;
	static int prepared;
	const char *function = json_string_value(json_object_get(fault, "function"));
	char value[300], file[300];
	int error = 0;

	if (!prepared) {
		error = set(call, "task-filter", "Y") ?: set(call, "probability", "100") ?:
			set(call, "interval", "1") ?: set(call, "verbose", "0") ?: set(call, "space", "0");
		prepared = !error;
	}
	if (!error)
		error = set_times(call, 0);
	if (error || !function)
		return error;
	if (strcmp(function, armed_function) != 0) {
		if (armed_function[0]) {
			snprintf(value, sizeof(value), "!%s", armed_function);
			armed_function[0] = '\0';
			error = set(call, "inject", value);
		}
		error = error ?: set(call, "inject", function);
		if (error)
			return error;
		snprintf(armed_function, sizeof(armed_function), "%s", function);
		retval = 0;
	}
	json_int_t wanted = json_integer_value(json_object_get(fault, "retval"));
	if (wanted != retval) {
		snprintf(file, sizeof(file), "%s/retval", function);
		snprintf(value, sizeof(value), "%#llx", wanted);
		retval = 0;
		error = set(call, file, value);
		if (error)
			return error;
		retval = wanted;
	}
	return set_times(call, json_integer_value(json_object_get(fault, "times")));
}

/* How often the fault hit, from what is left of its times. */
static int fired(struct call *call, json_t *fault)
{
	char left[32];
	int error = read_text(FAIL_FUNCTION "times", left, sizeof(left));

	if (error < 0)
		return error;
	json_object_set_new(call->reply, "fired",
			    json_integer(json_integer_value(json_object_get(fault, "times")) - atoi(left)));
	return set_times(call, 0);
}

int verb_fault_clear(struct call *call)
{
	char value[300];

	if (!armed_function[0])
		return 0;
	snprintf(value, sizeof(value), "!%s", armed_function);
	armed_function[0] = '\0';
	return set(call, "inject", value);
}

/* What the kernel logged since the last call. */
static void kernel_messages(struct call *call, const char *key)
{
	static int file = -1;
	static char all[256 << 10];
	char record[8192 + 1];	/* CONSOLE_EXT_LOG_MAX, which no record is longer than */
	size_t used = 0;

	if (file < 0) {
		file = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		lseek(file, 0, SEEK_END);
		return;
	}
	for (;;) {
		ssize_t got = read(file, record, sizeof(record) - 1);
		if (got < 0 && errno == EPIPE)
			continue;	/* records were overwritten; go on with the oldest */
		if (got <= 0)
			break;
		record[got] = '\0';
		/* "priority,sequence,time,flags;message\n key=value…" */
		char *message = strchr(record, ';');
		char *end = message ? strchr(message, '\n') : NULL;
		size_t size = end ? (size_t)(end - message) : 0;
		if (size && used + size < sizeof(all)) {
			memcpy(all + used, message + 1, size);
			used += size;
		}
	}
	if (key)
		json_object_set_new(call->reply, key, json_stringn_nocheck(all, used));
}

#define TRACING "/sys/kernel/tracing/"

struct work {
	const char *name, *source;
	json_t *steps;
	int trace, report;
	const struct coverage *coverage;
	struct step_result *results;
};

/* What the case's own task runs; the result is its exit status. */
static int carry_out(void *argument)
{
	const struct work *work = argument;
	char pid[16];
	json_t *step;
	size_t i;

	prctl(PR_SET_NAME, work->name);
	/* The host has chosen tracer and functions; only this task's calls are wanted. */
	snprintf(pid, sizeof(pid), "%d", getpid());
	if (work->trace && (write_text(TRACING "set_ftrace_pid", pid) != 0 ||
			    write_text(TRACING "tracing_on", "1") != 0))
		return ENOTSUP;
	if (coverage_enable(work->coverage) != 0)
		return ENOTSUP;
	json_array_foreach(work->steps, i, step) {
		int error = step_run(step, work->source, work->report, &work->results[i]);
		if (error)
			return -error;
		if (work->results[i].error && !json_is_true(json_object_get(step, "go_on")))
			break;
	}
	return 0;
}

/* A process of its own that shares our memory: copying it would cost more than a mount does. The
 * agent does nothing but poll while it runs, and the task calls nothing that allocates or locks. */
static pid_t start(struct work *work)
{
	static char stack[128 * 1024] __attribute__((aligned(64)));

	return clone(carry_out, stack + sizeof(stack), CLONE_VM | SIGCHLD, work);
}

/* How long a task may take to die of SIGKILL, unless its case has less time than that anyway. */
#define DYING_MS 2000

/* Waits for the case's task to end; with its time up it is killed, and what then still does not
 * end is hung in the kernel. */
static int wait_for(struct call *call, pid_t pid, int timeout_ms)
{
	struct pollfd task = { .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	int status = 0;

	if (task.fd < 0)
		return -errno;
	int ready = poll(&task, 1, timeout_ms);
	if (ready == 0) {
		char path[64], stack[4096];
		snprintf(path, sizeof(path), "/proc/%d/stack", pid);
		if (read_text(path, stack, sizeof(stack)) >= 0)
			json_object_set_new(call->reply, "stack", json_string_nocheck(stack));
		json_object_set_new(call->reply, "hung", json_true());
		kill(pid, SIGKILL);
		ready = poll(&task, 1, timeout_ms < DYING_MS ? timeout_ms : DYING_MS);
	}
	close(task.fd);
	if (ready <= 0)
		return 0;
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		json_object_set_new(call->reply, "signal", json_integer(WTERMSIG(status)));
	else
		json_object_set_new(call->reply, "status", json_integer(WEXITSTATUS(status)));
	return 0;
}

/* What a walk told, to the reply's blob. */
/* Only a walk tells more than an errno. */
static int wants_report(json_t *steps)
{
	json_t *step;
	size_t i;

	json_array_foreach(steps, i, step)
		if (json_is_string(json_object_get(step, "op")) &&
		    strcmp(json_string_value(json_object_get(step, "op")), "walk") == 0)
			return 1;
	return 0;
}

static int take_report(struct call *call, int report)
{
	off_t size = lseek(report, 0, SEEK_END);

	if (size <= 0)
		return 0;
	call->out.data = malloc(size);
	if (!call->out.data || pread(report, call->out.data, size, 0) != size)
		return -ENOMEM;
	call->out.size = size;
	json_object_set_new(call->reply, "walk", json_integer(size));
	return 0;
}

/* {"name": task name, "device": …, "fault": {"function", "retval", "times"} or null, "steps": […],
 *  "timeout_ms": n, "trace": bool, "coverage": bool}. The reply's blob holds what a walk told ("walk"
 *  bytes) and the addresses of the code that ran ("coverage" of them, big endian). A step that fails ends the case, unless it says "go_on". */
int verb_case_run(struct call *call)
{
	json_t *steps = json_object_get(call->request, "steps");
	json_t *fault = json_object_get(call->request, "fault");
	const char *name = json_string_value(json_object_get(call->request, "name"));
	static struct step_result results[STEPS_MAX];
	struct device device;
	struct coverage coverage;

	if (!name || json_array_size(steps) > STEPS_MAX) {
		snprintf(call->what, sizeof(call->what), "case: expected a name and at most %d steps",
			 STEPS_MAX);
		return -EINVAL;
	}
	int error = device_attach(call, json_object_get(call->request, "device"), &device);
	if (error)
		return error;
	memset(results, 0, json_array_size(steps) * sizeof(results[0]));
	int report = wants_report(steps) ? memfd_create("walk", MFD_CLOEXEC) : -1;
	error = coverage_open(call, &coverage) ?: arm(call, json_is_object(fault) ? fault : NULL);
	kernel_messages(call, NULL);
	if (!error) {
		struct work work = {
			.name = name,
			.source = device.path,
			.steps = steps,
			.trace = json_is_true(json_object_get(call->request, "trace")),
			.report = report,
			.coverage = &coverage,
			.results = results,
		};
		pid_t pid = start(&work);
		json_object_set_new(call->reply, "pid", json_integer(pid));
		error = pid < 0 ? -errno
				: wait_for(call, pid,
					   json_integer_value(json_object_get(call->request, "timeout_ms")));
	}
	if (!error && json_is_object(fault))
		error = fired(call, fault);
	json_t *list = json_array();
	for (size_t i = 0; i < json_array_size(steps) && results[i].done; i++)
		json_array_append_new(list, json_pack("{s:i, s:s, s:o}", "errno", results[i].error,
						      "syscall", results[i].syscall, "log",
						      json_string_nocheck(results[i].log)));
	json_object_set_new(call->reply, "steps", list);
	error = error ?: take_report(call, report);
	close(report);
	error = coverage_take(call, &coverage) ?: error;
	/* A hung task may hold the locks that the take-down needs: leave that guest alone. */
	if (!json_object_get(call->reply, "hung")) {
		int mounts = 0;
		while (mounts < 64 && umount2("/mnt", 0) == 0)
			mounts++;
		json_object_set_new(call->reply, "left_mounted", json_integer(mounts));
		json_object_set_new(call->reply, "device_errno", json_integer(-device_detach(&device)));
	}
	kernel_messages(call, "kmsg");
	return error;
}
