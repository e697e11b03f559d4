// SPDX-License-Identifier: GPL-2.0-only
/*
 * Puts functions of an unmodified kernel on the error-injection list.
 *
 * The list takes entries from every module's _error_injection_whitelist section when the module is
 * loaded (lib/error-inject.c), and an entry is only an address and a type. This module is nothing
 * but such a section: before it is loaded, the host fills in the addresses of the running guest and
 * cuts the section to the number of entries (harness/errpath/faults/injection_list.py).
 */
#include <linux/error-injection.h>
#include <linux/module.h>

#define CAPACITY 256

static struct error_injection_entry targets[CAPACITY] __used
	__section("_error_injection_whitelist") = {
	/* Anything but zeroes, so that the section has bytes in the file. */
	[0 ... CAPACITY - 1] = { .addr = ~0UL, .etype = EI_ETYPE_ERRNO },
};

static int __init targets_init(void)
{
	return 0;
}

static void __exit targets_exit(void)
{
}

module_init(targets_init);
module_exit(targets_exit);
MODULE_DESCRIPTION("Error-injection targets for errpath");
MODULE_LICENSE("GPL");
