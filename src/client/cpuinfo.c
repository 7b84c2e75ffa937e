/* SPDX-License-Identifier: BSD-3-Clause */
/* /proc/cpuinfo, as the kernel of a machine with SGX shows it: with its flags. */
#include <string.h>

#include "client.h"
#include "proc.h"

static bool has_word(const char *line, size_t size, const char *word)
{
	const size_t n = strlen(word);
	const char *at = line;

	while ((at = memmem(at, size - (size_t)(at - line), word, n))) {
		if (at > line && (at[-1] == ' ' || at[-1] == '\t') &&
		    (at + n == line + size || at[n] == ' '))
			return true;
		at += n;
	}
	return false;
}

static void write_line(long fd, const char *line, size_t size)
{
	const char *const names[] = { "sgx", client_has_launch_control() ? "sgx_lc" : NULL };

	proc_write(fd, line, size);
	if (strncmp(line, "flags\t", 6))
		return;
	for (size_t i = 0; i < 2 && names[i]; i++)
		if (!has_word(line, size, names[i])) {
			proc_write(fd, " ", 1);
			proc_write(fd, names[i], strlen(names[i]));
		}
}

void cpuinfo_write(long fd, const char *text)
{
	while (*text) {
		const size_t size = strcspn(text, "\n");

		write_line(fd, text, size);
		text += size;
		if (*text) {
			proc_write(fd, "\n", 1);
			text++;
		}
	}
}
