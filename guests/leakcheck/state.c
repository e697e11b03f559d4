/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state between `begin` and `end`: a line "errpath-leakcheck 1", a line of the name, a line of
 * the jiffies, and then kmemleak's own text of what was lost before.
 */
#define _GNU_SOURCE
#include "leakcheck.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "errpath-leakcheck 1"

int state_save(const char *path, const struct state *state)
{
	char *text = NULL;
	int length, error;

	length = asprintf(&text, "%s\n%s\n%lu\n%.*s", MAGIC, state->name, state->jiffies,
			  (int)state->known.text.size,
			  state->known.text.data ? (const char *)state->known.text.data : "");
	if (length < 0)
		return -ENOMEM;
	/* Of an earlier `begin` without its `end`, perhaps. */
	unlink(path);
	error = write_bytes(path, O_CREAT | O_EXCL, 0600, text, length);
	free(text);
	return error;
}

/* Cuts a line off `text`; the line without its end, or NULL. */
static char *cut_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');

	if (!end)
		return NULL;
	*end = '\0';
	*text = end + 1;
	return line;
}

static int state_parse(struct blob *text, struct state *state)
{
	char *rest = (char *)text->data;
	const char *magic = cut_line(&rest);
	const char *name = magic ? cut_line(&rest) : NULL;
	const char *jiffies = name ? cut_line(&rest) : NULL;

	if (!jiffies || strcmp(magic, MAGIC) != 0 || strlen(name) >= sizeof(state->name))
		return -EBADMSG;
	strcpy(state->name, name);
	state->jiffies = strtoull(jiffies, NULL, 10);
	state->known.text.data = (uint8_t *)strdup(rest);
	state->known.text.size = strlen(rest);
	return state->known.text.data ? records_parse(&state->known) : -ENOMEM;
}

int state_take(const char *path, struct state *state)
{
	struct blob text = { 0 };
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), error;

	if (file < 0)
		return -errno;
	error = read_to_end(file, &text);
	close(file);
	unlink(path);
	if (!error) {
		uint8_t *string = realloc(text.data, text.size + 1);
		error = string ? 0 : -ENOMEM;
		if (string) {
			text.data = string;
			string[text.size] = '\0';
			error = state_parse(&text, state);
		}
	}
	free(text.data);
	return error;
}
