/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A verdict as text, or as KTAP (Documentation/dev-tools/ktap.rst). A leak's first line is the one
 * that runners which read the kernel log look for, in syzbot's words.
 */
#define _GNU_SOURCE
#include "leakcheck.h"

#include <stdlib.h>
#include <string.h>

static void print_lines(FILE *out, const char *prefix, const char *text, size_t length)
{
	const char *end = text + length;

	while (text < end) {
		const char *line = memchr(text, '\n', end - text);
		size_t size = (line ? line : end) - text;
		if (size)
			fprintf(out, "%s%.*s\n", prefix, (int)size, text);
		text += size + 1;
	}
}

static void print_lost(FILE *out, const char *prefix, const struct state *state,
		       const struct finding *finding)
{
	const struct records *lost = &finding->lost;

	fprintf(out, "%sBUG: memory leak in %s: %zu unreferenced object%s\n", prefix, state->name,
		lost->count, lost->count == 1 ? "" : "s");
	if (finding->on_stacks)
		fprintf(out,
			"%spointers are on stacks alone, and the tasks that allocated have ended\n",
			prefix);
	for (size_t i = 0; i < lost->count; i++) {
		const struct record *record = &lost->all[i];
		if (state->jiffies && record->jiffies < state->jiffies)
			fprintf(out, "%sallocated before %s began:\n", prefix, state->name);
		print_lines(out, prefix, record->text, record->length);
	}
}

static void print_ktap(FILE *out, const struct state *state, const struct finding *finding)
{
	fprintf(out, "KTAP version 1\n1..1\n");
	if (finding->verdict == LEAKED)
		print_lost(out, "# ", state, finding);
	fprintf(out, "%s 1 %s", finding->verdict == CLEAN ? "ok" : "not ok", state->name);
	if (finding->verdict == NO_VERDICT)
		fprintf(out, " # ERROR %s", finding->why);
	fprintf(out, "\n");
}

static void print_text(FILE *out, const struct state *state, const struct finding *finding)
{
	switch (finding->verdict) {
	case CLEAN:
		fprintf(out, "%s: clean (%zu planted leaks were found)\n", state->name,
			finding->planted);
		break;
	case LEAKED:
		print_lost(out, "", state, finding);
		break;
	case NO_VERDICT:
		fprintf(out, "%s: no verdict: %s\n", state->name, finding->why);
		break;
	}
}

/* One record of the log a line; it may have no more than about 1000 bytes. */
static void log_lost(const struct state *state, const struct finding *finding)
{
	FILE *log = fopen("/dev/kmsg", "we");

	if (!log)
		return;
	setvbuf(log, NULL, _IOLBF, 1024);
	print_lost(log, "", state, finding);
	fclose(log);
}

void report(const struct report_options *options, const struct state *state,
	    const struct finding *finding)
{
	if (options->ktap)
		print_ktap(stdout, state, finding);
	else
		print_text(stdout, state, finding);
	if (options->kmsg && finding->verdict == LEAKED)
		log_lost(state, finding);
}
