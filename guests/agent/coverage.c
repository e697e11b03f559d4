/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which code a case's task ran, from KCOV (Documentation/dev-tools/kcov.rst): basic blocks, or
 * edges between them.
 *
 * The area is mapped before the task is forked, so what a task ran is known even where it was
 * killed or hangs.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcov.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_NAME "/sys/kernel/debug/kcov"
/* Addresses that fit; a mount runs a few thousand basic blocks. */
#define WORDS (1u << 20)
/* Of different values; twice as many as are expected at most. */
#define TABLE_BITS 16
#define TABLE (1u << TABLE_BITS)

static int failed(struct call *call, const char *what)
{
	snprintf(call->what, sizeof(call->what), "%s " FILE_NAME, what);
	return -errno;
}

/*
 * Opened for the first case that wants it and kept: its area has 8 MiB. The kernel gives it free
 * when the task that it was enabled for has ended.
 */
static int kept_file = -1;
static uint64_t *kept_area;

static int open_once(struct call *call)
{
	if (kept_file >= 0)
		return 0;
	int file = open(FILE_NAME, O_RDWR | O_CLOEXEC);

	if (file < 0)
		return failed(call, "open");
	int error = 0;
	void *area = MAP_FAILED;
	if (ioctl(file, KCOV_INIT_TRACE, (unsigned long)WORDS) != 0)
		error = failed(call, "KCOV_INIT_TRACE of");
	else
		area = mmap(NULL, WORDS * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED,
			    file, 0);
	if (!error && area == MAP_FAILED)
		error = failed(call, "mmap");
	if (error) {
		close(file);
		return error;
	}
	kept_file = file;
	kept_area = area;
	return 0;
}

int coverage_open(struct call *call, struct coverage *coverage)
{
	const char *what = json_string_value(json_object_get(call->request, "coverage"));

	*coverage = (struct coverage){ .file = -1 };
	if (!what)
		return 0;
	int error = open_once(call);

	if (error)
		return error;
	coverage->edges = strcmp(what, "edges") == 0;
	coverage->file = kept_file;
	coverage->area = kept_area;
	__atomic_store_n(&coverage->area[0], 0, __ATOMIC_RELAXED);
	return 0;
}

int coverage_enable(const struct coverage *coverage)
{
	if (coverage->file < 0)
		return 0;
	return ioctl(coverage->file, KCOV_ENABLE, (unsigned long)KCOV_TRACE_PC) != 0 ? -errno : 0;
}

/* Of each two addresses in a row the lower halves: the upper ones of the kernel's are all alike. */
static void pair_up(uint64_t *found, size_t count)
{
	uint64_t before = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t address = found[i];
		found[i] = before << 32 | (address & 0xffffffff);
		before = address;
	}
}

/*
 * Leaves each value once, in front, and gives how many those are. What a task ran are some thousand
 * places, a hundred times each: to sort all of it takes longer than the mount. Behind the first
 * TABLE / 2 different values nothing is left out.
 */
static size_t without_copies(uint64_t *found, size_t count)
{
	static uint64_t table[TABLE];
	size_t kept = 0, i;

	memset(table, 0, sizeof(table));
	for (i = 0; i < count && kept < TABLE / 2; i++) {
		size_t at = (found[i] * 0x9e3779b97f4a7c15u) >> (64 - TABLE_BITS);

		while (table[at] && table[at] != found[i])
			at = (at + 1) % TABLE;
		if (!table[at])
			found[kept++] = table[at] = found[i];
	}
	memmove(found + kept, found + i, (count - i) * sizeof(*found));
	return kept + count - i;
}

static int ascending(const void *left, const void *right)
{
	uint64_t one = *(const uint64_t *)left, other = *(const uint64_t *)right;

	return (one > other) - (one < other);
}

int coverage_take(struct call *call, struct coverage *coverage)
{
	size_t kept = 0;
	int error = 0;

	if (coverage->area) {
		size_t count = __atomic_load_n(&coverage->area[0], __ATOMIC_RELAXED);
		uint64_t *found = malloc((count + 1) * sizeof(*found));
		uint8_t *out = NULL;
		if (found) {
			memcpy(found, coverage->area + 1, count * sizeof(*found));
			if (coverage->edges)
				pair_up(found, count);
			count = without_copies(found, count);
			qsort(found, count, sizeof(*found), ascending);
			for (size_t i = 0; i < count; i++)
				if (kept == 0 || found[i] != found[kept - 1])
					found[kept++] = found[i];
			for (size_t i = 0; i < kept; i++)
				found[i] = htobe64(found[i]);
			out = realloc(call->out.data, call->out.size + kept * sizeof(*found) + 1);
		}
		if (out) {
			memcpy(out + call->out.size, found, kept * sizeof(*found));
			call->out.data = out;
			call->out.size += kept * sizeof(*found);
			json_object_set_new(call->reply, "coverage", json_integer(kept));
		} else {
			error = -ENOMEM;
		}
		free(found);
	}
	return error;
}
