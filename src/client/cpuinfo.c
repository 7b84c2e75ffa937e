/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /proc/cpuinfo, as the kernel of a machine with SGX shows it: a copy of the
 * host's in memory, with the flags of SGX added.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"
#include "files.h"
#include "sys.h"

#define CPUINFO "/proc/cpuinfo"
#define CHUNK 65536u

bool cpuinfo_is_named(const char *path, int flags)
{
	if (!path || strcmp(path, CPUINFO) || (flags & O_ACCMODE) != O_RDONLY ||
	    (flags & (O_PATH | O_DIRECTORY | O_CREAT)))
		return false;
	client_start();
	return client_is_active();
}

/* The host's, to be freed; NULL when it cannot be read. */
static char *read_host(size_t *size)
{
	const long fd = sys_call(SYS_openat, AT_FDCWD, (long)CPUINFO, O_RDONLY | O_CLOEXEC, 0);
	char *text = NULL, *larger;
	long n = fd < 0 ? fd : 1;

	*size = 0;
	while (n > 0) {
		larger = realloc(text, *size + CHUNK + 1);
		if (!larger)
			break;
		text = larger;
		n = sys_call(SYS_read, fd, (long)(text + *size), CHUNK, 0);
		if (n >= 0)
			text[*size += (size_t)n] = '\0';
	}
	if (fd >= 0)
		sys_close((int)fd);
	if (!n)
		return text;
	free(text);
	return NULL;
}

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

static void write_all(long fd, const char *text, size_t size)
{
	while (size) {
		const long n = sys_call(SYS_write, fd, (long)text, (long)size, 0);

		if (n <= 0)
			return;
		text += n;
		size -= (size_t)n;
	}
}

static void write_line(long fd, const char *line, size_t size)
{
	const char *const names[] = { "sgx", client_has_launch_control() ? "sgx_lc" : NULL };

	write_all(fd, line, size);
	if (strncmp(line, "flags\t", 6))
		return;
	for (size_t i = 0; i < 2 && names[i]; i++)
		if (!has_word(line, size, names[i])) {
			write_all(fd, " ", 1);
			write_all(fd, names[i], strlen(names[i]));
		}
}

static void write_text(long fd, const char *text)
{
	while (*text) {
		const size_t size = strcspn(text, "\n");

		write_line(fd, text, size);
		text += size;
		if (*text) {
			write_all(fd, "\n", 1);
			text++;
		}
	}
}

/* The same file from its start, to be read only. */
static long reopen(long fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%ld", fd);
	return sys_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | (flags & O_CLOEXEC), 0);
}

int cpuinfo_open(int flags)
{
	size_t size;
	char *text = read_host(&size);
	long fd, copy;

	if (!text)
		return -ENOENT;
	copy = sys_call(SYS_memfd_create, (long)"cpuinfo", MFD_CLOEXEC, 0, 0);
	if (copy < 0) {
		free(text);
		return (int)copy;
	}
	write_text(copy, text);
	free(text);
	fd = reopen(copy, flags);
	sys_close((int)copy);
	return (int)fd;
}
