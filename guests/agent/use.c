/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ordinary use of what is mounted, of which nothing is reported but the first errno: what a failure
 * has left behind shows when somebody goes on. Everything is bounded, and nothing allocates.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DEPTH 2
#define ENTRIES 32
#define BYTES (64 << 10)

struct entry {
	uint64_t inode;
	int64_t offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

struct use {
	int first; /* errno of the first thing that failed */
	int left;  /* entries that may still be looked at */
};

static int tried(struct use *use, long got)
{
	if (got < 0 && !use->first)
		use->first = errno;
	return got;
}

static void use_file(struct use *use, const char *path)
{
	static char data[BYTES];
	int file = tried(use, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));

	if (file < 0)
		return;
	tried(use, read(file, data, sizeof(data)));
	close(file);
}

static void use_directory(struct use *use, const char *path, int depth)
{
	static char lists[DEPTH + 1][4096], paths[DEPTH + 1][1024], names[4096], target[1024];
	int directory = tried(use, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct stat status;
	long got;

	if (directory < 0)
		return;
	while (use->left > 0 && (got = tried(use, syscall(SYS_getdents64, directory, lists[depth],
							  sizeof(lists[0])))) > 0) {
		for (long at = 0; at < got && use->left > 0; use->left--) {
			const struct entry *entry = (const void *)(lists[depth] + at);
			at += entry->length;
			if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
				continue;
			if ((size_t)snprintf(paths[depth], sizeof(paths[0]), "%s/%s", path,
					     entry->name) >= sizeof(paths[0]) ||
			    tried(use, lstat(paths[depth], &status)) < 0)
				continue;
			llistxattr(paths[depth], names, sizeof(names));
			if (S_ISREG(status.st_mode))
				use_file(use, paths[depth]);
			else if (S_ISLNK(status.st_mode))
				tried(use, readlink(paths[depth], target, sizeof(target)));
			else if (S_ISDIR(status.st_mode) && depth < DEPTH)
				use_directory(use, paths[depth], depth + 1);
		}
	}
	close(directory);
}

static void write_some(struct use *use, const char *root)
{
	char path[64], other[64], data[3000];

	snprintf(path, sizeof(path), "%s/used-1", root);
	snprintf(other, sizeof(other), "%s/used-2", root);
	memset(data, 'e', sizeof(data));
	int file = tried(use, open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	if (file >= 0) {
		tried(use, write(file, data, sizeof(data)));
		tried(use, fsync(file));
		tried(use, ftruncate(file, 100));
		close(file);
		tried(use, rename(path, other));
		unlink(path);
		tried(use, unlink(other));
	}
	if (tried(use, mkdir(path, 0700)) == 0)
		tried(use, rmdir(path));
}

/* A positive errno, of the first thing that failed, or 0. */
int use_tree(const char *root, int writes)
{
	struct use use = { .left = ENTRIES };
	struct statfs volume;
	struct stat status;
	char missing[64];

	tried(&use, statfs(root, &volume));
	snprintf(missing, sizeof(missing), "%s/no such file", root);
	if (stat(missing, &status) < 0 && errno != ENOENT)
		tried(&use, -1);
	use_directory(&use, root, 0);
	if (writes)
		write_some(&use, root);
	int directory = tried(&use, open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (directory >= 0) {
		tried(&use, syncfs(directory));
		close(directory);
	}
	return use.first;
}
