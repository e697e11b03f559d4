/* SPDX-License-Identifier: GPL-2.0-only */
/* Verbs over files, modules and programs. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAIL(call, operation, subject) fail(call, operation, subject, errno)

static int fail(struct call *call, const char *operation, const char *subject, int error)
{
	snprintf(call->what, sizeof(call->what), "%s %s", operation, subject ? subject : "(none)");
	return -error;
}

int verb_file_read(struct call *call)
{
	const char *path = json_string_value(json_object_get(call->request, "path"));
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : (errno = EINVAL, -1);

	if (file < 0)
		return FAIL(call, "open", path);
	int error = read_to_end(file, &call->out);
	close(file);
	return error ? fail(call, "read", path, -error) : 0;
}

/* With "as", the write is made by a task of that name which then ends. */
int verb_file_write(struct call *call)
{
	const char *path = json_string_value(json_object_get(call->request, "path"));
	const char *as = json_string_value(json_object_get(call->request, "as"));
	json_t *mode = json_object_get(call->request, "mode");
	int flags = mode ? O_CREAT | O_TRUNC : 0, bits = json_integer_value(mode), error;
	pid_t pid = 0;

	if (!path)
		return fail(call, "open", path, EINVAL);
	if (as) {
		error = write_bytes_as(as, &pid, path, flags, bits, call->in.data, call->in.size);
		if (pid)
			json_object_set_new(call->reply, "pid", json_integer(pid));
	} else {
		error = write_bytes(path, flags, bits, call->in.data, call->in.size);
	}
	return error ? fail(call, "write", path, -error) : 0;
}

int verb_module_load(struct call *call)
{
	const char *parameters = json_string_value(json_object_get(call->request, "parameters"));

	if (syscall(SYS_init_module, call->in.data, call->in.size, parameters ? parameters : "") !=
	    0)
		return FAIL(call, "init_module",
			    json_string_value(json_object_get(call->request, "name")));
	return 0;
}

static int delete_module(void *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) == 0 ? 0 : -errno;
}

/* A module whose reference was dropped once too often is a BUG, which kills the task. */
int verb_module_unload(struct call *call)
{
	const char *name = json_string_value(json_object_get(call->request, "name"));
	int error = name ? in_own_task(delete_module, (void *)name) : -EINVAL;

	return error ? fail(call, "delete_module", name, -error) : 0;
}

/* Runs a program of the guest from an argv list; its output is the reply's blob. */
int verb_exec(struct call *call)
{
	json_t *words = json_object_get(call->request, "argv"), *word;
	int64_t until = now_ms() + json_integer_value(json_object_get(call->request, "timeout_ms"));
	char *argv[64] = { 0 };
	size_t i;
	int out[2];

	if (json_array_size(words) == 0 || json_array_size(words) > 63)
		return fail(call, "exec", "argv: expected 1 to 63 words", EINVAL);
	json_array_foreach(words, i, word)
		argv[i] = (char *)json_string_value(word);
	if (pipe2(out, O_CLOEXEC) != 0)
		return FAIL(call, "pipe for", argv[0]);
	pid_t child = fork();
	if (child == 0) {
		char *envp[] = { "PATH=/bin", "HOME=/", NULL };
		int null = open("/dev/null", O_RDONLY);
		setpgid(0, 0);
		dup2(null, 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		execvpe(argv[0], argv, envp);
		dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(out[1]);
	struct pollfd pipe_end = { .fd = out[0], .events = POLLIN };
	size_t room = 0;
	int error = child < 0 ? -errno : 0;
	while (!error) {
		int64_t left = until - now_ms();
		int ready = poll(&pipe_end, 1, left > 0 ? left : 0);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			error = ready < 0 ? -errno : -ETIMEDOUT;
		else
			error = read_some(out[0], &call->out, &room);
		if (error == END_OF_FILE) {
			error = 0;
			break;
		}
	}
	close(out[0]);
	int status = 0;
	if (error && child > 0)
		kill(-child, SIGKILL);
	if (child > 0)
		waitpid(child, &status, 0);
	if (error)
		return fail(call, "run", argv[0], -error);
	json_object_set_new(
		call->reply, "status",
		json_integer(WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status)));
	return 0;
}

/* From the kernel's own include/linux/syslog.h. */
#define SYSLOG_ACTION_READ_ALL 3
#define SYSLOG_ACTION_SIZE_BUFFER 10

int verb_dmesg(struct call *call)
{
	int room = klogctl(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0);

	call->out.data = room > 0 ? malloc(room) : NULL;
	if (!call->out.data)
		return fail(call, "size of", "the kernel log", ENOMEM);
	int got = klogctl(SYSLOG_ACTION_READ_ALL, (char *)call->out.data, room);
	if (got < 0)
		return FAIL(call, "read", "the kernel log");
	call->out.size = got;
	return 0;
}

/*
 * Addresses of functions (with {"data": true}, of data), from the guest's own /proc/kallsyms: right
 * with and without KASLR, for built-in code and for modules. Reply: {"symbols": [[name, address,
 * module], …]}.
 */
int verb_symbols(struct call *call)
{
	json_t *names = json_object_get(call->request, "names"), *name;
	int data = json_is_true(json_object_get(call->request, "data"));
	json_t *found = json_array();
	char line[512], symbol[384], module[64], type;
	unsigned long address;
	FILE *file = fopen("/proc/kallsyms", "re");
	size_t i;

	json_object_set_new(call->reply, "symbols", found);
	if (!file)
		return FAIL(call, "open", "/proc/kallsyms");
	while (fgets(line, sizeof(line), file)) {
		module[0] = '\0';
		if (sscanf(line, "%lx %c %383s [%63[^]]", &address, &type, symbol, module) < 3)
			continue;
		/* Data only if the host asks for data: a function may have its name. */
		if (!strchr(data ? "bBdD" : "tTwW", type))
			continue;
		json_array_foreach(names, i, name) {
			const char *want = json_string_value(name);
			size_t length = strlen(want);
			/* Clones such as name.isra.0 are reported too: the host sorts them. */
			if (strncmp(symbol, want, length) == 0 &&
			    (symbol[length] == '\0' || symbol[length] == '.'))
				json_array_append_new(found,
						      json_pack("[s, I, s]", symbol,
								(json_int_t)address, module));
		}
	}
	fclose(file);
	return 0;
}
