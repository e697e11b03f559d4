/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The in-guest agent: a static program that carries out a fixed table of verbs for the host.
 *
 * Wire format, both directions, on the virtio-serial port "errpath.agent": two big-endian u32, the
 * length of the JSON text and the length of the blob, then the JSON, then the blob. A request is
 * {"id": n, "verb": "…", …}; its reply repeats the id and has either "ok": true and the verb's
 * results or "error": {"errno": n, "what": "…"}. Nothing on this wire is ever handed to a shell.
 */
#ifndef ERRPATH_AGENT_H
#define ERRPATH_AGENT_H

#include "files.h"

#include <jansson.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A verb reads its arguments from `request` and `in`, and adds its results to `reply` and `out`.
 * It returns 0 or -errno; with -errno, `what` is the operation that failed.
 */
struct call {
	json_t *request;
	struct blob in;
	json_t *reply;
	struct blob out;
	char what[256];
};

typedef int (*verb_fn)(struct call *call);

/* init.c */
void init_mounts(void);
_Noreturn void init_supervise(int (*agent_main)(void));
/* Ends this agent; process 1 takes `successor` for the agent from now on. */
_Noreturn void init_hand_over(pid_t successor);

/* channel.c */
int channel_open(void);
int channel_receive(int port, json_t **request, struct blob *in);
int channel_send(int port, json_t *message, const struct blob *out);

/* files.c */
int verb_file_read(struct call *call);
int verb_file_write(struct call *call);
int verb_module_load(struct call *call);
int verb_module_unload(struct call *call);
int verb_exec(struct call *call);
int verb_dmesg(struct call *call);
int verb_symbols(struct call *call);

/* device.c */
struct device {
	char path[32];
	int number;  /* loop device, -1 without one */
	int held;    /* descriptor that holds the device exclusively, -1 without one */
	int sized;   /* descriptor that keeps a block size set by ioctl, -1 without one */
	int backing; /* the file behind the loop device, -1 without one */
};

#define DEVICES_MAX 8

struct devices {
	struct device first;
	struct named {
		struct device device;
		char link[64];
	} others[DEVICES_MAX];
	size_t count; /* of the others */
};

int verb_image_put(struct call *call);
int verb_image_drop(struct call *call);
/* "device" of the request, which is mounted, and "devices", each with a name. */
int devices_attach(struct call *call, struct devices *devices);
/* What the device holds, as a file; or -errno. */
int device_keep(const struct device *device);
/* Writes that back; the device must not be in use. */
int device_restore(const struct device *device, int kept);
/* What the first device held before the case, as a file; or -errno. */
int device_original(struct call *call);
/* Whether anybody has written to the file behind a device since it was attached; or -errno. */
int device_written(int backing);
/* 0, or -EBUSY where somebody still holds a device: a leak that kmemleak cannot see. */
int devices_detach(struct devices *devices);

/* changes.c */
/*
 * Adds to the reply which sectors of `now` differ from what the first device held before the
 * case, and appends their bytes to its blob.
 */
int changes_reply(struct call *call, int now);

/* steps.c: what a case's own task does. */
#define STEPS_MAX 512
#define LOG_MAX 2048
#define STEP_ROOT "/mnt"

struct pair;

struct step_context {
	const struct device *device; /* what is mounted */
	int report;		     /* where a walk reports to, -1 where no step walks */
	const struct pair *pair;     /* a second task beside this one, or NULL */
};

struct step_result {
	int begun, done;
	int error;	   /* errno, 0 for success */
	int fired;	   /* how often its own fault has hit so far, -1 without one */
	char syscall[24];  /* the call that gave `error`, or the last one */
	char log[LOG_MAX]; /* the fs_context's own log, lines ended by \n */
};

/* 0, or -errno where the step could not even be tried. */
int step_run(json_t *step, const struct step_context *context, struct step_result *result);

/* fuse.c: the server of a fuseblk mount; each gives -errno where it fails. */
int fuse_open(void);
/* Called once the superblock is there; the process that serves it until its umount. */
pid_t fuse_serve(int device);
/* Waits until that process has seen the umount and has ended. */
int fuse_ended(pid_t pid);

/* directory.c: entries of a directory, without malloc. */
struct directory;

/* NULL with errno set; at most DIRECTORIES_MAX are open at a time. */
struct directory *directory_open(const char *path);
/* The next name but "." and ".."; NULL at the end with errno 0, or where reading failed. */
const char *directory_next(struct directory *directory);
void directory_close(struct directory *directory);
/* Forgets those that an earlier task left open. */
void directory_reset(void);

#define DIRECTORIES_MAX 32

/* walk.c: both give a positive errno or 0. */
int walk_tree(const char *root, int out);
int write_probe(const char *root, char *log, size_t size);

/* volume.c: a step in what is mounted at `root`; -EOPNOTSUPP where there is no such operation. */
int volume_step(json_t *step, const char *root, struct step_result *result);
/* Thaws what a case has left frozen. */
void volume_thaw(const char *root);

/* coverage.c */
struct coverage {
	int file;	/* -1: none is wanted */
	uint64_t *area; /* a count and so many addresses; NULL: none is wanted */
	int edges;	/* pairs of addresses are wanted */
};

int coverage_open(struct call *call, struct coverage *coverage);
int coverage_enable(const struct coverage *coverage);
/* Appends the addresses, or the pairs of them, each once, to the reply's blob. */
int coverage_take(struct call *call, struct coverage *coverage);

/* injector.c: each gives 0 or -errno. */
int injector_set(struct call *call, json_t *fault);
/* In the case's task, around a step that the fault is for. */
int injector_begin(void);
int injector_end(void);
/* Adds to the reply how often the fault hit. */
int injector_take(struct call *call, json_t *fault);
int verb_fault_clear(struct call *call);

/* kmsg.c */
struct messages {
	char *text;   /* lines, each ended by \n */
	char *levels; /* a digit a line: its level, 0 (emergency) to 7 (debug) */
	size_t used, lines, room;
	uint64_t lost; /* records that were overwritten before they were read */
};

/* From now on the log is read without a gap. */
int kmsg_open(struct call *call);
int kmsg_file(void);
/* Appends what was printed since the last call. */
int kmsg_read(struct messages *messages);
/* Moves them to the reply as `key`, `key`_levels and, where some are lost, `key`_lost. */
void kmsg_reply(struct call *call, const char *key, struct messages *messages);

/* points.c: faults of single steps; each gives 0 or -errno. */
int points_open(struct call *call, json_t *steps);
/* After the case's devices are detached. */
int points_close(void);
/* In the case's task, around a step. */
int points_begin(json_t *step);
int points_end(json_t *step);
/* How often the fault of a step that was armed last has hit; -1 for a step without one. */
int points_fired(json_t *step);

/* use.c */
int use_tree(const char *root, int writes);

/* counts.c */
/*
 * Adds to the reply the text of each source that has changed since the last call; with `whole`, of
 * every one; with `settle`, once the kernel has given back what waits for RCU or for reclaim.
 */
void counts_reply(struct call *call, int whole, int settle);
int verb_counts(struct call *call);

/* How a task has stood still. */
struct standstill {
	pid_t pid;
	int patience_ms;
	int any_sleep;		/* also one from which a signal would wake it */
	unsigned long switches; /* how often it has given up the processor, or lost it */
	int64_t since;
	int over; /* for as long as there is patience */
};

/* case.c */
int verb_case_run(struct call *call);
/*
 * Whether the task has slept for so long without being woken once, while no other task of the
 * kernel was runnable: nothing will wake it.
 */
int stands_still(struct standstill *still);
/* What a step gave, for the reply. */
json_t *step_reply(const struct step_result *result);

/* pair.c: a second task, which runs while a step of the case's own waits in a function. */
#define PAIR_FILES 3

struct pair {
	int active; /* whether any step of the case waits */
	json_t *steps;
	const char *name;
	const struct device *device;
	int control, state; /* of the module errpath_wait */
	int done[2], go[2]; /* the first is over with its step; it may begin the next */
	int step;	    /* the one that waits or has waited, -1 before that */
	int over;	    /* the first is over with it */
	int went, waited;   /* the first went on; because the second waited for it */
	size_t before;	    /* steps of the second that had ended then */
	pid_t pid;	    /* the second */
	int pidfd;	    /* -1 where there is none */
	int stuck;	    /* it does not die */
	struct standstill still;
	struct step_result *results; /* shared with it */
	json_t *told;		     /* what each second task did */
	char missed[16];	     /* why a step did not wait */
};

int pair_open(struct call *call, json_t *steps, const struct device *device, struct pair *pair);
/* In the case's task, around a step; the latter waits until the second task has ended. */
int pair_begin(const struct pair *pair, json_t *step);
int pair_end(const struct pair *pair, json_t *step);
/* In the agent: what to poll for, and what is to be done then. */
void pair_poll(const struct pair *pair, struct pollfd *files);
int pair_attend(struct pair *pair, const struct pollfd *files, const struct step_result *results);
/* How long to poll at most, where it would be `every` milliseconds otherwise. */
int pair_every_ms(const struct pair *pair, int every);
/* Which of the two the case waits for. */
pid_t pair_slow(const struct pair *pair, pid_t first);
/* The case's time is up: ends the second, and lets the first go on. */
void pair_interrupt(struct pair *pair);
/* Adds to the reply what second tasks did. */
int pair_close(struct call *call, struct pair *pair);

/* system.c */
int verb_sleep(struct call *call);
int verb_quiesce(struct call *call);
int verb_poweroff(struct call *call);

#endif
