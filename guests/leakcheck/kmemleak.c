/* SPDX-License-Identifier: GPL-2.0-only */
#define _GNU_SOURCE
#include "leakcheck.h"
#include "quiet.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define DEBUGFS "/sys/kernel/debug"
#define KMEMLEAK DEBUGFS "/kmemleak"
/* Processors that may do unbound work (kernel/workqueue.c). */
#define WORKERS "/sys/devices/virtual/workqueue/cpumask"
#define WORKERS_MAX 256
#define WORKERS_GO_MS 3000
#define POLL_MS 10

static int because(char *why, int error, const char *text)
{
	snprintf(why, WHY_MAX, "%s", text);
	return error;
}

int kmemleak_available(char *why)
{
	struct statfs at;

	if (geteuid() != 0)
		return because(why, -EPERM, "kmemleak: only root may read it");
	if (statfs(DEBUGFS, &at) != 0 || at.f_type != DEBUGFS_MAGIC)
		return because(why, -ENOENT,
			       "no debugfs at " DEBUGFS " (mount -t debugfs debugfs " DEBUGFS ")");
	if (access(KMEMLEAK, R_OK | W_OK) != 0)
		return because(why, -ENOENT,
			       "no " KMEMLEAK ": the kernel has no CONFIG_DEBUG_KMEMLEAK");
	return 0;
}

void wait_ms(long ms)
{
	struct timespec left = { ms / 1000, (ms % 1000) * 1000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

/* Writes the lowest processor of a mask (hexadecimal, commas between words) in the same form. */
static void lowest_processor(const char *mask, char *lowest)
{
	bool found = false;

	strcpy(lowest, mask);
	for (size_t i = strlen(mask); i-- > 0;) {
		int digit = mask[i] >= 'a' ? mask[i] - 'a' + 10 : mask[i] - '0';
		if (!isxdigit((unsigned char)mask[i]))
			continue;
		lowest[i] = '0' + (found ? 0 : digit & -digit);
		found = found || digit;
	}
}

/* The unbound workers that there are, `max` at most. */
static size_t unbound_workers(pid_t *pids, size_t max)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t count = 0;

	while (proc && count < max && (entry = readdir(proc))) {
		char path[320], name[32];
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    read_text(path, name, sizeof(name)) > 0 &&
		    strncmp(name, "kworker/u", strlen("kworker/u")) == 0)
			pids[count++] = atoi(entry->d_name);
	}
	if (proc)
		closedir(proc);
	return count;
}

/* One that has work stays until it is done. Who is no parent sees no event for a task's end. */
static void wait_for_end(const pid_t *pids, size_t count)
{
	int left = WORKERS_GO_MS;

	while (count && left > 0) {
		if (kill(pids[count - 1], 0) != 0) {
			count--;
			continue;
		}
		wait_ms(POLL_MS);
		left -= POLL_MS;
	}
}

/*
 * A worker that idles keeps for minutes what its last work left on its stack: the address of an
 * object that was freed, and may be that of one that was lost since. Workers of unbound work go
 * with their pool, and a pool with the processors that it is for. Where only one processor may do
 * such work, or none is said (no sysfs), they stay.
 */
static void renew_workers(void)
{
	char mask[WHY_MAX], lowest[WHY_MAX];
	pid_t pids[WORKERS_MAX];
	size_t count;

	/* What was asked for is put back: with isolated processors it is not what there is. */
	if (read_text(WORKERS "_requested", mask, sizeof(mask)) < 0 &&
	    read_text(WORKERS, mask, sizeof(mask)) < 0)
		return;
	mask[strcspn(mask, "\n")] = '\0';
	lowest_processor(mask, lowest);
	if (strcmp(mask, lowest) == 0)
		return;
	count = unbound_workers(pids, WORKERS_MAX);
	if (write_text(WORKERS, lowest) != 0)
		return;
	/* A pool that is still there would be taken again. */
	wait_for_end(pids, count);
	write_text(WORKERS, mask);
}

static int settle(void *argument)
{
	const char *what;

	(void)argument;
	return settle_kernel(&what);
}

static int not_at_rest(char *why, int error)
{
	snprintf(why, WHY_MAX, "the kernel cannot be brought to rest: %s", strerror(-error));
	return error;
}

int kmemleak_settle(char *why)
{
	renew_workers();
	int error = in_own_task(settle, NULL);

	return error ? not_at_rest(why, error) : 0;
}

static int scan(void *argument)
{
	(void)argument;
	return write_text(KMEMLEAK, "scan");
}

int kmemleak_scan(char *why)
{
	/*
	 * Stacks are cleared for each scan, not once: one leaves pointers to what it looked at on
	 * its own, which the processor that it ended on keeps.
	 */
	int error = clear_dead_stacks();

	if (error)
		return not_at_rest(why, error);
	canary_clear_stacks();
	error = in_own_task(scan, NULL);
	/* Which of them depends on what disabled it. It cannot be turned on again. */
	if (error == -EPERM || error == -EBUSY)
		return because(
			why, error,
			"kmemleak is off: by kmemleak=off, by its file, or it ran out of memory");
	if (error)
		snprintf(why, WHY_MAX, "kmemleak: scan: %s", strerror(-error));
	return error;
}

int kmemleak_scan_stacks(bool scanned, char *why)
{
	int error = write_text(KMEMLEAK, scanned ? "stack=on" : "stack=off");

	if (error && why)
		snprintf(why, WHY_MAX, "kmemleak: stack=%s: %s", scanned ? "on" : "off",
			 strerror(-error));
	return error;
}

static int copy_out(void *argument)
{
	int out = *(int *)argument, file = open(KMEMLEAK, O_RDONLY | O_CLOEXEC);
	char buffer[16384];
	ssize_t got;

	if (file < 0)
		return -errno;
	while ((got = read(file, buffer, sizeof(buffer))) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		for (ssize_t at = 0, put; at < got; at += put) {
			put = write(out, buffer + at, got - at);
			if (put < 0)
				return -errno;
		}
	}
	close(file);
	return 0;
}

int kmemleak_read(struct records *records, char *why)
{
	int out = memfd_create("kmemleak", MFD_CLOEXEC);
	int error = out < 0 ? -errno : in_own_task(copy_out, &out);

	records_free(records);
	if (!error && lseek(out, 0, SEEK_SET) < 0)
		error = -errno;
	if (!error)
		error = read_to_end(out, &records->text);
	if (out >= 0)
		close(out);
	if (error) {
		snprintf(why, WHY_MAX, "%s: %s", KMEMLEAK, strerror(-error));
		return error;
	}
	error = records_parse(records);
	if (error)
		snprintf(why, WHY_MAX, "%s: its text is of no known form", KMEMLEAK);
	return error;
}

/* /proc/timer_list: "jiffies: 4294892296", the same count as in kmemleak's records. */
uint64_t kernel_jiffies(void)
{
	FILE *file = fopen("/proc/timer_list", "re");
	char line[256];
	uint64_t found = 0;

	if (!file)
		return 0;
	while (!found && fgets(line, sizeof(line), file))
		if (sscanf(line, "jiffies: %lu", &found) != 1)
			found = 0;
	fclose(file);
	return found;
}
