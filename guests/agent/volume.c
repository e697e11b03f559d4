/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Steps in what a case has mounted. They run in the case's own task, which shares the agent's
 * memory: no allocation, no stdio.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

struct arguments {
	const char *root;
	/* Where the step works, and where a rename moves it to. */
	char path[PATH_MAX], to[PATH_MAX];
	json_t *step;
};

static const char *text(const struct arguments *arguments, const char *key)
{
	const char *found = json_string_value(json_object_get(arguments->step, key));

	return found ? found : "";
}

static json_int_t number(const struct arguments *arguments, const char *key)
{
	return json_integer_value(json_object_get(arguments->step, key));
}

/* A path of the volume; an absolute one is the guest's own. */
static int resolve(const struct arguments *arguments, const char *key, char *out)
{
	const char *path = json_string_value(json_object_get(arguments->step, key));
	int length;

	if (!path)
		path = ".";
	if (path[0] == '/')
		length = snprintf(out, PATH_MAX, "%s", path);
	else
		length = snprintf(out, PATH_MAX, "%s/%s", arguments->root, path);
	return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* What a system call gave, as 0 or -errno. */
static int result_of(long value)
{
	return value < 0 ? -errno : 0;
}

static int close_after(int file, int error)
{
	if (close(file) != 0 && !error)
		error = -errno;
	return error;
}

/* What direct I/O wants of an address in memory. */
#define ALIGNMENT 4096

/* Writes all of the step's data to a file that is opened with `flags`. */
static int put(const struct arguments *arguments, int flags)
{
	const char *text = json_string_value(json_object_get(arguments->step, "data"));
	size_t size = text ? strlen(text) : 0, used = 0;
	char *data = aligned_alloc(ALIGNMENT, (size / ALIGNMENT + 1) * ALIGNMENT);
	int error = 0, file;

	if (!data)
		return -ENOMEM;
	memcpy(data, text ? text : "", size);
	if (json_is_true(json_object_get(arguments->step, "direct")))
		flags |= O_DIRECT;
	file = open(arguments->path, O_WRONLY | O_CLOEXEC | flags, 0644);
	if (file < 0) {
		error = -errno;
		free(data);
		return error;
	}
	while (!error && used < size) {
		ssize_t done = write(file, data + used, size - used);

		if (done <= 0)
			error = done < 0 ? -errno : -EIO;
		else
			used += done;
	}
	free(data);
	return close_after(file, error);
}

static int do_write(const struct arguments *arguments)
{
	const char *path = json_string_value(json_object_get(arguments->step, "path"));

	/* A control file exists, and takes its whole command in one write. */
	return put(arguments, path && path[0] == '/' ? 0 : O_CREAT | O_TRUNC);
}

static int do_append(const struct arguments *arguments)
{
	return put(arguments, O_APPEND);
}

/* Whether a file holds what it should: EBADMSG where it does not. */
static int do_read(const struct arguments *arguments)
{
	const char *data = json_string_value(json_object_get(arguments->step, "data"));
	int file = open(arguments->path, O_RDONLY | O_CLOEXEC), error = 0;
	size_t size = data ? strlen(data) : 0, used = 0;
	char chunk[512];
	ssize_t got = 1;

	if (file < 0)
		return -errno;
	while (!error && (got = read(file, chunk, sizeof(chunk))) > 0) {
		if ((size_t)got > size - used || memcmp(chunk, data + used, got) != 0)
			error = -EBADMSG;
		used += got;
	}
	if (got < 0)
		error = -errno;
	else if (!error && used != size)
		error = -EBADMSG;
	return close_after(file, error);
}

static int do_truncate(const struct arguments *arguments)
{
	return result_of(truncate(arguments->path, number(arguments, "length")));
}

static int do_mkdir(const struct arguments *arguments)
{
	return result_of(mkdir(arguments->path, 0755));
}

static int do_unlink(const struct arguments *arguments)
{
	struct stat stat;

	if (lstat(arguments->path, &stat) != 0)
		return -errno;
	return result_of(S_ISDIR(stat.st_mode) ? rmdir(arguments->path) : unlink(arguments->path));
}

static int do_rename(const struct arguments *arguments)
{
	return result_of(rename(arguments->path, arguments->to));
}

static int do_readdir(const struct arguments *arguments)
{
	static char entries[32768];
	int file = open(arguments->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long got;

	if (file < 0)
		return -errno;
	do {
		got = syscall(SYS_getdents64, file, entries, sizeof(entries));
	} while (got > 0);
	return close_after(file, result_of(got));
}

static int do_setxattr(const struct arguments *arguments)
{
	const char *value = text(arguments, "value");

	return result_of(lsetxattr(arguments->path, text(arguments, "attribute"), value,
				   strlen(value), number(arguments, "flags")));
}

/* Whether an attribute is what it should be, the size that is told for it too: EBADMSG if not. */
static int do_getxattr(const struct arguments *arguments)
{
	const char *name = text(arguments, "attribute"), *value = text(arguments, "value");
	static char found[XATTR_SIZE_MAX];
	ssize_t size = lgetxattr(arguments->path, name, NULL, 0);
	ssize_t got = size < 0 ? size : lgetxattr(arguments->path, name, found, sizeof(found));

	if (got < 0)
		return -errno;
	if (got != size || (size_t)got != strlen(value) || memcmp(found, value, got) != 0)
		return -EBADMSG;
	return 0;
}

static int is_wanted(const struct arguments *arguments, const char *name)
{
	json_t *names = json_object_get(arguments->step, "attributes");

	for (size_t i = 0; i < json_array_size(names); i++)
		if (strcmp(json_string_value(json_array_get(names, i)), name) == 0)
			return 1;
	return 0;
}

/* Whether a file has the attributes that it should have and no others: EBADMSG if not. */
static int do_listxattr(const struct arguments *arguments)
{
	static char names[XATTR_LIST_MAX + 1];
	ssize_t size = llistxattr(arguments->path, NULL, 0);
	ssize_t got = size < 0 ? size : llistxattr(arguments->path, names, XATTR_LIST_MAX);
	size_t left = json_array_size(json_object_get(arguments->step, "attributes"));

	if (got < 0)
		return -errno;
	/* They end in a NUL each, and so does what a filesystem cut short. */
	names[got] = 0;
	for (const char *name = names; name < names + got; name += strlen(name) + 1)
		if (!is_wanted(arguments, name) || left-- == 0)
			return -EBADMSG;
	return left || got != size ? -EBADMSG : 0;
}

static int do_removexattr(const struct arguments *arguments)
{
	return result_of(lremovexattr(arguments->path, text(arguments, "attribute")));
}

static int do_fallocate(const struct arguments *arguments)
{
	int file = open(arguments->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (file < 0)
		return -errno;
	return close_after(file, result_of(fallocate(file, number(arguments, "mode"),
						     number(arguments, "offset"),
						     number(arguments, "length"))));
}

static int do_statfs(const struct arguments *arguments)
{
	struct statfs found;

	return result_of(statfs(arguments->root, &found));
}

/* Runs `operation` on the root of what is mounted. */
static int on_root(const struct arguments *arguments, int (*operation)(int file))
{
	int file = open(arguments->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (file < 0)
		return -errno;
	return close_after(file, result_of(operation(file)));
}

static int do_syncfs(const struct arguments *arguments)
{
	return on_root(arguments, syncfs);
}

/* Of what is there. It is not opened for writing: a remount read-only goes by. */
static int do_fsync(const struct arguments *arguments)
{
	int file = open(arguments->path, O_RDONLY | O_CLOEXEC);

	return file < 0 ? -errno : close_after(file, result_of(fsync(file)));
}

/* Of everything that is mounted; it cannot fail. */
static int do_sync(const struct arguments *arguments)
{
	(void)arguments;
	sync();
	return 0;
}

static int do_stat(const struct arguments *arguments)
{
	struct stat found;

	return result_of(lstat(arguments->path, &found));
}

static int freeze(int file)
{
	return ioctl(file, FIFREEZE, 0);
}

static int thaw(int file)
{
	return ioctl(file, FITHAW, 0);
}

/* What is frozen cannot be taken down. The case's task shares this memory with the agent. */
static int frozen;

static int do_freeze(const struct arguments *arguments)
{
	int error = on_root(arguments, freeze);

	frozen += !error;
	return error;
}

static int do_thaw(const struct arguments *arguments)
{
	int error = on_root(arguments, thaw);

	frozen -= !error;
	return error;
}

void volume_thaw(const char *root)
{
	const struct arguments arguments = { .root = root };

	while (frozen > 0 && do_thaw(&arguments) == 0)
		;
	frozen = 0;
}

static const struct {
	const char *op;
	int (*run)(const struct arguments *arguments);
} OPERATIONS[] = {
	{ "append", do_append },     { "fallocate", do_fallocate },
	{ "freeze", do_freeze },     { "fsync", do_fsync },
	{ "getxattr", do_getxattr }, { "listxattr", do_listxattr },
	{ "mkdir", do_mkdir },	     { "read", do_read },
	{ "readdir", do_readdir },   { "rename", do_rename },
	{ "stat", do_stat },	     { "statfs", do_statfs },
	{ "sync", do_sync },	     { "syncfs", do_syncfs },
	{ "thaw", do_thaw },	     { "truncate", do_truncate },
	{ "unlink", do_unlink },     { "write", do_write },
	{ "setxattr", do_setxattr }, { "removexattr", do_removexattr },
};

int volume_step(json_t *step, const char *root, struct step_result *result)
{
	const char *op = json_string_value(json_object_get(step, "op"));
	static struct arguments arguments;
	int error;

	arguments.root = root;
	arguments.step = step;
	for (size_t i = 0; op && i < ARRAY_SIZE(OPERATIONS); i++) {
		if (strcmp(OPERATIONS[i].op, op) != 0)
			continue;
		error = resolve(&arguments, "path", arguments.path);
		if (!error)
			error = resolve(&arguments, "to", arguments.to);
		result->error = error ? -error : -OPERATIONS[i].run(&arguments);
		snprintf(result->syscall, sizeof(result->syscall), "%s", op);
		return 0;
	}
	return -EOPNOTSUPP;
}
