/* SPDX-License-Identifier: GPL-2.0-only */
/* Prints the records of kmemleak's text on standard input, as errpath-leakcheck reads them. */
#include "leakcheck.h"

#include <unistd.h>

int main(int argc, char **argv)
{
	struct records records = { 0 };

	if (read_to_end(STDIN_FILENO, &records.text) || records_parse(&records))
		return 2;
	for (size_t i = 0; i < records.count; i++) {
		const struct record *one = &records.all[i];
		printf("%lx %zu %d %lu %d %s\n", one->address, one->size, one->pid, one->jiffies,
		       argc > 1 && record_has_frame(one, argv[1]), one->task);
	}
	return 0;
}
