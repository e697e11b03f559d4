/* SPDX-License-Identifier: GPL-2.0-only */
/* What a case has changed of its device. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512
/* Of more, the rest is not given. */
#define BYTES_MAX (16 << 20)

/* Takes a changed sector to the reply: [[offset, length], …] and the bytes. */
static int add_sector(struct blob *out, json_t *list, off_t at, const char *bytes)
{
	json_t *last = json_array_get(list, json_array_size(list) - 1), *length;

	if (!last || json_integer_value(json_array_get(last, 0)) +
				     json_integer_value(json_array_get(last, 1)) !=
			     at) {
		last = json_pack("[I, i]", (json_int_t)at, 0);
		json_array_append_new(list, last);
	}
	length = json_array_get(last, 1);
	json_integer_set(length, json_integer_value(length) + SECTOR);
	void *grown = realloc(out->data, out->size + SECTOR);
	if (!grown)
		return -ENOMEM;
	out->data = grown;
	memcpy((char *)out->data + out->size, bytes, SECTOR);
	out->size += SECTOR;
	return 0;
}

/* How much of a buffer could be read; what is behind the end of a shorter file is zeros. */
static ssize_t read_chunk(int file, char *buffer, size_t size, off_t at)
{
	ssize_t got = pread(file, buffer, size, at);

	if (got < 0)
		return -errno;
	memset(buffer + got, 0, size - got);
	return got;
}

/* Where the next data of either file begins; -ENXIO where there is none. */
static off_t next_data(int before, int now, off_t at)
{
	off_t one = lseek(before, at, SEEK_DATA), other = lseek(now, at, SEEK_DATA);

	if (one < 0 && other < 0)
		return -ENXIO;
	return one < 0 || (other >= 0 && other < one) ? other : one;
}

static int compare(struct call *call, json_t *list, int before, int now)
{
	static char was[65536], is[65536];
	size_t begun = call->out.size;
	int error = 0;
	off_t at = 0;

	while (!error && (at = next_data(before, now, at)) >= 0) {
		at -= at % SECTOR;
		ssize_t one = read_chunk(before, was, sizeof(was), at);
		ssize_t other = read_chunk(now, is, sizeof(is), at);
		if (one < 0 || other < 0)
			return one < 0 ? one : other;
		for (size_t i = 0; !error && i < sizeof(is); i += SECTOR) {
			if (memcmp(was + i, is + i, SECTOR) == 0)
				continue;
			if (call->out.size - begun >= BYTES_MAX) {
				json_object_set_new(call->reply, "changed_cut", json_true());
				return 0;
			}
			error = add_sector(&call->out, list, at + i, is + i);
		}
		at += sizeof(is);
	}
	return error;
}

int changes_reply(struct call *call, int now)
{
	int written = device_written(now);

	if (written <= 0)
		return written;
	int before = device_original(call);
	if (before < 0)
		return before;
	json_t *list = json_array();
	int error = compare(call, list, before, now);
	close(before);
	snprintf(call->what, sizeof(call->what), "changes of the device");
	json_object_set_new(call->reply, "changed", list);
	return error;
}
