/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a case's own task does: mount(2), or fsopen/fsconfig/fsmount, reconfigure, umount.
 *
 * These run in a task of their own, whose name marks every allocation of the kernel's. It shares
 * the agent's memory (case.c): no malloc, no stdio, and nothing of the channel.
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

/* glibc's sys/mount.h clashes with linux/mount.h, which alone has the new API's constants. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
	  const void *data);
int umount2(const char *target, int flags);
#define MNT_DETACH 2

static const struct {
	const char *name;
	unsigned long flag;
	unsigned int attribute;
} FLAGS[] = {
	{ "ro", MS_RDONLY, MOUNT_ATTR_RDONLY },
	{ "nosuid", MS_NOSUID, MOUNT_ATTR_NOSUID },
	{ "nodev", MS_NODEV, MOUNT_ATTR_NODEV },
	{ "noexec", MS_NOEXEC, MOUNT_ATTR_NOEXEC },
	{ "sync", MS_SYNCHRONOUS, 0 },
	{ "dirsync", MS_DIRSYNC, 0 },
	{ "silent", MS_SILENT, 0 },
};

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

	for (size_t i = 0; i < ARRAY_SIZE(FLAGS); i++)
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
		if (used > LOG_MAX - 256) {
			snprintf(result->log + used, LOG_MAX - used,
				 "errpath: the log is cut here\n");
			break;
		}
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

/* How a step's server is reached: a descriptor (-1 without one), and the option "fd". */
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

/* The data string, with the option "fd" where the mount is served: 0 or -errno. */
static int mount_data(json_t *step, const struct served *served, const char **data)
{
	/* mount(2) takes a page. */
	static char all[4096];

	*data = text(step, "data");
	if (served->device < 0)
		return 0;
	int size = snprintf(all, sizeof(all), "%s%sfd=%s", *data ? *data : "", *data ? "," : "",
			    served->fd);
	*data = all;
	return size < (int)sizeof(all) ? 0 : -E2BIG;
}

static int step_mount(json_t *step, const struct step_context *context, struct step_result *result)
{
	struct served served;
	const char *data;
	int error = open_served(step, &served);

	if (!error)
		error = mount_data(step, &served, &data);
	if (error)
		return error;
	int got = ended(result, "mount",
			mount(context->device->path, STEP_ROOT, text(step, "fstype"),
			      mount_flags(step), data));
	return start_served(&served, got >= 0);
}

static int step_remount(json_t *step, const struct step_context *context,
			struct step_result *result)
{
	ended(result, "mount",
	      mount(context->device->path, STEP_ROOT, NULL, MS_REMOUNT | mount_flags(step),
		    text(step, "data")));
	return 0;
}

static unsigned int mount_attributes(json_t *step)
{
	unsigned int attributes = 0;

	for (size_t i = 0; i < ARRAY_SIZE(FLAGS); i++)
		if (has_flag(step, FLAGS[i].name))
			attributes |= FLAGS[i].attribute;
	return attributes;
}

/* Whether there is a superblock now. */
static int create(int fs, json_t *step, const char *source, const struct served *served,
		  struct step_result *result)
{
	const char *until = text(step, "until");

	if (ended(result, "fsconfig", fsconfig(fs, FSCONFIG_SET_STRING, "source", source)) < 0)
		return 0;
	if (served->device >= 0 &&
	    ended(result, "fsconfig", fsconfig(fs, FSCONFIG_SET_STRING, "fd", served->fd)) < 0)
		return 0;
	if (configure(fs, step, result) != 0 || (until && strcmp(until, "options") == 0))
		return 0;
	return ended(result, "fsconfig_create", fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL)) >= 0;
}

static void attach(int fs, json_t *step, struct step_result *result)
{
	int mounted = ended(result, "fsmount",
			    syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, mount_attributes(step)));

	if (mounted < 0)
		return;
	ended(result, "move_mount",
	      syscall(SYS_move_mount, mounted, "", AT_FDCWD, STEP_ROOT, MOVE_MOUNT_F_EMPTY_PATH));
	close(mounted);
}

static int step_fsopen(json_t *step, const struct step_context *context, struct step_result *result)
{
	const char *until = text(step, "until");
	int stops = until && strcmp(until, "create") == 0;
	struct served served;
	int error = open_served(step, &served);

	if (error)
		return error;
	int fs = ended(result, "fsopen", syscall(SYS_fsopen, text(step, "fstype"), FSOPEN_CLOEXEC));
	int created = fs >= 0 && create(fs, step, context->device->path, &served, result);

	error = start_served(&served, created);
	if (created && !stops)
		attach(fs, step, result);
	if (fs >= 0) {
		read_log(fs, result);
		close(fs);
	}
	/* What was created and never mounted has ended with its context. */
	if (created && stops && !error)
		error = end_served();
	return error;
}

static int step_reconfigure(json_t *step, const struct step_context *context,
			    struct step_result *result)
{
	int fs = ended(result, "fspick", syscall(SYS_fspick, AT_FDCWD, STEP_ROOT, FSPICK_CLOEXEC));

	(void)context;
	if (fs < 0)
		return 0;
	if (configure(fs, step, result) == 0)
		ended(result, "fsconfig_reconfigure",
		      fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL));
	read_log(fs, result);
	close(fs);
	return 0;
}

static int step_umount(json_t *step, const struct step_context *context, struct step_result *result)
{
	/* What is lazily unmounted ends with its last user, and its server with it. */
	int lazy = has_flag(step, "lazy");

	(void)context;
	if (ended(result, "umount", umount2(STEP_ROOT, lazy ? MNT_DETACH : 0)) < 0)
		return 0;
	return lazy ? 0 : end_served();
}

static int step_readback(json_t *step, const struct step_context *context,
			 struct step_result *result)
{
	(void)step;
	failed_with(result, "readback", walk_tree(STEP_ROOT, context->report));
	return 0;
}

static int step_probe(json_t *step, const struct step_context *context, struct step_result *result)
{
	(void)step;
	(void)context;
	failed_with(result, "probe", write_probe(STEP_ROOT, result->log, sizeof(result->log)));
	return 0;
}

static int step_use(json_t *step, const struct step_context *context, struct step_result *result)
{
	(void)context;
	failed_with(result, "use", use_tree(STEP_ROOT, !has_flag(step, "ro")));
	return 0;
}

/* What a step has kept; of the case's task, which takes it along. */
static int kept = -1;

static int step_keep(json_t *step, const struct step_context *context, struct step_result *result)
{
	(void)step;
	kept = device_keep(context->device);
	failed_with(result, "keep", kept < 0 ? -kept : 0);
	return 0;
}

static int step_restore(json_t *step, const struct step_context *context,
			struct step_result *result)
{
	(void)step;
	failed_with(result, "restore", -device_restore(context->device, kept));
	return 0;
}

static const struct {
	const char *op;
	/* 0 with `result` filled, or -errno where the step could not be tried. */
	int (*run)(json_t *step, const struct step_context *context, struct step_result *result);
} STEPS[] = {
	{ "fsopen", step_fsopen },   { "keep", step_keep },
	{ "mount", step_mount },     { "reconfigure", step_reconfigure },
	{ "remount", step_remount }, { "restore", step_restore },
	{ "probe", step_probe },     { "umount", step_umount },
	{ "use", step_use },	     { "readback", step_readback },
};

static int run(json_t *step, const struct step_context *context, struct step_result *result)
{
	const char *op = text(step, "op");

	for (size_t i = 0; op && i < ARRAY_SIZE(STEPS); i++)
		if (strcmp(STEPS[i].op, op) == 0)
			return STEPS[i].run(step, context, result);
	return volume_step(step, STEP_ROOT, result);
}

int step_run(json_t *step, const struct step_context *context, struct step_result *result)
{
	int armed = json_is_true(json_object_get(step, "armed"));
	int error = context->pair ? pair_begin(context->pair, step) : 0;

	result->begun = 1;
	if (!error && armed)
		error = injector_begin();
	if (!error)
		error = points_begin(step);
	if (!error)
		error = run(step, context, result);
	if (!error)
		error = points_end(step);
	if (error)
		return error;
	result->fired = points_fired(step);
	result->done = 1;
	error = armed ? injector_end() : 0;
	return error || !context->pair ? error : pair_end(context->pair, step);
}
