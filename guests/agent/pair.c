/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two tasks: while a step of the case's own task waits at the entry of a function
 * (guests/modules/wait), a second task takes steps of its own. When it has ended, or stands still
 * because it waits for the first, the first goes on. The first does not begin its next step before
 * the second has ended, so that the order is the same each time.
 *
 * The second task is forked: unlike the first, it shares no memory with the agent but its results.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT "/sys/kernel/debug/errpath_wait/"
#define PAIR_STEPS_MAX 16
/*
 * So long must the second task sleep, in a kernel in which nobody else runs and nobody wakes it,
 * to be taken for one that waits for the first. A loop device on tmpfs answers in a millisecond.
 */
#define STANDSTILL_MS 150
#define DYING_MS 2000

static int place_all(struct call *call, int control, json_t *steps)
{
	char command[160];
	json_t *step;
	size_t i;

	json_array_foreach(steps, i, step) {
		json_t *wait = json_object_get(step, "wait");
		if (!wait)
			continue;
		snprintf(command, sizeof(command), "place %s",
			 json_string_value(json_object_get(wait, "function")));
		if (write(control, command, strlen(command)) < 0) {
			snprintf(call->what, sizeof(call->what), "%s", command);
			return -errno;
		}
		if (json_array_size(json_object_get(wait, "steps")) > PAIR_STEPS_MAX)
			return -E2BIG;
	}
	return 0;
}

int pair_open(struct call *call, json_t *steps, const struct device *device, struct pair *pair)
{
	json_t *step;
	size_t i, waits = 0;

	*pair = (struct pair){ .pidfd = -1, .step = -1, .device = device };
	json_array_foreach(steps, i, step)
		waits += json_object_get(step, "wait") != NULL;
	if (!waits)
		return 0;
	pair->steps = steps;
	pair->name = json_string_value(json_object_get(call->request, "name"));
	pair->control = open(WAIT "control", O_WRONLY | O_CLOEXEC);
	pair->state = open(WAIT "state", O_RDONLY | O_CLOEXEC);
	int piped = pipe2(pair->done, O_CLOEXEC) == 0 && pipe2(pair->go, O_CLOEXEC) == 0;
	pair->results = mmap(NULL, PAIR_STEPS_MAX * sizeof(*pair->results), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pair->told = json_array();
	pair->active = 1;
	if (pair->control < 0 || pair->state < 0 || !piped || pair->results == MAP_FAILED) {
		snprintf(call->what, sizeof(call->what), "open " WAIT);
		return -errno;
	}
	/* A kprobe of an earlier case, on the same function, would keep it out. */
	int error = verb_fault_clear(call);
	return error ? error : place_all(call, pair->control, steps);
}

int pair_begin(const struct pair *pair, json_t *step)
{
	json_t *wait = json_object_get(step, "wait");
	char command[160];

	if (!wait)
		return 0;
	int size = snprintf(command, sizeof(command), "%s %lld %s",
			    json_is_true(json_object_get(wait, "threads")) ? "threads" : "wait",
			    json_integer_value(json_object_get(wait, "nth")),
			    json_string_value(json_object_get(wait, "function")));
	return write(pair->control, command, size) < 0 ? -errno : 0;
}

int pair_end(const struct pair *pair, json_t *step)
{
	char byte = 0;

	if (!json_object_get(step, "wait"))
		return 0;
	if (write(pair->control, "leave", 5) < 0 || write(pair->done[1], &byte, 1) != 1)
		return -errno;
	while (read(pair->go[0], &byte, 1) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static _Noreturn void be_second(struct pair *pair, json_t *steps,
				const struct step_context *context)
{
	json_t *step;
	size_t i;

	prctl(PR_SET_NAME, pair->name);
	directory_reset();
	json_array_foreach(steps, i, step) {
		int error = step_run(step, context, &pair->results[i]);
		if (error)
			_exit(-error);
		if (pair->results[i].error && !json_is_true(json_object_get(step, "go_on")))
			break;
	}
	_exit(0);
}

static json_t *second_steps(const struct pair *pair)
{
	json_t *wait = json_object_get(json_array_get(pair->steps, pair->step), "wait");

	return json_object_get(wait, "steps");
}

static size_t count_done(const struct pair *pair)
{
	size_t done = 0;

	while (done < json_array_size(second_steps(pair)) && pair->results[done].done)
		done++;
	return done;
}

/* The first task waits: the second begins. */
static int start_second(struct pair *pair, const struct step_result *results)
{
	struct step_context context = { .device = pair->device, .report = -1 };

	for (size_t i = 0; i < json_array_size(pair->steps) && results[i].begun; i++)
		pair->step = i;
	memset(pair->results, 0, PAIR_STEPS_MAX * sizeof(*pair->results));
	pair->pid = fork();
	if (pair->pid == 0)
		be_second(pair, second_steps(pair), &context);
	if (pair->pid < 0)
		return -errno;
	pair->still = (struct standstill){
		.pid = pair->pid,
		.patience_ms = STANDSTILL_MS,
		.any_sleep = 1,
	};
	pair->pidfd = syscall(SYS_pidfd_open, pair->pid, 0);
	return pair->pidfd < 0 ? -errno : 0;
}

/* What the second did, for the reply. */
static void note(struct pair *pair, const char *stack, int status)
{
	json_t *told = json_pack("{s:i, s:i, s:i, s:b}", "step", pair->step, "pid", pair->pid,
				 "before", (int)pair->before, "waited", pair->waited);
	json_t *steps = json_array();

	for (size_t i = 0; i < count_done(pair); i++)
		json_array_append_new(steps, step_reply(&pair->results[i]));
	json_object_set_new(told, "steps", steps);
	if (stack) {
		json_object_set_new(told, "hung", json_true());
		json_object_set_new(told, "stack", json_string_nocheck(stack));
	} else if (WIFSIGNALED(status)) {
		json_object_set_new(told, "signal", json_integer(WTERMSIG(status)));
	} else {
		json_object_set_new(told, "status", json_integer(WEXITSTATUS(status)));
	}
	json_array_append_new(pair->told, told);
}

static int release_first(struct pair *pair, int waited)
{
	if (pair->went)
		return 0;
	pair->went = 1;
	pair->waited = waited;
	pair->before = count_done(pair);
	return write(pair->control, "go", 2) < 0 ? -errno : 0;
}

static int reap_second(struct pair *pair)
{
	int status;

	if (waitpid(pair->pid, &status, 0) < 0)
		return -errno;
	close(pair->pidfd);
	pair->pidfd = -1;
	int error = release_first(pair, 0);
	note(pair, NULL, status);
	return error;
}

/* The first is over with a step and has not waited in it. */
static int read_state(struct pair *pair)
{
	ssize_t got = pread(pair->state, pair->missed, sizeof(pair->missed) - 1, 0);

	pair->missed[got > 0 ? got : 0] = '\0';
	return got < 0 ? -errno : 0;
}

/* The first is over with its step, and the second with its own: the case goes on. */
static int next_step(struct pair *pair)
{
	char byte = 0;

	pair->over = 0;
	pair->went = 0;
	pair->step = -1;
	return write(pair->go[1], &byte, 1) < 0 ? -errno : 0;
}

void pair_poll(const struct pair *pair, struct pollfd *files)
{
	/* Once the first has been seen there, its place is of no more interest. */
	files[0] = (struct pollfd){ .fd = pair->step < 0 ? pair->state : -1, .events = POLLIN };
	files[1] = (struct pollfd){ .fd = pair->done[0], .events = POLLIN };
	files[2] = (struct pollfd){ .fd = pair->pidfd, .events = POLLIN };
}

int pair_attend(struct pair *pair, const struct pollfd *files, const struct step_result *results)
{
	int error = 0;
	char byte;

	if (files[0].revents)
		error = start_second(pair, results);
	if (!error && files[2].revents)
		error = reap_second(pair);
	if (!error && pair->pidfd >= 0 && !pair->went && stands_still(&pair->still))
		error = release_first(pair, 1);
	if (!error && files[1].revents) {
		pair->over = 1;
		error = read(pair->done[0], &byte, 1) < 0 ? -errno : 0;
		if (!error && pair->step < 0)
			error = read_state(pair);
	}
	return !error && pair->over && pair->pidfd < 0 ? next_step(pair) : error;
}

int pair_every_ms(const struct pair *pair, int every)
{
	int often = STANDSTILL_MS / 5;

	return pair->pidfd >= 0 && !pair->went && every > often ? often : every;
}

pid_t pair_slow(const struct pair *pair, pid_t first)
{
	return pair->over && pair->pidfd >= 0 ? pair->pid : first;
}

/* Ends a second task that has not ended; 1 where it does not die. */
static int end_second(struct pair *pair)
{
	struct pollfd file = { .fd = pair->pidfd, .events = POLLIN };
	char path[64], stack[4096];

	if (pair->pidfd < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stack", pair->pid);
	int got = read_text(path, stack, sizeof(stack));
	if (!pair->went) {
		pair->before = count_done(pair);
		pair->waited = 0;
	}
	note(pair, got < 0 ? "" : stack, 0);
	kill(pair->pid, SIGKILL);
	int ready = poll(&file, 1, DYING_MS);
	close(pair->pidfd);
	pair->pidfd = -1;
	if (ready == 1)
		waitpid(pair->pid, NULL, 0);
	return ready != 1;
}

void pair_interrupt(struct pair *pair)
{
	if (pair->active) {
		pair->stuck = end_second(pair);
		write(pair->control, "clear", 5);
	}
}

int pair_close(struct call *call, struct pair *pair)
{
	int error = 0;

	if (!pair->active)
		return 0;
	/* A first task that the kernel killed has left the second behind. */
	int left = pair->pidfd >= 0;
	if (left)
		pair->stuck = end_second(pair);
	if (pair->missed[0])
		json_object_set_new(call->reply, "no_wait", json_string(pair->missed));
	if (pair->stuck || left)
		json_object_set_new(call->reply, "hung", json_true());
	if (write(pair->control, "clear", 5) < 0)
		error = -errno;
	json_object_set(call->reply, "second", pair->told);
	json_decref(pair->told);
	close(pair->control);
	close(pair->state);
	for (int end = 0; end < 2; end++) {
		close(pair->done[end]);
		close(pair->go[end]);
	}
	munmap(pair->results, PAIR_STEPS_MAX * sizeof(*pair->results));
	return error;
}
