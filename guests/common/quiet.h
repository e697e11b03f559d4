/* SPDX-License-Identifier: GPL-2.0-only */
/* What a leak check needs of the kernel before it scans. */
#ifndef ERRPATH_QUIET_H
#define ERRPATH_QUIET_H

/*
 * Lets the kernel finish what it put off: dirty pages are written, caches that hold objects only
 * for reuse give them back, requests of disks take other bios, and two RCU grace periods pass. 0,
 * or -errno with `what` that failed.
 */
int settle_kernel(const char **what);

/*
 * Stacks of dead tasks are kept for reuse (kernel/fork.c, cached_stacks) and scanned, with the
 * pointer to what the task has just leaked. One is cleared when a new task takes it, so more tasks
 * at once than stacks are kept clear them all. 0 or -errno.
 */
int clear_dead_stacks(void);

#endif
