/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a case's own task does: mount(2), or fsopen/fsconfig/fsmount, reconfigure, umount.
 *
 * These run in a forked child whose name marks every allocation, so nothing here touches the
 * channel or allocates more than it must.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TARGET "/mnt"
/* Bytes of a file that a walk tells. */
#define WALK_FILE_MAX (512u << 10)

/* glibc's sys/mount.h clashes with linux/mount.h, which alone has the new API's constants. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
	  const void *data);
int umount2(const char *target, int flags);

static const struct {
	const char *name;
	unsigned long flag;
	unsigned int attribute;
} FLAGS[] = {
	{ "ro", 1 /* MS_RDONLY */, MOUNT_ATTR_RDONLY },
	{ "nosuid", 2, MOUNT_ATTR_NOSUID },
	{ "nodev", 4, MOUNT_ATTR_NODEV },
	{ "noexec", 8, MOUNT_ATTR_NOEXEC },
	{ "sync", 16, 0 },
	{ "dirsync", 128, 0 },
	{ "silent", 32768, 0 },
};

#define MS_REMOUNT_FLAG 32ul

static const char *text(json_t *step, const char *key)
{
	return json_string_value(json_object_get(step, key));
}

static int has_flag(json_t *step, const char *name)
{
	json_t *flag;
	size_t i;

	json_array_foreach(json_object_get(step, "flags"), i, flag)
		if (strcmp(json_string_value(flag), name) == 0)
			return 1;
	return 0;
}

static unsigned long mount_flags(json_t *step)
{
	unsigned long flags = 0;

	for (size_t i = 0; i < sizeof(FLAGS) / sizeof(FLAGS[0]); i++)
		if (has_flag(step, FLAGS[i].name))
			flags |= FLAGS[i].flag;
	return flags;
}

static int ended(struct step_result *result, const char *syscall_name, long value)
{
	result->error = value < 0 ? errno : 0;
	snprintf(result->syscall, sizeof(result->syscall), "%s", syscall_name);
	return value < 0 ? -1 : (int)value;
}

static void failed_with(struct step_result *result, const char *what, int error)
{
	result->error = error;
	snprintf(result->syscall, sizeof(result->syscall), "%s", what);
}

/* The context's own log: each read() gives one message, ENODATA when there is no more. */
static void read_log(int context, struct step_result *result)
{
	size_t used = strlen(result->log);

	for (;;) {
		ssize_t got = read(context, result->log + used, LOG_MAX - used - 2);
		if (got <= 0)
			break;
		used += got;
		if (result->log[used - 1] != '\n')
			result->log[used++] = '\n';
		result->log[used] = '\0';
		if (used > LOG_MAX - 256)
			break;
	}
}

static long fsconfig(int context, unsigned int command, const char *key, const char *value)
{
	return syscall(SYS_fsconfig, context, command, key, value, 0);
}

/* Sets "ro" and the options; 0 or -1 with the result filled. */
static int configure(int context, json_t *step, struct step_result *result)
{
	json_t *option;
	size_t i;

	if (has_flag(step, "ro") &&
	    ended(result, "fsconfig", fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL)) < 0)
		return -1;
	json_array_foreach(json_object_get(step, "options"), i, option) {
		const char *key = json_string_value(json_array_get(option, 0));
		const char *value = json_string_value(json_array_get(option, 1));
		long got = value ? fsconfig(context, FSCONFIG_SET_STRING, key, value)
				 : fsconfig(context, FSCONFIG_SET_FLAG, key, NULL);
		if (ended(result, "fsconfig", got) < 0)
			return -1;
	}
	return 0;
}

/* The process behind what is mounted, 0 without one. */
static pid_t server;

/* By what a step's server is reached, as descriptor and as the option "fd"; -1 where it wants none. */
struct served {
	int device;
	char fd[16];
};

static int open_served(json_t *step, struct served *served)
{
	served->device = -1;
	if (!json_is_true(json_object_get(step, "served")))
		return 0;
	served->device = fuse_open();
	snprintf(served->fd, sizeof(served->fd), "%d", served->device);
	return served->device < 0 ? served->device : 0;
}

/* The server takes over, if there is a superblock to serve. */
static int start_served(const struct served *served, int created)
{
	pid_t pid = created && served->device >= 0 ? fuse_serve(served->device) : 0;

	if (served->device >= 0)
		close(served->device);
	if (pid > 0)
		server = pid;
	return pid < 0 ? pid : 0;
}

/* After an umount. */
static int end_served(void)
{
	pid_t pid = server;

	server = 0;
	return pid ? fuse_ended(pid) : 0;
}

static int step_mount(json_t *step, const char *source, struct step_result *result)
{
	const char *data = text(step, "data");
	struct served served;
	char all[512];
	int error = open_served(step, &served);

	if (error)
		return error;
	if (served.device >= 0) {
		snprintf(all, sizeof(all), "%s%sfd=%s", data ? data : "", data ? "," : "", served.fd);
		data = all;
	}
	int got = ended(result, "mount",
			mount(source, TARGET, text(step, "fstype"), mount_flags(step), data));
	return start_served(&served, got >= 0);
}

static int step_fsopen(json_t *step, const char *source, struct step_result *result)
{
	const char *until = text(step, "until");
	unsigned int attributes = 0;
	struct served served;
	int created = 0, error = open_served(step, &served);

	if (error)
		return error;
	int context = ended(result, "fsopen", syscall(SYS_fsopen, text(step, "fstype"), FSOPEN_CLOEXEC));

	if (context >= 0 &&
	    ended(result, "fsconfig", fsconfig(context, FSCONFIG_SET_STRING, "source", source)) >= 0 &&
	    (served.device < 0 ||
	     ended(result, "fsconfig", fsconfig(context, FSCONFIG_SET_STRING, "fd", served.fd)) >= 0) &&
	    configure(context, step, result) == 0 && !(until && strcmp(until, "options") == 0))
		created = ended(result, "fsconfig_create",
				fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL)) >= 0;
	error = start_served(&served, created);
	if (created && !(until && strcmp(until, "create") == 0)) {
		for (size_t i = 0; i < sizeof(FLAGS) / sizeof(FLAGS[0]); i++)
			if (has_flag(step, FLAGS[i].name))
				attributes |= FLAGS[i].attribute;
		int mounted = ended(result, "fsmount",
				    syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes));
		if (mounted >= 0) {
			ended(result, "move_mount", syscall(SYS_move_mount, mounted, "", AT_FDCWD, TARGET,
							    MOVE_MOUNT_F_EMPTY_PATH));
			close(mounted);
		}
	}
	if (context >= 0) {
		read_log(context, result);
		close(context);
	}
	/* What was created and never mounted has ended with its context. */
	if (created && until && strcmp(until, "create") == 0)
		error = error ?: end_served();
	return error;
}

static void step_reconfigure(json_t *step, struct step_result *result)
{
	int context = ended(result, "fspick", syscall(SYS_fspick, AT_FDCWD, TARGET, FSPICK_CLOEXEC));

	if (context < 0)
		return;
	if (configure(context, step, result) == 0)
		ended(result, "fsconfig_reconfigure",
		      fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL));
	read_log(context, result);
	close(context);
}

/* What a walk finds goes to `report`. */
int step_run(json_t *step, const char *source, int report, struct step_result *result)
{
	const char *op = text(step, "op");
	const char *data = text(step, "data");
	int error = 0;
	int armed = json_is_true(json_object_get(step, "armed"));

	/* task-filter: only a task that says so of itself is ever failed. */
	if (armed && write_text("/proc/self/make-it-fail", "1") != 0)
		return -ENOTSUP;
	if (strcmp(op, "mount") == 0)
		error = step_mount(step, source, result);
	else if (strcmp(op, "remount") == 0)
		ended(result, "mount", mount(source, TARGET, NULL, MS_REMOUNT_FLAG | mount_flags(step), data));
	else if (strcmp(op, "fsopen") == 0)
		error = step_fsopen(step, source, result);
	else if (strcmp(op, "reconfigure") == 0)
		step_reconfigure(step, result);
	else if (strcmp(op, "umount") == 0)
		error = ended(result, "umount", umount2(TARGET, 0)) < 0 ? 0 : end_served();
	else if (strcmp(op, "walk") == 0)
		failed_with(result, "walk", walk_tree(TARGET, report, WALK_FILE_MAX));
	else if (strcmp(op, "scribble") == 0)
		failed_with(result, "scribble", scribble(TARGET, result->log, sizeof(result->log)));
	else if (strcmp(op, "write") == 0)
		failed_with(result, "write", -write_text(text(step, "path"), data));
	else
		return -EOPNOTSUPP;
	if (error)
		return error;
	result->done = 1;
	return armed ? write_text("/proc/self/make-it-fail", "0") : 0;
}
