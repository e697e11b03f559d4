/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a case's task does in what it mounted: report everything that is there, and change some of
 * it.
 *
 * The volume may be crafted: a directory may hold itself, a size may be a lie. So everything is
 * bounded, and an error is a part of the answer. The task shares the agent's memory (case.c): its
 * buffers are static.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Bytes that are read of one file, and of all of them. */
#define WALK_FILE_MAX (512u << 10)
#define WALK_ALL_MAX (16 * WALK_FILE_MAX)
#define ENTRIES_MAX 4096
#define DEPTH_MAX 16

_Static_assert(DEPTH_MAX < DIRECTORIES_MAX, "every level of a walk has a directory open");

struct walk {
	int out;
	int error; /* the first errno of writing to it */
	size_t entries;
	/* Bytes that may still be read of all files together. */
	size_t left;
	char path[PATH_MAX];
	/* What is not written yet. */
	size_t pending;
	char buffer[65536];
};

static void write_out(struct walk *walk, const char *data, size_t size)
{
	while (size && !walk->error) {
		ssize_t put = write(walk->out, data, size);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0) {
			walk->error = put < 0 ? errno : ENOSPC;
			return;
		}
		data += put;
		size -= put;
	}
}

static void flush(struct walk *walk)
{
	write_out(walk, walk->buffer, walk->pending);
	walk->pending = 0;
}

static void put(struct walk *walk, const void *data, size_t size)
{
	if (size > sizeof(walk->buffer) - walk->pending)
		flush(walk);
	if (size > sizeof(walk->buffer)) {
		write_out(walk, data, size);
		return;
	}
	memcpy(walk->buffer + walk->pending, data, size);
	walk->pending += size;
}

static void put32(struct walk *walk, uint32_t value)
{
	value = htonl(value);
	put(walk, &value, sizeof(value));
}

static void put64(struct walk *walk, uint64_t value)
{
	value = htobe64(value);
	put(walk, &value, sizeof(value));
}

static void put_bytes(struct walk *walk, const void *data, size_t size)
{
	put32(walk, size);
	put(walk, data, size);
}

/* Names and values of the extended attributes; a count first. */
static int put_xattrs(struct walk *walk)
{
	static char names[65536], value[65536];
	ssize_t size = llistxattr(walk->path, names, sizeof(names));
	uint32_t count = 0;
	int error = size < 0 && errno != EOPNOTSUPP ? errno : 0;

	for (char *name = names; name < names + size; name += strlen(name) + 1)
		count++;
	put32(walk, count);
	for (char *name = names; name < names + size; name += strlen(name) + 1) {
		ssize_t got = lgetxattr(walk->path, name, value, sizeof(value));
		if (got < 0 && !error)
			error = errno;
		put_bytes(walk, name, strlen(name));
		put_bytes(walk, value, got < 0 ? 0 : got);
	}
	return error;
}

static int put_data(struct walk *walk)
{
	static char data[WALK_FILE_MAX];
	size_t room = walk->left < sizeof(data) ? walk->left : sizeof(data), used = 0;
	int file = open(walk->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	int error = file < 0 ? errno : 0;

	while (!error && used < room) {
		ssize_t got = read(file, data + used, room - used);
		if (got < 0)
			error = errno;
		if (got <= 0)
			break;
		used += got;
	}
	if (file >= 0)
		close(file);
	walk->left -= used;
	put_bytes(walk, data, used);
	return error;
}

/*
 * One entry: path, mode, links, mtime, size, target, attributes, data, the first errno, and that of
 * an attribute.
 */
static mode_t put_entry(struct walk *walk, size_t skip)
{
	char target[PATH_MAX];
	struct stat stat = { 0 };
	int error = lstat(walk->path, &stat) != 0 ? errno : 0;
	ssize_t length = 0;

	put_bytes(walk, walk->path + skip, strlen(walk->path + skip));
	put32(walk, stat.st_mode);
	put32(walk, stat.st_nlink);
	put64(walk, stat.st_mtime);
	put64(walk, stat.st_size);
	if (!error && S_ISLNK(stat.st_mode)) {
		length = readlink(walk->path, target, sizeof(target));
		error = length < 0 ? errno : 0;
	}
	put_bytes(walk, target, length < 0 ? 0 : length);
	int xattr_error = put_xattrs(walk);
	int data_error = 0;
	if (!error && S_ISREG(stat.st_mode))
		data_error = put_data(walk);
	else
		put32(walk, 0);
	put32(walk, error ? error : data_error);
	put32(walk, xattr_error);
	walk->entries++;
	return stat.st_mode;
}

static int walk_directory(struct walk *walk, size_t skip, int depth)
{
	size_t end = strlen(walk->path), room = sizeof(walk->path) - end;
	struct directory *directory = directory_open(walk->path);
	int error = 0;

	if (!directory)
		return errno;
	while (walk->entries < ENTRIES_MAX) {
		const char *name = directory_next(directory);
		if (!name) {
			error = error ? error : errno;
			break;
		}
		if ((size_t)snprintf(walk->path + end, room, "/%s", name) >= room) {
			error = ENAMETOOLONG;
			break;
		}
		mode_t mode = put_entry(walk, skip);
		if (S_ISDIR(mode) && depth < DEPTH_MAX) {
			int below = walk_directory(walk, skip, depth + 1);
			error = error ? error : below;
		}
		walk->path[end] = '\0';
	}
	walk->path[end] = '\0';
	directory_close(directory);
	return error;
}

int walk_tree(const char *root, int out)
{
	static struct walk walk;

	walk.out = out;
	walk.error = 0;
	walk.entries = 0;
	walk.left = WALK_ALL_MAX;
	walk.pending = 0;
	snprintf(walk.path, sizeof(walk.path), "%s", root);
	int error = walk_directory(&walk, strlen(root) + 1, 0);
	flush(&walk);
	return error ? error : walk.error;
}

/* What failed, by its errno; 0 for success. */
static char *note(char *at, char *end, const char *what, int error)
{
	if (error && at < end - 64)
		at += snprintf(at, end - at, "%s: errno %d\n", what, error);
	return at;
}

static int error_of(long value)
{
	return value < 0 ? errno : 0;
}

/* A short write sets no errno. */
static int write_error(int file, const void *data, size_t size)
{
	ssize_t put = write(file, data, size);

	return put == (ssize_t)size ? 0 : put < 0 ? errno : ENOSPC;
}

static int append(const char *path)
{
	int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);

	if (file < 0)
		return errno;
	int error = write_error(file, "errpath\n", 8);
	close(file);
	return error;
}

/* Appends to the first plain file, and removes the second. */
static char *change_what_is_there(const char *root, char *at, char *end)
{
	struct directory *directory = directory_open(root);
	char path[PATH_MAX];
	struct stat stat;
	const char *name;
	int seen = 0;

	if (!directory)
		return note(at, end, "opendir", errno);
	while (seen < 2 && (name = directory_next(directory))) {
		int size = snprintf(path, sizeof(path), "%s/%s", root, name);
		if (size >= (int)sizeof(path) || strncmp(name, "errpath", 7) == 0 ||
		    lstat(path, &stat) != 0 || !S_ISREG(stat.st_mode))
			continue;
		if (seen++ == 0)
			at = note(at, end, "append", append(path));
		else
			at = note(at, end, "unlink", error_of(unlink(path)));
	}
	directory_close(directory);
	return at;
}

int write_probe(const char *root, char *log, size_t size)
{
	static char data[40960];
	char directory[256], one[300], other[300], link_path[300], *at = log, *end = log + size;

	log[0] = '\0';
	snprintf(directory, sizeof(directory), "%s/errpath.d", root);
	snprintf(one, sizeof(one), "%s/one", directory);
	snprintf(other, sizeof(other), "%s/errpath.other", root);
	snprintf(link_path, sizeof(link_path), "%s/errpath.link", root);
	memset(data, 0x5a, sizeof(data));
	if (mkdir(directory, 0755) != 0)
		return errno;
	int file = open(one, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	at = note(at, end, "create", error_of(file));
	if (file >= 0) {
		at = note(at, end, "write", write_error(file, data, sizeof(data)));
		at = note(at, end, "fsync", error_of(fsync(file)));
	}
	at = note(at, end, "setxattr", error_of(setxattr(one, "user.errpath", "x", 1, 0)));
	if (file >= 0) {
		at = note(at, end, "truncate", error_of(ftruncate(file, 100)));
		close(file);
	}
	at = note(at, end, "rename", error_of(rename(one, other)));
	at = note(at, end, "link", error_of(link(other, one)));
	at = note(at, end, "symlink", error_of(symlink(other, link_path)));
	at = change_what_is_there(root, at, end);
	sync();
	return 0;
}
