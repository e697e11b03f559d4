/* SPDX-License-Identifier: GPL-2.0-only */
#define _GNU_SOURCE
#include "leakcheck.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER "unreferenced object "
#define TRACE "  backtrace"
#define FRAME "    "

/* The line after `line`, or NULL at the end of the text; NULL again for NULL. */
static const char *next_line(const char *line)
{
	const char *end = line ? strchr(line, '\n') : NULL;

	return end && end[1] ? end + 1 : NULL;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/*
 * unreferenced object 0xffff888003c2ec00 (size 512):
 *   comm "errpath-000001", pid 34, jiffies 4294894026
 * The task's name may hold anything, so it ends at the last quotation mark of its line.
 */
static int parse_head(const char *line, struct record *record)
{
	const char *at = line + strlen(HEADER), *task, *end, *mark;
	char *rest;

	if (begins(at, "(percpu) "))
		at += strlen("(percpu) ");
	else if (begins(at, "(phys) "))
		at += strlen("(phys) ");
	record->address = strtoull(at, &rest, 16);
	if (rest == at || sscanf(rest, " (size %zu):", &record->size) != 1)
		return -EBADMSG;
	task = next_line(line);
	if (!task || !begins(task, "  comm \""))
		return -EBADMSG;
	task += strlen("  comm \"");
	end = strchrnul(task, '\n');
	mark = memrchr(task, '"', end - task);
	if (!mark || (size_t)(mark - task) >= sizeof(record->task))
		return -EBADMSG;
	memcpy(record->task, task, mark - task);
	record->task[mark - task] = '\0';
	if (sscanf(mark, "\", pid %d, jiffies %lu", &record->pid, &record->jiffies) != 2)
		return -EBADMSG;
	return 0;
}

/* From the third line on: a dump of the object, then the backtrace, up to the next header. */
static int parse_body(const char *start, struct record *record)
{
	const char *line = next_line(next_line(start));
	bool in_trace = false;

	for (; line && !begins(line, HEADER); line = next_line(line)) {
		if (begins(line, TRACE))
			in_trace = true;
		else if (*line != '\n' && !begins(line, in_trace ? FRAME : "  "))
			return -EBADMSG;
	}
	record->text = start;
	record->length = line ? (size_t)(line - start) : strlen(start);
	return in_trace ? 0 : -EBADMSG;
}

int records_parse(struct records *records)
{
	const char *line, *end;
	size_t room = 0;

	records->count = 0;
	/* The text becomes a string. */
	uint8_t *text = realloc(records->text.data, records->text.size + 1);
	if (!text)
		return -ENOMEM;
	text[records->text.size] = '\0';
	records->text.data = text;
	end = (const char *)text + records->text.size;
	if (records->text.size && end[-1] != '\n')
		return -EBADMSG;
	for (line = (const char *)text; line < end;) {
		if (records->count == room) {
			room = room ? room * 2 : 64;
			struct record *more = reallocarray(records->all, room, sizeof(*more));
			if (!more)
				return -ENOMEM;
			records->all = more;
		}
		struct record *record = &records->all[records->count];
		if (!begins(line, HEADER) || parse_head(line, record) || parse_body(line, record))
			return -EBADMSG;
		records->count++;
		line += record->length;
	}
	return 0;
}

bool record_has_frame(const struct record *record, const char *function)
{
	size_t length = strlen(function);
	const char *at = record->text, *end = record->text + record->length;

	while ((at = memmem(at, end - at, function, length))) {
		if (at[-1] == ' ' && at + length < end && at[length] == '+')
			return true;
		at += length;
	}
	return false;
}

const struct record *records_find(const struct records *records, const struct record *record)
{
	for (size_t i = 0; i < records->count; i++)
		if (records->all[i].address == record->address &&
		    records->all[i].jiffies == record->jiffies)
			return &records->all[i];
	return NULL;
}

void records_free(struct records *records)
{
	free(records->all);
	free(records->text.data);
	memset(records, 0, sizeof(*records));
}
