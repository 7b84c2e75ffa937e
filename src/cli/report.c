/* SPDX-License-Identifier: BSD-3-Clause */
/* How a machine was, told by its server at its end. */
#include "cli.h"

void report(const struct server *s)
{
	struct control_leak rows[CONTROL_LEAKS_AT_ONCE];
	struct control_stat stat;
	uint64_t first = 0;
	size_t n;

	server_snapshot(s, &stat);
	fputs("swsgx: report\n", stderr);
	show_stat(stderr, "  ", server_name(s), &stat);
	while ((n = server_leaks(s, first, rows)) > 0) {
		for (size_t i = 0; i < n; i++) {
			fputs("  leak       ", stderr);
			show_leak(stderr, "", &rows[i]);
		}
		first += n;
	}
	fflush(stderr);
}
