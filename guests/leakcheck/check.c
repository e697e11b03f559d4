/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The protocol, as errpath's own slow check has it (docs/leak-verdict.md): come to rest, scan, let
 * every object come of age, scan, scan once more; what both of the last scans report is lost.
 * Stacks of tasks are scanned: on a machine in use, a sleeping task may hold the only pointer.
 * Where nothing is lost so, they are left out, for what was allocated by tasks that have ended
 * since: it was theirs, and what is on another's stack is a pointer that nobody uses any more.
 */
#include "leakcheck.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* A stale pointer may hide one address: then the check is made again with another canary. */
#define ATTEMPTS 3

static void no_verdict(struct finding *finding)
{
	finding->verdict = NO_VERDICT;
}

void check_begin(struct state *state, struct finding *finding)
{
	char *why = finding->why;

	memset(&state->known, 0, sizeof(state->known));
	/* Two scans: the first only notes the checksum of what it has not seen before. */
	if (kmemleak_available(why) || kmemleak_settle(why) || kmemleak_scan(why) ||
	    kmemleak_scan(why) || kmemleak_read(&state->known, why))
		no_verdict(finding);
	state->jiffies = kernel_jiffies();
}

/* Two scans: 0 with what both report, or -errno. */
static int scan_twice(struct records *seen, char *why)
{
	struct records before = { 0 };
	int error = kmemleak_scan(why);

	if (!error)
		error = kmemleak_read(&before, why);
	if (!error)
		error = kmemleak_scan(why);
	if (!error)
		error = kmemleak_read(seen, why);
	if (!error) {
		size_t kept = 0;
		for (size_t i = 0; i < seen->count; i++)
			if (records_find(&before, &seen->all[i]))
				seen->all[kept++] = seen->all[i];
		seen->count = kept;
	}
	records_free(&before);
	return error;
}

static int look(struct records *seen, char *why)
{
	int error = kmemleak_settle(why);

	if (!error)
		error = kmemleak_scan(why);
	if (!error) {
		wait_ms(KMEMLEAK_MIN_AGE_MS);
		error = scan_twice(seen, why);
	}
	return error;
}

/* Whether the task that allocated it in the meantime has ended. An interrupt's has no number. */
static bool orphaned(const struct state *state, const struct record *record)
{
	return state->jiffies && record->jiffies >= state->jiffies && record->pid > 0 &&
	       kill(record->pid, 0) != 0 && errno == ESRCH;
}

/*
 * After look(): everything is old enough. The first scan notes the checksum of what it has not seen
 * without a reference before.
 */
static int look_behind_stacks(const struct state *state, struct records *seen, char *why)
{
	int error = kmemleak_scan_stacks(false, why), restored;
	size_t kept = 0;

	if (!error)
		error = kmemleak_scan(why);
	if (!error)
		error = scan_twice(seen, why);
	restored = kmemleak_scan_stacks(true, error ? NULL : why);
	for (size_t i = 0; !error && i < seen->count; i++)
		if (orphaned(state, &seen->all[i]))
			seen->all[kept++] = seen->all[i];
	seen->count = kept;
	return error ? error : restored;
}

/* Moves to `lost` what is neither a canary's nor was known before. */
static void take_lost(const struct state *state, struct records *seen, struct records *lost)
{
	size_t kept = 0;

	for (size_t i = 0; i < seen->count; i++)
		if (!canary_owns(&seen->all[i]) && !records_find(&state->known, &seen->all[i]))
			seen->all[kept++] = seen->all[i];
	seen->count = kept;
	records_free(lost);
	*lost = *seen;
	memset(seen, 0, sizeof(*seen));
}

void check_end(const struct state *state, struct finding *finding)
{
	bool canary_there, proven = false;
	int error = kmemleak_available(finding->why);

	canary_there = !error && canary_available();
	for (int attempt = 1; !error && !proven && attempt <= (canary_there ? ATTEMPTS : 1);
	     attempt++) {
		struct canary canary;
		struct records seen = { 0 };
		if (canary_there)
			error = canary_plant(&canary, attempt, finding->why);
		if (!error)
			error = look(&seen, finding->why);
		if (!error && canary_there) {
			proven = canary_found(&canary, &seen, finding->why);
			finding->planted = canary.count;
		}
		if (!error)
			take_lost(state, &seen, &finding->lost);
		if (proven && !finding->lost.count) {
			error = look_behind_stacks(state, &seen, finding->why);
			if (!error)
				take_lost(state, &seen, &finding->lost);
			finding->on_stacks = finding->lost.count != 0;
		}
		records_free(&seen);
		/* What is lost is evidence, with a canary and without one. */
		if (finding->lost.count)
			break;
	}
	if (canary_there)
		canary_reap();
	if (!error && !canary_there)
		snprintf(
			finding->why, WHY_MAX,
			"no leak was seen, and nothing proves that one would have been: the module "
			"errpath_canary is not loaded");
	finding->verdict = finding->lost.count ? LEAKED : proven && !error ? CLEAN : NO_VERDICT;
}
