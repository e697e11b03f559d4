/* SPDX-License-Identifier: GPL-2.0-only */
#define _GNU_SOURCE
#include "quiet.h"

#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISKS "/sys/block"
#define REQUESTS_MAX 1024
/* A multiple of every logical block size there is below a page. */
#define READ_SIZE 4096

static unsigned long disk_number(const char *disk, const char *file)
{
	char path[320], text[32];

	snprintf(path, sizeof(path), DISKS "/%s/%s", disk, file);
	return read_text(path, text, sizeof(text)) < 0 ? 0 : strtoul(text, NULL, 10);
}

/* As many reads as a queue has requests, one at a time: each takes the next one. */
static void read_disk(const char *disk)
{
	static alignas(READ_SIZE) char buffer[READ_SIZE];
	unsigned long requests = disk_number(disk, "queue/nr_requests");
	char path[320];
	int file;

	snprintf(path, sizeof(path), "/dev/%s", disk);
	file = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (file < 0)
		return;
	if (requests > REQUESTS_MAX)
		requests = REQUESTS_MAX;
	for (unsigned long i = 0; i < requests; i++)
		if (pread(file, buffer, READ_SIZE, 0) != READ_SIZE)
			break;
	close(file);
}

/* Whether the processor takes this task; one that is offline does not. */
static bool move_to(long cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) == 0;
}

/*
 * A request keeps the pointer to its last bio for as long as it is not used again. squashfs has its
 * bios from kmalloc(): an object that takes the place of one, and is lost, would stay referenced.
 * Each processor may have a queue of its own. A disk that cannot be read keeps what it has.
 */
static void use_requests_again(void)
{
	long processors = sysconf(_SC_NPROCESSORS_CONF);
	DIR *disks = opendir(DISKS);
	cpu_set_t before;
	struct dirent *entry;

	if (!disks)
		return;
	sched_getaffinity(0, sizeof(before), &before);
	while ((entry = readdir(disks))) {
		char path[320];
		snprintf(path, sizeof(path), DISKS "/%s/device", entry->d_name);
		/* Not a loop device, nor a medium that may be missing. */
		if (entry->d_name[0] == '.' || access(path, F_OK) != 0 ||
		    disk_number(entry->d_name, "removable"))
			continue;
		for (long cpu = 0; cpu < processors; cpu++)
			if (move_to(cpu))
				read_disk(entry->d_name);
	}
	sched_setaffinity(0, sizeof(before), &before);
	closedir(disks);
}

int settle_kernel(const char **what)
{
	sync();
	int error = write_text("/proc/sys/vm/drop_caches", "3");
	if (error) {
		*what = "write /proc/sys/vm/drop_caches";
		return error;
	}
	use_requests_again();
	for (int i = 0; i < 2; i++)
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0) {
			*what = "membarrier";
			return -errno;
		}
	return 0;
}

#define KEPT_STACKS_PER_CPU 2

/* A task that ends when the gate is closed, or -errno. */
static pid_t start_waiting(const int gate[2])
{
	pid_t pid = fork();
	char byte;

	if (pid < 0)
		return -errno;
	if (pid > 0)
		return pid;
	close(gate[1]);
	_exit(read(gate[0], &byte, 1) < 0);
}

/*
 * A processor keeps the stacks of tasks that ended on it (kernel/fork.c), and a fork there takes
 * one and clears it. All of them are in use at once: those that are kept afterwards are clear.
 */
int clear_dead_stacks(void)
{
	long processors = sysconf(_SC_NPROCESSORS_CONF), started = 0;
	int gate[2], error = 0;
	cpu_set_t before;

	if (pipe2(gate, O_CLOEXEC) != 0)
		return -errno;
	sched_getaffinity(0, sizeof(before), &before);
	for (long cpu = 0; cpu < processors && !error; cpu++) {
		/* One that is offline has given its stacks back. */
		if (!move_to(cpu))
			continue;
		for (int i = 0; i < KEPT_STACKS_PER_CPU + 1 && !error; i++) {
			pid_t pid = start_waiting(gate);
			if (pid < 0)
				error = pid;
			else
				started++;
		}
	}
	sched_setaffinity(0, sizeof(before), &before);
	close(gate[1]);
	close(gate[0]);
	while (started-- > 0)
		wait(NULL);
	return error;
}
