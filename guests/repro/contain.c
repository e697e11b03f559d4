/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * contain SECONDS PROGRAM: run somebody's reproducer, and end everything that
 * it started.
 *
 * It runs as process 1 of a PID namespace of its own, so that one signal ends
 * all of its tasks, and in a mount namespace of its own, so that its mounts end
 * with them. Its directory is a small tmpfs; of what it prints the beginning is
 * kept. Last line: status, signal, whether time was up, whether tasks did not
 * end.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY "/repro"
/* Bytes of output that are passed on. */
#define SHOWN 8192
/* Tasks in the guest, enough for any sandbox; a fork bomb must not fill the
 * memory with stacks, and all of it must be run once more to end. */
#define TASKS "1000"
/* Milliseconds in which some of the killed tasks must be gone. */
#define GRACE 10000

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			dprintf(2, "contain: %s: %s\n", path, strerror(errno));
		close(fd);
	}
}

static _Noreturn void fail(const char *what)
{
	printf("contain: %s: %s\n", what, strerror(errno));
	exit(125);
}

static _Noreturn void contained(char **argv, int out)
{
	int null = open("/dev/null", O_RDONLY);

	/* What it mounts is its own, and ends with it. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 && errno != EINVAL)
		_exit(125);
	mount("proc", "/proc", "proc", 0, NULL);
	put("/proc/self/oom_score_adj", "1000");
	setsid();
	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	/* Process 1 of a namespace has no default actions for signals: it is a parent
   * of the program. */
	pid_t child = fork();
	if (child == 0) {
		if (chdir(DIRECTORY) == 0)
			execv(argv[0], argv);
		dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	for (;;) {
		int status;
		pid_t pid = wait(&status);
		if (pid == child)
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
		if (pid < 0 && errno != EINTR)
			_exit(125);
	}
}

/* Pass on the beginning of what is printed, until the process ends or time is
 * up. */
static int watch(int pidfd, int out, int64_t until)
{
	static char text[SHOWN];
	struct pollfd both[2] = { { .fd = pidfd, .events = POLLIN },
				  { .fd = out, .events = POLLIN } };
	size_t shown = 0;

	for (;;) {
		int64_t left = until - now_ms();
		int ready = poll(both, 2, left > 0 ? left : 0);
		if (ready < 0 && errno == EINTR)
			continue;
		if (both[1].revents & POLLIN) {
			ssize_t got = read(out, text, sizeof(text));
			size_t more = got > 0 ? (size_t)got : 0;
			if (more > SHOWN - shown)
				more = SHOWN - shown;
			fwrite(text, 1, more, stdout);
			shown += more;
		} else if (both[1].revents) {
			both[1].fd = -1;
		}
		if (both[0].revents)
			return 0;
		if (ready <= 0 || now_ms() >= until)
			return 1;
	}
}

/* Where the tasks are that do not end. */
static void show_stacks(void)
{
	DIR *all = opendir("/proc");
	struct dirent *entry;

	while (all && (entry = readdir(all))) {
		char path[300], text[4096];
		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		int fd = atoi(entry->d_name) > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
		if (fd >= 0)
			close(fd);
		text[got > 0 ? got : 0] = '\0';
		const char *state = strrchr(text, ')');
		if (!state || state[2] != 'D')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stack", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
		if (fd >= 0)
			close(fd);
		text[got > 0 ? got : 0] = '\0';
		printf("contain: task %s does not end\n%s", entry->d_name, text);
	}
}

static int count_tasks(void)
{
	DIR *all = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	while (all && (entry = readdir(all)))
		count += atoi(entry->d_name) > 0;
	if (all)
		closedir(all);
	return count;
}

/* Whether a killed process stays. A slow host needs a while to end a fork bomb: as long as there
 * are fewer tasks each time, it is waited for. */
static int stays(int pidfd, int out)
{
	int before, left = count_tasks();

	do {
		if (!watch(pidfd, out, now_ms() + GRACE))
			return 0;
		before = left;
		left = count_tasks();
	} while (left < before);
	return 1;
}

int main(int argc, char **argv)
{
	int out[2], status = 0;

	if (argc < 3) {
		fprintf(stderr, "usage: contain SECONDS PROGRAM\n");
		return 2;
	}
	/* Before all that the program starts, however much that is. */
	struct sched_param first = { .sched_priority = 1 };
	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
	put("/proc/self/oom_score_adj", "-1000");
	put("/proc/sys/kernel/pid_max", TASKS);
	if ((mkdir(DIRECTORY, 0777) != 0 && errno != EEXIST) ||
	    mount("tmpfs", DIRECTORY, "tmpfs", 0, "size=35%,mode=777") != 0)
		fail(DIRECTORY);
	if (pipe2(out, O_CLOEXEC) != 0 || unshare(CLONE_NEWNS | CLONE_NEWPID) != 0)
		fail("namespaces");
	int64_t until = now_ms() + atoi(argv[1]) * 1000LL;
	pid_t child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0)
		contained(argv + 2, out[1]);
	close(out[1]);
	int pidfd = syscall(SYS_pidfd_open, child, 0);
	int late = watch(pidfd, out[0], until);
	kill(child, SIGKILL);
	int stuck = stays(pidfd, out[0]);
	if (stuck)
		show_stacks();
	else
		waitpid(child, &status, 0);
	printf("\ncontain: status=%d signal=%d late=%d stuck=%d\n",
	       WIFEXITED(status) ? WEXITSTATUS(status) : 0,
	       WIFSIGNALED(status) ? WTERMSIG(status) : 0, late, stuck);
	return 0;
}
