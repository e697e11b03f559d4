/* SPDX-License-Identifier: GPL-2.0-only */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int read_text(const char *path, char *buffer, size_t size)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -errno;
	ssize_t got = read(file, buffer, size - 1);
	int error = errno;
	close(file);
	if (got < 0)
		return -error;
	buffer[got] = '\0';
	return got;
}

int write_bytes(const char *path, int flags, int mode, const void *data, size_t size)
{
	int file = open(path, O_WRONLY | O_CLOEXEC | flags, mode);
	if (file < 0)
		return -errno;
	ssize_t put = write(file, data, size);
	int error = put < 0 ? -errno : (size_t)put != size ? -EIO : 0;
	close(file);
	return error;
}

int write_text(const char *path, const char *text)
{
	return write_bytes(path, 0, 0, text, strlen(text));
}

int read_some(int file, struct blob *out, size_t *room)
{
	ssize_t got;

	if (*room - out->size < 65536) {
		size_t wanted = *room ? *room * 2 : 131072;
		uint8_t *larger = realloc(out->data, wanted);
		if (!larger)
			return -ENOMEM;
		out->data = larger;
		*room = wanted;
	}
	do
		got = read(file, out->data + out->size, *room - out->size);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got < 0 ? -errno : END_OF_FILE;
	out->size += got;
	return 0;
}

int read_to_end(int file, struct blob *out)
{
	size_t room = 0;
	int error;

	do
		error = read_some(file, out, &room);
	while (!error);
	return error == END_OF_FILE ? 0 : error;
}

/* 0 or -errno, which a task gives as its exit status; -ECHILD if the kernel killed it. */
static int task_result(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

int write_bytes_as(const char *task, pid_t *pid, const char *path, int flags, int mode,
		   const void *data, size_t size)
{
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child == 0) {
		prctl(PR_SET_NAME, task);
		_exit(-write_bytes(path, flags, mode, data, size));
	}
	if (pid)
		*pid = child;
	return task_result(child);
}

int in_own_task(int (*work)(void *), void *argument)
{
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child == 0)
		_exit(-work(argument));
	return task_result(child);
}

int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}
