/* SPDX-License-Identifier: GPL-2.0-only */
#define _GNU_SOURCE
#include "leakcheck.h"
#include "quiet.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEBUGFS "/sys/kernel/debug"
#define KMEMLEAK DEBUGFS "/kmemleak"

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

/*
 * In a task of its own with a cleared stack: what a call leaves on ours would be scanned, and a
 * pointer to a lost object there would hide it.
 */
static int in_own_task(int (*work)(void *), void *argument)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return -errno;
	if (child == 0)
		_exit(-work(argument));
	if (waitpid(child, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

static int settle(void *argument)
{
	const char *what;

	(void)argument;
	return settle_kernel(&what);
}

int kmemleak_settle(char *why)
{
	int error = in_own_task(settle, NULL);

	if (!error)
		error = clear_dead_stacks();
	if (error)
		snprintf(why, WHY_MAX, "the kernel cannot be brought to rest: %s",
			 strerror(-error));
	return error;
}

static int scan(void *argument)
{
	(void)argument;
	return write_text(KMEMLEAK, "scan");
}

int kmemleak_scan(char *why)
{
	int error = in_own_task(scan, NULL);

	/* Which of them depends on what disabled it. It cannot be turned on again. */
	if (error == -EPERM || error == -EBUSY)
		return because(
			why, error,
			"kmemleak is off: by kmemleak=off, by its file, or it ran out of memory");
	if (error)
		snprintf(why, WHY_MAX, "kmemleak: scan: %s", strerror(-error));
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
