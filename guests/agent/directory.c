/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of a directory, by getdents64(2) into static buffers: opendir() would allocate. */
#define _GNU_SOURCE
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As readdir() of glibc asks for. */
#define BUFFER_SIZE 32768

struct directory {
	int file;
	int used;      /* whether it is one of those that are open */
	long at, size; /* of the entries in the buffer, bytes */
	char buffer[BUFFER_SIZE] __attribute__((aligned(8)));
};

/*
 * Opened and closed like a stack. A task that was killed never closed its own: each task begins
 * with none (directory_reset).
 */
static struct directory open_directories[DIRECTORIES_MAX];

void directory_reset(void)
{
	for (size_t i = 0; i < DIRECTORIES_MAX; i++)
		open_directories[i].used = 0;
}

struct directory *directory_open(const char *path)
{
	struct directory *directory = NULL;

	for (size_t i = 0; i < DIRECTORIES_MAX && !directory; i++)
		if (!open_directories[i].used)
			directory = &open_directories[i];
	if (!directory) {
		errno = EMFILE;
		return NULL;
	}
	directory->file = open(path, O_RDONLY | O_NONBLOCK | O_DIRECTORY | O_CLOEXEC);
	if (directory->file < 0)
		return NULL;
	directory->used = 1;
	directory->at = 0;
	directory->size = 0;
	return directory;
}

const char *directory_next(struct directory *directory)
{
	for (;;) {
		errno = 0;
		if (directory->at == directory->size) {
			directory->at = 0;
			directory->size = syscall(SYS_getdents64, directory->file,
						  directory->buffer, sizeof(directory->buffer));
			if (directory->size <= 0) {
				directory->size = 0;
				return NULL;
			}
		}
		struct dirent64 *entry = (struct dirent64 *)(directory->buffer + directory->at);
		directory->at += entry->d_reclen;
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return entry->d_name;
	}
}

void directory_close(struct directory *directory)
{
	close(directory->file);
	directory->used = 0;
}
