/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands written to a debugfs file: a word, and for some an argument behind a space.
 *
 * Each module directory links to this file, because each is built from a copy of its own.
 */
#ifndef ERRPATH_COMMAND_H
#define ERRPATH_COMMAND_H

#include <linux/errno.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/uaccess.h>

#define ERRPATH_COMMAND_MAX 48

struct errpath_command {
	const char *word;
	/* 0 or -errno; `argument` is empty where none is given. */
	int (*run)(const char *argument);
};

static inline ssize_t errpath_run_command(const struct errpath_command *commands, size_t nr,
					  const char __user *buf, size_t count)
{
	char line[ERRPATH_COMMAND_MAX] = "";
	char *argument = line, *word;
	int error;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, buf, count))
		return -EFAULT;
	word = strsep(&argument, " ");
	for (; nr; commands++, nr--) {
		if (strcmp(word, commands->word))
			continue;
		error = commands->run(argument ? argument : "");
		return error ? error : count;
	}
	return -EINVAL;
}

#endif
