/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel counts, and what a case changes of it. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ROOM (64 * 1024)
#define DEBUGFS "/sys/kernel/debug/"

/* In a kernel that does not count allocations by their place, objects and pages are counted. */
enum { ALLOCATIONS, SLABS, PAGES, MODULES, SUPERS };

static struct source {
	const char *key, *path;
	/* As it was last reported: the same is not reported again. */
	char reported[ROOM];
} sources[] = {
	/* Gives changes, and nothing where nothing has changed. */
	[ALLOCATIONS] = { .key = "allocations", .path = DEBUGFS "errpath_counts" },
	[SLABS] = { .key = "slabs", .path = "/proc/slabinfo" },
	[PAGES] = { .key = "pages", .path = "/proc/zoneinfo" },
	[MODULES] = { .key = "modules", .path = "/proc/modules" },
	[SUPERS] = { .key = "supers", .path = DEBUGFS "errpath_supers" },
};

/* All of a file, or -errno. */
static int read_all(const char *path, char text[ROOM])
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got;

	text[0] = '\0';
	if (file < 0)
		return -errno;
	do {
		got = read(file, text + used, ROOM - 1 - used);
		used += got > 0 ? got : 0;
	} while (got > 0 && used < ROOM - 1);
	int error = got < 0 ? -errno : got > 0 ? -EFBIG : 0;
	close(file);
	text[error ? 0 : used] = '\0';
	return error;
}

static void reply(json_t *counts, struct source *source, const char *text, int whole)
{
	if (!whole && strcmp(text, source->reported) == 0)
		return;
	json_object_set_new(counts, source->key, json_string_nocheck(text));
	strcpy(source->reported, text);
}

void counts_reply(struct call *call, int whole, int settle)
{
	static char text[ROOM];
	json_t *counts = json_object();

	/* A kernel that lacks the functions for it has what it has. */
	if (settle && write_text(DEBUGFS "errpath_probe", "press") == 0)
		write_text(DEBUGFS "errpath_probe", "purge");
	int changes = read_all(sources[ALLOCATIONS].path, text) == 0;

	if (changes && text[0])
		json_object_set_new(counts, sources[ALLOCATIONS].key, json_string_nocheck(text));
	for (size_t i = changes ? MODULES : SLABS; i < ARRAY_SIZE(sources); i++)
		if (read_all(sources[i].path, text) == 0)
			reply(counts, &sources[i], text, whole);
	json_object_set_new(call->reply, "counts", counts);
}

int verb_counts(struct call *call)
{
	counts_reply(call, 1, 0);
	return 0;
}
