/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a case's task does in what it mounted: tell everything that is there, and change some of it.
 *
 * The volume may be crafted: a directory may hold itself, a size may be a lie. So everything is
 * bounded, and an error is a part of the answer.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ENTRIES_MAX 4096
#define DEPTH_MAX 16

struct walk {
	FILE *out;
	size_t entries;
	/* Bytes that are read of one file, and of all of them. */
	size_t file_max, left;
	char path[PATH_MAX];
};

static void put32(struct walk *walk, uint32_t value)
{
	value = htonl(value);
	fwrite(&value, sizeof(value), 1, walk->out);
}

static void put64(struct walk *walk, uint64_t value)
{
	value = htobe64(value);
	fwrite(&value, sizeof(value), 1, walk->out);
}

static void put_bytes(struct walk *walk, const void *data, size_t size)
{
	put32(walk, size);
	fwrite(data, 1, size, walk->out);
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
	size_t room = walk->file_max < walk->left ? walk->file_max : walk->left, used = 0;
	char *data = malloc(room + 1);
	int file = open(walk->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	int error = !data ? ENOMEM : file < 0 ? errno : 0;

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
	put_bytes(walk, data ? data : "", used);
	free(data);
	return error;
}

/* One entry: path, mode, links, mtime, size, target, attributes, data, the first errno, and
 * that of an attribute. */
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
	size_t end = strlen(walk->path);
	DIR *directory = opendir(walk->path);
	struct dirent *entry;
	int error = directory ? 0 : errno;

	while (directory && walk->entries < ENTRIES_MAX) {
		errno = 0;
		if (!(entry = readdir(directory))) {
			error = error ? error : errno;
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if ((size_t)snprintf(walk->path + end, sizeof(walk->path) - end, "/%s", entry->d_name) >=
		    sizeof(walk->path) - end) {
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
	if (directory)
		closedir(directory);
	return error;
}

int walk_tree(const char *root, int out, size_t file_max)
{
	static struct walk walk;

	walk = (struct walk){ .file_max = file_max, .left = 16 * file_max };
	walk.out = fdopen(dup(out), "we");
	if (!walk.out)
		return errno;
	snprintf(walk.path, sizeof(walk.path), "%s", root);
	int error = walk_directory(&walk, strlen(root) + 1, 0);
	return fclose(walk.out) != 0 && !error ? errno : error;
}

static char *note(char *at, char *end, const char *what, int failed)
{
	if (failed && at < end - 64)
		at += snprintf(at, end - at, "%s: errno %d\n", what, errno);
	return at;
}

/* Appends to the first plain file, and removes the second. */
static char *change_what_is_there(const char *root, char *at, char *end)
{
	DIR *directory = opendir(root);
	struct dirent *entry;
	char path[PATH_MAX];
	struct stat stat;
	int seen = 0;

	at = note(at, end, "opendir", !directory);
	while (directory && seen < 2 && (entry = readdir(directory))) {
		snprintf(path, sizeof(path), "%s/%s", root, entry->d_name);
		if (strncmp(entry->d_name, "errpath", 7) == 0 || lstat(path, &stat) != 0 ||
		    !S_ISREG(stat.st_mode))
			continue;
		if (seen++ == 0) {
			int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
			at = note(at, end, "append", file < 0 || write(file, "errpath\n", 8) != 8);
			if (file >= 0)
				close(file);
		} else {
			at = note(at, end, "unlink", unlink(path) != 0);
		}
	}
	if (directory)
		closedir(directory);
	return at;
}

int scribble(const char *root, char *log, size_t size)
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
	at = note(at, end, "create", file < 0);
	at = note(at, end, "write", file >= 0 && write(file, data, sizeof(data)) != sizeof(data));
	at = note(at, end, "fsync", file >= 0 && fsync(file) != 0);
	at = note(at, end, "setxattr", setxattr(one, "user.errpath", "x", 1, 0) != 0);
	at = note(at, end, "truncate", file >= 0 && ftruncate(file, 100) != 0);
	if (file >= 0)
		close(file);
	at = note(at, end, "rename", rename(one, other) != 0);
	at = note(at, end, "link", link(other, one) != 0);
	at = note(at, end, "symlink", symlink(other, link_path) != 0);
	at = change_what_is_there(root, at, end);
	sync();
	return 0;
}
