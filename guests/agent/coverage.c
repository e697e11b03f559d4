/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which code a case's task ran, from KCOV (Documentation/dev-tools/kcov.rst).
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

static int failed(struct call *call, const char *what)
{
	snprintf(call->what, sizeof(call->what), "%s " FILE_NAME, what);
	return -errno;
}

int coverage_open(struct call *call, struct coverage *coverage)
{
	*coverage = (struct coverage){ .file = -1, .area = MAP_FAILED };
	if (!json_is_true(json_object_get(call->request, "coverage")))
		return 0;
	coverage->file = open(FILE_NAME, O_RDWR | O_CLOEXEC);
	if (coverage->file < 0)
		return failed(call, "open");
	if (ioctl(coverage->file, KCOV_INIT_TRACE, (unsigned long)WORDS) != 0)
		return failed(call, "KCOV_INIT_TRACE of");
	coverage->area = mmap(NULL, WORDS * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED,
			      coverage->file, 0);
	return coverage->area == MAP_FAILED ? failed(call, "mmap") : 0;
}

int coverage_enable(const struct coverage *coverage)
{
	if (coverage->file < 0)
		return 0;
	__atomic_store_n(&coverage->area[0], 0, __ATOMIC_RELAXED);
	return ioctl(coverage->file, KCOV_ENABLE, (unsigned long)KCOV_TRACE_PC) != 0 ? -errno : 0;
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

	if (coverage->area != MAP_FAILED) {
		size_t count = __atomic_load_n(&coverage->area[0], __ATOMIC_RELAXED);
		uint64_t *found = malloc((count + 1) * sizeof(*found));
		uint8_t *out = NULL;
		if (found) {
			memcpy(found, coverage->area + 1, count * sizeof(*found));
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
		munmap(coverage->area, WORDS * sizeof(uint64_t));
	}
	if (coverage->file >= 0)
		close(coverage->file);
	return error;
}
