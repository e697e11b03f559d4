/* SPDX-License-Identifier: GPL-2.0-only */
/* One mount case: device, fault, the steps in a task of their own, then everything taken down. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
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

#define TRACING "/sys/kernel/tracing/"
#define MOUNTS_MAX 64
/* How long a task may take to die of SIGKILL, unless its case has less time than that anyway. */
#define DYING_MS 2000
/* How often a task is looked at that may stand still, or more often if patience is short. */
#define LOOK_MS 250

struct work {
	const char *name;
	json_t *steps;
	int trace;
	struct step_context context;
	const struct coverage *coverage;
	struct step_result *results;
	struct pair *pair;
};

/* What the case's own task runs; the result is its exit status. */
static int carry_out(void *argument)
{
	const struct work *work = argument;
	char pid[16];
	json_t *step;
	size_t i;

	prctl(PR_SET_NAME, work->name);
	directory_reset();
	/* The host has chosen tracer and functions; only this task's calls are wanted. */
	snprintf(pid, sizeof(pid), "%d", getpid());
	if (work->trace && (write_text(TRACING "set_ftrace_pid", pid) != 0 ||
			    write_text(TRACING "tracing_on", "1") != 0))
		return ENOTSUP;
	if (coverage_enable(work->coverage) != 0)
		return ENOTSUP;
	json_array_foreach(work->steps, i, step) {
		int error = step_run(step, &work->context, &work->results[i]);
		if (error)
			return -error;
		if (work->results[i].error && !json_is_true(json_object_get(step, "go_on")))
			break;
	}
	return 0;
}

/*
 * A process of its own that shares our memory: copying it would cost more than a mount does. While
 * it runs, the agent allocates and the task may be killed at any moment, so the task never calls
 * what takes a lock of the C library: no malloc, no stdio streams, no opendir. Its buffers are
 * static; there is one task at a time.
 */
static pid_t start(struct work *work)
{
	static char stack[128 * 1024] __attribute__((aligned(64)));
	pid_t pid = clone(carry_out, stack + sizeof(stack), CLONE_VM | SIGCHLD, work);

	return pid < 0 ? -errno : pid;
}

/* Context switches of a task that sleeps, with `any` also where a signal wakes it; else 0. */
static unsigned long asleep(pid_t pid, int any)
{
	char path[64], text[4096];
	unsigned long given_up = 0, taken = 0;
	char state = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (read_text(path, text, sizeof(text)) < 0)
		return 0;
	const char *at = strstr(text, "\nState:");
	if (!at || sscanf(at, "\nState: %c", &state) != 1 ||
	    (state != 'D' && !(any && state == 'S')))
		return 0;
	at = strstr(text, "\nvoluntary_ctxt_switches:");
	if (!at || sscanf(at, "\nvoluntary_ctxt_switches: %lu\nnonvoluntary_ctxt_switches: %lu",
			  &given_up, &taken) != 2)
		return 0;
	return given_up + taken;
}

/* Whether anybody but us could run. */
static int others_run(void)
{
	char text[16384];
	int running = 0;

	if (read_text("/proc/stat", text, sizeof(text)) < 0)
		return 1;
	const char *at = strstr(text, "\nprocs_running");
	return !at || sscanf(at, "\nprocs_running %d", &running) != 1 || running > 1;
}

int stands_still(struct standstill *still)
{
	unsigned long switches = others_run() ? 0 : asleep(still->pid, still->any_sleep);

	if (!switches || switches != still->switches)
		still->since = now_ms();
	still->switches = switches;
	still->over = switches && now_ms() - still->since >= still->patience_ms;
	return still->over;
}

/*
 * Waits until the task has ended, and reads the kernel log meanwhile: 1, 0 with the time up or
 * where it stands still, or -errno.
 */
static int wait_ended(int pidfd, int timeout_ms, struct standstill *still, struct work *work,
		      struct messages *messages)
{
	struct pollfd files[2 + PAIR_FILES] = {
		{ .fd = pidfd, .events = POLLIN },
		{ .fd = kmsg_file(), .events = POLLIN },
	};
	struct pair *pair = work && work->pair->active ? work->pair : NULL;
	pid_t first = still ? still->pid : 0;
	int64_t until = now_ms() + timeout_ms;
	int patient = still && still->patience_ms;
	int every = timeout_ms;

	if (patient) {
		every = still->patience_ms / 4 + 1;
		every = every < LOOK_MS ? every : LOOK_MS;
	}

	for (;;) {
		int64_t left = until - now_ms();
		if (left > every)
			left = every;
		if (pair) {
			pair_poll(pair, files + 2);
			left = pair_every_ms(pair, left);
		}
		int ready = poll(files, pair ? ARRAY_SIZE(files) : 2, left > 0 ? left : 0);
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready < 0)
			continue;
		if (files[0].revents)
			return 1;
		int error = pair ? pair_attend(pair, files + 2, work->results) : 0;
		if (error)
			return error;
		if (pair && still)
			still->pid = pair_slow(pair, first);
		if (ready == 0 && (now_ms() >= until || (patient && stands_still(still))))
			return 0;
		error = ready ? kmsg_read(messages) : 0;
		if (error)
			return error;
	}
}

static void reply_stack(struct call *call, pid_t pid)
{
	char path[64], stack[4096];

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	if (read_text(path, stack, sizeof(stack)) >= 0)
		json_object_set_new(call->reply, "stack", json_string_nocheck(stack));
}

/* With its time up, the task is killed, and what then still does not end is hung in the kernel. */
static int wait_for(struct call *call, pid_t pid, int timeout_ms, struct work *work,
		    struct messages *messages)
{
	struct standstill still = {
		.pid = pid,
		.patience_ms = json_integer_value(json_object_get(call->request, "patience_ms")),
	};
	int status, pidfd = syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0)
		return -errno;
	int ended = wait_ended(pidfd, timeout_ms, &still, work, messages);
	if (ended == 0) {
		if (still.over)
			json_object_set_new(call->reply, "stood_still_ms",
					    json_integer(still.patience_ms));
		reply_stack(call, pid);
		json_object_set_new(call->reply, "hung", json_true());
		pair_interrupt(work->pair);
		kill(pid, SIGKILL);
		/* What has stood still dies at once, or never. */
		int dying_ms = still.over ? still.patience_ms / 8 : timeout_ms;
		ended = wait_ended(pidfd, dying_ms < DYING_MS ? dying_ms : DYING_MS, NULL, NULL,
				   messages);
	}
	close(pidfd);
	if (ended <= 0)
		return ended;
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	if (WIFSIGNALED(status))
		json_object_set_new(call->reply, "signal", json_integer(WTERMSIG(status)));
	else
		json_object_set_new(call->reply, "status", json_integer(WEXITSTATUS(status)));
	return 0;
}

/* Only reading back has more to report than an errno. */
static int open_report(json_t *steps)
{
	json_t *step;
	size_t i;

	json_array_foreach(steps, i, step) {
		const char *op = json_string_value(json_object_get(step, "op"));
		if (op && strcmp(op, "readback") == 0)
			return memfd_create("entries", MFD_CLOEXEC);
	}
	return -1;
}

/* What was read back, to the reply's blob. */
static int take_report(struct call *call, int report)
{
	off_t size = report < 0 ? 0 : lseek(report, 0, SEEK_END);

	if (size <= 0)
		return size < 0 ? -errno : 0;
	call->out.data = malloc(size);
	if (!call->out.data)
		return -ENOMEM;
	ssize_t got = pread(report, call->out.data, size, 0);
	if (got != size)
		return got < 0 ? -errno : -EIO;
	call->out.size = size;
	json_object_set_new(call->reply, "entries", json_integer(size));
	return 0;
}

json_t *step_reply(const struct step_result *result)
{
	return json_pack("{s:i, s:s, s:o}", "errno", result->error, "syscall", result->syscall,
			 "log", json_string_nocheck(result->log));
}

/*
 * What the steps gave; and how often faults of their own have hit, if there are any, also that of
 * a step that did not end.
 */
static void reply_steps(struct call *call, json_t *steps, const struct step_result *results)
{
	json_t *list = json_array(), *step, *arm, *last = NULL;
	int fired, counted = 0, total = -1;
	size_t i;

	json_array_foreach(steps, i, step) {
		if (!results[i].begun)
			break;
		fired = results[i].done ? results[i].fired : points_fired(step);
		if (fired >= 0) {
			/* A fault's count goes on over neighbours that have it. */
			arm = json_object_get(step, "arm");
			total = (total < 0 ? 0 : total) + fired;
			total -= json_equal(arm, last) ? counted : 0;
			counted = fired;
			last = arm;
		}
		if (!results[i].done)
			break;
		json_t *result = step_reply(&results[i]);
		if (fired >= 0)
			json_object_set_new(result, "fired", json_integer(fired));
		json_array_append_new(list, result);
	}
	json_object_set_new(call->reply, "steps", list);
	if (total >= 0)
		json_object_set_new(call->reply, "fired", json_integer(total));
}

/* Runs the steps; what they gave is in `results`. */
static int run_task(struct call *call, struct work *work, struct messages *messages)
{
	int timeout_ms = json_integer_value(json_object_get(call->request, "timeout_ms"));
	pid_t pid = start(work);

	if (pid < 0) {
		snprintf(call->what, sizeof(call->what), "clone");
		return pid;
	}
	json_object_set_new(call->reply, "pid", json_integer(pid));
	return wait_for(call, pid, timeout_ms, work, messages);
}

/* What is asked for is read when nobody writes to it any more. */
static int take_down(struct call *call, struct devices *devices)
{
	int wanted = json_is_true(json_object_get(call->request, "changes"));
	int backing = wanted && devices->first.backing >= 0 ? dup(devices->first.backing) : -1;
	int mounts = 0, error = 0;

	volume_thaw(STEP_ROOT);
	while (mounts < MOUNTS_MAX && umount2(STEP_ROOT, 0) == 0)
		mounts++;
	json_object_set_new(call->reply, "left_mounted", json_integer(mounts));
	int busy = devices_detach(devices);
	json_object_set_new(call->reply, "device_errno", json_integer(-busy));
	if (backing >= 0) {
		error = busy ? 0 : changes_reply(call, backing);
		close(backing);
	}
	return error;
}

/* A case with its devices attached. */
static int run_attached(struct call *call, struct devices *devices, struct messages *messages)
{
	static struct step_result results[STEPS_MAX];
	json_t *steps = json_object_get(call->request, "steps");
	json_t *fault = json_object_get(call->request, "fault");
	size_t count = json_array_size(steps);
	struct coverage coverage;
	struct pair pair;
	struct work work = {
		.name = json_string_value(json_object_get(call->request, "name")),
		.steps = steps,
		.trace = json_is_true(json_object_get(call->request, "trace")),
		.context = { .device = &devices->first,
			     .report = open_report(steps),
			     .pair = &pair },
		.coverage = &coverage,
		.results = results,
		.pair = &pair,
	};

	memset(results, 0, count * sizeof(results[0]));
	int error = coverage_open(call, &coverage);
	int unpaired = pair_open(call, steps, &devices->first, &pair);
	if (!error)
		error = unpaired;
	if (!error)
		error = injector_set(call, fault);
	if (!error)
		error = points_open(call, steps);
	if (!error)
		error = run_task(call, &work, messages);
	unpaired = pair_close(call, &pair);
	if (!error)
		error = unpaired;
	if (!error)
		error = injector_take(call, fault);
	reply_steps(call, steps, results);
	if (!error)
		error = take_report(call, work.context.report);
	if (work.context.report >= 0)
		close(work.context.report);
	int uncovered = coverage_take(call, &coverage), unread = 0;
	/* A hung task may hold the locks that the take-down needs: leave that guest alone. */
	if (!json_object_get(call->reply, "hung")) {
		unread = take_down(call, devices);
		int gone = points_close();
		error = error ? error : gone;
	}
	if (!error)
		error = uncovered;
	return error ? error : unread;
}

/*
 * {"name": task name, "device": …, "devices": […],
 *  "fault": {"function", "retval", "times"} or null, "steps": […], "timeout_ms": n,
 *  "patience_ms": n, "trace": bool, "coverage": "blocks" or "edges", "count": bool,
 *  "settle": bool, "changes": bool}. The reply's blob holds what was read back ("entries" bytes),
 * the code that ran ("coverage" words, big endian) and the sectors that the case has changed of its
 * device ("changed": [[offset, length], …]).
 * "began_ms" is of the monotonic clock.
 * A step that fails ends the case, unless it has "go_on". "kmsg" is what was printed from the
 * device's attachment to its end, "kmsg_before" what it printed since the case before.
 */
int verb_case_run(struct call *call)
{
	size_t count = json_array_size(json_object_get(call->request, "steps"));
	struct messages before = { 0 }, messages = { 0 };
	static struct devices devices;

	if (!json_is_string(json_object_get(call->request, "name")) || count > STEPS_MAX) {
		snprintf(call->what, sizeof(call->what),
			 "case: expected a name and at most %d steps", STEPS_MAX);
		return -EINVAL;
	}
	int error = kmsg_open(call);
	if (error)
		return error;
	json_object_set_new(call->reply, "began_ms", json_integer(now_ms()));
	int unread = kmsg_read(&before);
	error = devices_attach(call, &devices);
	if (!error)
		error = run_attached(call, &devices, &messages);
	if (!unread)
		unread = kmsg_read(&messages);
	/* What comes once in a boot, as of WARN_ONCE(), comes for the next case as well. */
	if (before.used || messages.used)
		write_text("/sys/kernel/debug/clear_warn_once", "1");
	if (unread)
		snprintf(call->what, sizeof(call->what), "read /dev/kmsg");
	/* The reply to a case that could not be set up is not read: the next has its changes. */
	if (!error && !unread && json_is_true(json_object_get(call->request, "count")))
		counts_reply(call, 0, json_is_true(json_object_get(call->request, "settle")));
	kmsg_reply(call, "kmsg_before", &before);
	kmsg_reply(call, "kmsg", &messages);
	return error ? error : unread;
}
