/* SPDX-License-Identifier: GPL-2.0-only */
#define _GNU_SOURCE
#include "quiet.h"

#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int settle_kernel(const char **what)
{
	sync();
	int error = write_text("/proc/sys/vm/drop_caches", "3");
	if (error) {
		*what = "write /proc/sys/vm/drop_caches";
		return error;
	}
	for (int i = 0; i < 2; i++)
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0) {
			*what = "membarrier";
			return -errno;
		}
	return 0;
}

#define KEPT_STACKS_PER_CPU 2

int clear_dead_stacks(void)
{
	long wanted = (KEPT_STACKS_PER_CPU + 1) * sysconf(_SC_NPROCESSORS_CONF), started = 0;
	int gate[2], error = 0;

	if (pipe2(gate, O_CLOEXEC) != 0)
		return -errno;
	while (started < wanted) {
		pid_t pid = fork();
		if (pid < 0) {
			error = -errno;
			break;
		}
		if (pid == 0) {
			char byte;
			close(gate[1]);
			_exit(read(gate[0], &byte, 1) < 0);
		}
		started++;
	}
	close(gate[1]);
	close(gate[0]);
	while (started-- > 0)
		wait(NULL);
	return error;
}
