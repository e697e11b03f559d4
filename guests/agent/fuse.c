/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server behind a fuseblk mount: an empty root directory, and nothing else.
 *
 * The kernel asks it to begin (FUSE_INIT, sent while the mount is made and answered when it is),
 * for the root's attributes, to sync, and to end (FUSE_DESTROY at the umount).
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_MS 5000

union request {
	struct fuse_in_header header;
	/* The kernel refuses to fill less, see fuse_dev_do_read(). */
	char bytes[FUSE_MIN_READ_BUFFER + 4096];
};

struct reply {
	struct fuse_out_header header;
	union {
		struct fuse_init_out init;
		struct fuse_attr_out attr;
		struct fuse_statfs_out statfs;
	};
};

/* The size of what follows the header, or -errno of the request; -ENOMSG: it wants no reply. */
static int answer(const union request *request, struct reply *reply)
{
	switch (request->header.opcode) {
	case FUSE_INIT:
		reply->init.major = FUSE_KERNEL_VERSION;
		reply->init.minor = FUSE_KERNEL_MINOR_VERSION;
		reply->init.max_write = 4096;
		return sizeof(reply->init);
	case FUSE_GETATTR:
		reply->attr.attr.ino = FUSE_ROOT_ID;
		reply->attr.attr.mode = S_IFDIR | 0755;
		reply->attr.attr.nlink = 2;
		return sizeof(reply->attr);
	case FUSE_STATFS:
		reply->statfs.st.bsize = reply->statfs.st.frsize = 512;
		reply->statfs.st.namelen = 255;
		return sizeof(reply->statfs);
	case FUSE_SYNCFS:
	case FUSE_DESTROY:
		return 0;
	case FUSE_LOOKUP:
		return -ENOENT;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return -ENOMSG;
	default:
		return -ENOSYS;
	}
}

/* Takes one request and answers it; 0 or -errno, -ENODEV after the umount. */
static int serve_one(int device)
{
	static union request request;
	struct reply reply;
	ssize_t got;

	do
		got = read(device, &request, sizeof(request));
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	memset(&reply, 0, sizeof(reply));
	int size = answer(&request, &reply);
	if (size == -ENOMSG)
		return 0;
	reply.header.unique = request.header.unique;
	reply.header.error = size < 0 ? size : 0;
	reply.header.len = sizeof(reply.header) + (size < 0 ? 0 : size);
	/* ENOENT: whoever asked does not wait any more. */
	return write(device, &reply, reply.header.len) < 0 && errno != ENOENT ? -errno : 0;
}

int fuse_open(void)
{
	int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	return device < 0 ? -errno : device;
}

static _Noreturn void serve(int device)
{
	int error = 0;

	if (device > 0)
		syscall(SYS_close_range, 0, device - 1, 0);
	syscall(SYS_close_range, device + 1, ~0u, 0);
	write_text("/proc/self/make-it-fail", "0");
	while (!error)
		error = serve_one(device);
	_exit(error != -ENODEV);
}

pid_t fuse_serve(int device)
{
	int gate[2];
	char byte;
	int error = serve_one(device);

	if (error)
		return error;
	if (pipe2(gate, O_CLOEXEC) != 0)
		return -errno;
	/* Not fork(): it takes locks of a memory that the agent shares with this task. */
	pid_t pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		serve(device);
	error = pid < 0 ? -errno : 0;
	/*
	 * It must have let go of what it inherited. The fs_context is among that: if the server
	 * were the last to close it, it would end the superblock, and wait for its own answer to
	 * FUSE_DESTROY.
	 */
	close(gate[1]);
	while (!error && read(gate[0], &byte, 1) < 0)
		error = errno == EINTR ? 0 : -errno;
	close(gate[0]);
	return error ? error : pid;
}

int fuse_ended(pid_t pid)
{
	struct pollfd server = { .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };

	if (server.fd < 0)
		return errno == ESRCH ? 0 : -errno;
	int ready = poll(&server, 1, END_MS);
	close(server.fd);
	if (ready == 1)
		waitpid(pid, NULL, 0);
	return ready == 1 ? 0 : -ETIMEDOUT;
}
