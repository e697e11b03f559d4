/* SPDX-License-Identifier: GPL-2.0-only */
/* Leaks on purpose (the module errpath_canary), without which silence proves nothing. */
#define _GNU_SOURCE
#include "leakcheck.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CANARY "/sys/kernel/debug/errpath_canary"
#define FUNCTION "errpath_canary_plant"

bool canary_available(void)
{
	return access(CANARY, R_OK | W_OK) == 0;
}

int canary_plant(struct canary *canary, int attempt, char *why)
{
	char text[512], *at = text, *rest;
	int error = read_text(CANARY, text, sizeof(text));

	canary->count = 0;
	while (error >= 0 && canary->count < CANARY_SIZES_MAX) {
		size_t size = strtoul(at, &rest, 10);
		if (rest == at)
			break;
		canary->sizes[canary->count++] = size;
		at = rest;
	}
	if (error >= 0 && canary->count == 0)
		error = -EBADMSG;
	snprintf(canary->task, sizeof(canary->task), "canary-%d", attempt);
	if (error >= 0)
		error = write_bytes_as(canary->task, NULL, CANARY, 0, 0, "plant", strlen("plant"));
	if (error < 0)
		snprintf(why, WHY_MAX, "%s: %s", CANARY, strerror(-error));
	return error;
}

void canary_clear_stacks(void)
{
	write_text(CANARY, "stacks");
}

bool canary_owns(const struct record *record)
{
	return record_has_frame(record, FUNCTION);
}

/* What of the command line lets kmemleak see; NULL where a word of it does. */
static const char *advice(void)
{
	char line[4096];

	if (read_text("/proc/cmdline", line, sizeof(line)) < 0 || strstr(line, "slab_debug=") ||
	    strstr(line, "slub_debug="))
		return "stale pointers hide them";
	return "boot with slab_debug=FUZP: without it SLUB's per-CPU caches hide leaks";
}

/* Whether the object planted as number `at` is there; several may have one size. */
static bool found_one(const struct canary *canary, size_t at, const struct records *records)
{
	size_t wanted = 0, found = 0;

	for (size_t i = 0; i <= at; i++)
		wanted += canary->sizes[i] == canary->sizes[at];
	for (size_t r = 0; r < records->count; r++) {
		const struct record *record = &records->all[r];
		found += record->size == canary->sizes[at] && canary_owns(record) &&
			 strcmp(record->task, canary->task) == 0;
	}
	return found >= wanted;
}

bool canary_found(const struct canary *canary, const struct records *records, char *why)
{
	size_t missed = 0, used = 0;
	char sizes[256] = "";

	for (size_t i = 0; i < canary->count; i++) {
		if (found_one(canary, i, records))
			continue;
		missed++;
		if (used < sizeof(sizes))
			used += snprintf(sizes + used, sizeof(sizes) - used, "%s%zu",
					 used ? ", " : "", canary->sizes[i]);
	}
	if (missed)
		snprintf(why, WHY_MAX,
			 "canary: %zu of %zu planted leaks were not found (sizes %s); %s", missed,
			 canary->count, sizes, advice());
	return missed == 0;
}

void canary_reap(void)
{
	write_text(CANARY, "reap");
}
