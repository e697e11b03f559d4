/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * errpath-leakcheck: whether kernel memory was lost between two points in time, with a proof that
 * it would have been seen. For any machine with kmemleak; nothing else of errpath is needed.
 */
#ifndef ERRPATH_LEAKCHECK_H
#define ERRPATH_LEAKCHECK_H

#include "files.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define NAME_MAX_BYTES 256
#define WHY_MAX 512

/* Exit statuses. */
enum verdict {
	CLEAN = 0,
	LEAKED = 1,
	NO_VERDICT = 2,
};

/* records.c: kmemleak's text (mm/kmemleak.c, print_unreferenced()). */
struct record {
	uint64_t address, jiffies;
	size_t size; /* bytes of the object */
	pid_t pid;
	char task[32];
	const char *text; /* in the text that was parsed, `length` bytes */
	size_t length;
};

struct records {
	struct record *all;
	size_t count;
	struct blob text;
};

/* 0, or -EBADMSG where a line fits no known form: better no verdict than a record overlooked. */
int records_parse(struct records *records);
/* Whether one of the record's frames is `function`. */
bool record_has_frame(const struct record *record, const char *function);
/* The record of the same object, or NULL: an address may be used again, at another time. */
const struct record *records_find(const struct records *records, const struct record *record);
void records_free(struct records *records);

/* kmemleak.c: each gives 0 or -errno, and says in `why` what is the matter. */
int kmemleak_available(char *why);
int kmemleak_settle(char *why);
int kmemleak_scan(char *why);
/* Whether the next scans go through the stacks of tasks, as they do unless somebody says no. */
int kmemleak_scan_stacks(bool scanned, char *why);
int kmemleak_read(struct records *records, char *why);
void wait_ms(long ms);
/* Objects that are younger are not reported; milliseconds (MSECS_MIN_AGE of mm/kmemleak.c). */
#define KMEMLEAK_MIN_AGE_MS 5050
/* The kernel's jiffies now, 0 where nothing tells. */
uint64_t kernel_jiffies(void);

/* canary.c */
#define CANARY_SIZES_MAX 32

struct canary {
	size_t sizes[CANARY_SIZES_MAX], count;
	char task[16]; /* that planted it */
};

bool canary_available(void);
/* Leaks one object of each size, on purpose: 0 or -errno. */
int canary_plant(struct canary *canary, int attempt, char *why);
/* Clears what sleeping tasks no longer use of their stacks, where the module is and can do it. */
void canary_clear_stacks(void);
bool canary_owns(const struct record *record);
/* Whether every planted object is among them; if not, `why` has which. */
bool canary_found(const struct canary *canary, const struct records *records, char *why);
/* Frees everything that was planted. */
void canary_reap(void);

/* state.c: what `begin` leaves for `end`. */
struct state {
	char name[NAME_MAX_BYTES];
	uint64_t jiffies; /* at the beginning; 0: not known */
	struct records known;
};

int state_save(const char *path, const struct state *state);
/* Reads it and removes it. */
int state_take(const char *path, struct state *state);

/* check.c */
struct finding {
	enum verdict verdict;
	char why[WHY_MAX]; /* of no verdict */
	struct records lost;
	bool on_stacks; /* what is lost has stale pointers on the stacks of tasks */
	size_t planted; /* objects of the canary that was found */
};

void check_begin(struct state *state, struct finding *finding);
void check_end(const struct state *state, struct finding *finding);

/* report.c */
struct report_options {
	bool ktap, kmsg;
};

void report(const struct report_options *options, const struct state *state,
	    const struct finding *finding);

#endif
