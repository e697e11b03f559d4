/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands written to a debugfs file: a word, and for some an argument behind a space.
 *
 * Each module directory links to this file, because each is built from a copy of its own.
 */
#ifndef ERRPATH_COMMAND_H
#define ERRPATH_COMMAND_H

#include <linux/debugfs.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/uaccess.h>

#define ERRPATH_COMMAND_MAX 48

/* A table of them ends with an empty one. */
struct errpath_command {
	const char *word;
	/* 0 or -errno; `argument` is empty where none is given. */
	int (*run)(const char *argument);
};

/* Of a file whose private data is the table. */
static inline ssize_t errpath_command_write(struct file *filp, const char __user *buf,
					    size_t count, loff_t *ppos)
{
	const struct errpath_command *command = file_inode(filp)->i_private;
	char line[ERRPATH_COMMAND_MAX] = "";
	char *argument = line, *word;
	int error;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, buf, count))
		return -EFAULT;
	word = strsep(&argument, " ");
	for (; command->word; command++) {
		if (strcmp(word, command->word))
			continue;
		error = command->run(argument ? argument : "");
		return error ? error : count;
	}
	return -EINVAL;
}

static const struct file_operations errpath_command_fops __maybe_unused = {
	.owner = THIS_MODULE,
	.write = errpath_command_write,
};

/* An error pointer where the file cannot be made; debugfs_remove() takes that too. */
static inline struct dentry *errpath_command_file(const char *name,
						  const struct errpath_command *table)
{
	return debugfs_create_file(name, 0200, NULL, (void *)table, &errpath_command_fops);
}

#endif
