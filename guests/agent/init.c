/* SPDX-License-Identifier: GPL-2.0-only */
/* What process 1 does: mount the kernel's own filesystems, keep the agent and reap orphans. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *type, *target;
} MOUNTS[] = {
	{ "proc", "/proc" },	{ "sysfs", "/sys" },
	{ "devtmpfs", "/dev" }, { "debugfs", "/sys/kernel/debug" },
	{ "tmpfs", "/images" }, { "tracefs", "/sys/kernel/tracing" },
};

void init_mounts(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(MOUNTS); i++) {
		/* sysfs has its directories already; those of the initramfs are in the archive. */
		mkdir(MOUNTS[i].target, 0755);
		const char *data = strcmp(MOUNTS[i].type, "tmpfs") == 0 ? "size=90%" : NULL;
		if (mount(MOUNTS[i].type, MOUNTS[i].target, MOUNTS[i].type, 0, data) != 0)
			printf("errpath: mount %s: %s\n", MOUNTS[i].target, strerror(errno));
	}
	mkdir("/mnt", 0755);
}

/* An interactive guest: busybox on the console, until it ends. */
static void shell_if_asked(void)
{
	char line[4096];

	if (read_text("/proc/cmdline", line, sizeof(line)) < 0 || !strstr(line, "errpath.shell"))
		return;
	if (fork() == 0) {
		setsid();
		char *argv[] = { "sh", "-l", NULL };
		char *envp[] = { "PATH=/bin", "HOME=/", "TERM=linux", "PS1=errpath# ", NULL };
		int console = open("/dev/console", O_RDWR);
		for (int fd = 0; fd < 3; fd++)
			dup2(console, fd);
		execve("/bin/sh", argv, envp);
		printf("errpath: no shell in this guest: %s\n", strerror(errno));
		_exit(127);
	}
}

/* Who the agent is now, shared between process 1 and every agent. */
static volatile pid_t *agent;

_Noreturn void init_hand_over(pid_t successor)
{
	*agent = successor;
	_exit(0);
}

_Noreturn void init_supervise(int (*agent_main)(void))
{
	agent = mmap(NULL, sizeof(*agent), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	pid_t first = fork();

	if (first == 0) {
		/* Its allocations are those of errpath, not a case's. */
		prctl(PR_SET_NAME, "errpath-agent");
		_exit(agent_main());
	}
	*agent = first;
	shell_if_asked();
	for (;;) {
		int status;
		pid_t pid = wait(&status);
		if (pid == *agent || (pid < 0 && errno == ECHILD)) {
			printf("errpath: agent ended with status %#x\n", status);
			fflush(stdout);
			break;
		}
	}
	/* The host sees the machine stop: QEMU runs with -no-reboot. */
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}
