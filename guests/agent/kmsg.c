/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel log, record by record from /dev/kmsg (Documentation/ABI/testing/dev-kmsg).
 *
 * A record is "priority,sequence,time,flags;message\n key=value…". The kernel escapes what is not
 * printable, so that a message is one line. Records come in the order of their sequence numbers: a
 * gap is what was overwritten before anybody read it.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* No record is longer: CONSOLE_EXT_LOG_MAX before 6.4, PRINTK_MESSAGE_MAX (2048) since. */
#define RECORD_MAX 8192
#define LEVEL_MASK 7
/* A flood is cut here, and the cut reported. */
#define MESSAGES_MAX ((size_t)4 << 20)

/* The log as it is read; the agent's own. */
static struct kmsg {
	int file;      /* -1: not open */
	uint64_t next; /* the sequence number that is expected */
} kmsg = { .file = -1 };

int kmsg_open(struct call *call)
{
	char record[RECORD_MAX + 1];

	if (kmsg.file >= 0)
		return 0;
	int file = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (file < 0) {
		snprintf(call->what, sizeof(call->what), "open /dev/kmsg");
		return -errno;
	}
	/* The sequence number is in a record alone: the one before the end is read for it. */
	uint64_t sequence = 0;
	ssize_t got;
	while ((got = read(file, record, sizeof(record) - 1)) > 0 || (got < 0 && errno == EPIPE)) {
		if (got <= 0)
			continue;
		record[got] = '\0';
		sscanf(record, "%*u,%llu", (unsigned long long *)&sequence);
	}
	kmsg = (struct kmsg){ .file = file, .next = sequence + 1 };
	return 0;
}

int kmsg_file(void)
{
	return kmsg.file;
}

/* Room for `size` more bytes of text and one more level. */
static int make_room(struct messages *messages, size_t size)
{
	if (messages->used + size <= messages->room)
		return 0;
	size_t room = messages->room ? messages->room : 4096;
	while (room < messages->used + size)
		room *= 2;
	/* A line has at least its newline, so that there are no more levels than bytes. */
	char *text = realloc(messages->text, room);
	if (text)
		messages->text = text;
	char *levels = realloc(messages->levels, room);
	if (levels)
		messages->levels = levels;
	if (!text || !levels)
		return -ENOMEM;
	messages->room = room;
	return 0;
}

static int add_record(struct messages *messages, char *record)
{
	unsigned int priority;
	unsigned long long sequence;
	char *message = strchr(record, ';');

	if (!message || sscanf(record, "%u,%llu", &priority, &sequence) != 2)
		return -EBADMSG;
	message++;
	size_t size = strcspn(message, "\n");
	/* A message that ended in two newlines. */
	while (size >= 4 && memcmp(message + size - 4, "\\x0a", 4) == 0)
		size -= 4;
	if (sequence > kmsg.next)
		messages->lost += sequence - kmsg.next;
	kmsg.next = sequence + 1;
	if (messages->used + size + 1 > MESSAGES_MAX) {
		messages->lost++;
		return 0;
	}
	int error = make_room(messages, size + 1);
	if (error)
		return error;
	memcpy(messages->text + messages->used, message, size);
	messages->text[messages->used + size] = '\n';
	messages->used += size + 1;
	messages->levels[messages->lines++] = '0' + (priority & LEVEL_MASK);
	return 0;
}

/*
 * read(2), or -errno. The case's task shares our memory (CLONE_VM), and so the C library's errno:
 * were it written here while the task runs, a mount that fails could be reported with our EAGAIN.
 */
static ssize_t read_record(void *record, size_t size)
{
	ssize_t got;

	__asm__ volatile("syscall"
			 : "=a"(got)
			 : "0"((long)SYS_read), "D"((long)kmsg.file), "S"(record), "d"(size)
			 : "rcx", "r11", "memory");
	return got;
}

int kmsg_read(struct messages *messages)
{
	char record[RECORD_MAX + 1];
	int error = 0;

	while (!error) {
		ssize_t got = read_record(record, sizeof(record) - 1);
		/* EPIPE: records were overwritten; the next read gives the oldest. */
		if (got == -EINTR || got == -EPIPE)
			continue;
		if (got < 0)
			return got == -EAGAIN ? 0 : got;
		if (got == 0)
			return 0;
		record[got] = '\0';
		error = add_record(messages, record);
	}
	return error;
}

void kmsg_reply(struct call *call, const char *key, struct messages *messages)
{
	char name[64];

	if (messages->used) {
		json_object_set_new(call->reply, key,
				    json_stringn_nocheck(messages->text, messages->used));
		snprintf(name, sizeof(name), "%s_levels", key);
		json_object_set_new(call->reply, name,
				    json_stringn_nocheck(messages->levels, messages->lines));
	}
	if (messages->lost) {
		snprintf(name, sizeof(name), "%s_lost", key);
		json_object_set_new(call->reply, name, json_integer(messages->lost));
	}
	free(messages->text);
	free(messages->levels);
	*messages = (struct messages){ 0 };
}
