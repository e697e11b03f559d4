/* SPDX-License-Identifier: GPL-2.0-only */
/* Files of the kernel as every program of ours in a guest reads and writes them. */
#ifndef ERRPATH_FILES_H
#define ERRPATH_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

struct blob {
	uint8_t *data;
	size_t size;
};

/* What read_some() gives where there is no more. */
#define END_OF_FILE 1

/* The bytes read, at most `size` - 1, or -errno. */
int read_text(const char *path, char *buffer, size_t size);
/* Appends one read(), making room: 0, END_OF_FILE or -errno. */
int read_some(int file, struct blob *out, size_t *room);
/* 0 or -errno. One read() of kmemleak's file returns about 4 KiB of records. */
int read_to_end(int file, struct blob *out);

/* One write() of everything: a control file takes its whole command in one. 0 or -errno. */
int write_bytes(const char *path, int flags, int mode, const void *data, size_t size);
int write_text(const char *path, const char *text);
/*
 * The same by a task of that name which then ends: what it leaves behind is then as hard to see as
 * what any other dead task leaves behind. Its pid goes to `pid`, unless that is NULL.
 */
int write_bytes_as(const char *task, pid_t *pid, const char *path, int flags, int mode,
		   const void *data, size_t size);

/*
 * What `work` returns, 0 or -errno, in a task of its own that then ends: its stack is clear, what a
 * call leaves there is gone, and if the kernel kills it, -ECHILD.
 */
int in_own_task(int (*work)(void *), void *argument);

/* CLOCK_MONOTONIC. */
int64_t now_ms(void);

#endif
