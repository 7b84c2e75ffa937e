/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files of /proc that look different on a machine with SGX.  Who opens one gets
 * a copy in memory of what the host says, changed as each of them wants it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"
#include "files.h"
#include "proc.h"
#include "sys.h"

#define CHUNK 65536u

typedef void (*writer_fn)(long fd, const char *text);

static bool is_own_maps(const char *path)
{
	char by_number[32];

	if (!strcmp(path, "/proc/self/maps") || !strcmp(path, "/proc/thread-self/maps"))
		return true;
	snprintf(by_number, sizeof(by_number), "/proc/%ld/maps",
		 sys_call(SYS_getpid, 0, 0, 0, 0));
	return !strcmp(path, by_number);
}

static writer_fn writer_of(const char *path)
{
	if (!strcmp(path, "/proc/cpuinfo"))
		return cpuinfo_write;
	return is_own_maps(path) ? maps_write : NULL;
}

bool proc_is_among_ours(const char *path, int flags)
{
	if (strncmp(path, "/proc/", 6) || (flags & O_ACCMODE) != O_RDONLY ||
	    (flags & (O_PATH | O_DIRECTORY | O_CREAT)) || !writer_of(path))
		return false;
	client_start();
	return client_is_active();
}

/* The host's, to be freed; NULL when it cannot be read. */
static char *read_host(const char *path)
{
	const long fd = sys_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
	char *text = NULL, *larger;
	long n = fd < 0 ? fd : 1;
	size_t size = 0;

	while (n > 0) {
		larger = realloc(text, size + CHUNK + 1);
		if (!larger)
			break;
		text = larger;
		n = sys_call(SYS_read, fd, (long)(text + size), CHUNK, 0);
		if (n >= 0)
			text[size += (size_t)n] = '\0';
	}
	if (fd >= 0)
		sys_close((int)fd);
	if (!n)
		return text;
	free(text);
	return NULL;
}

void proc_write(long fd, const char *text, size_t size)
{
	while (size) {
		const long n = sys_call(SYS_write, fd, (long)text, (long)size, 0);

		if (n <= 0)
			return;
		text += n;
		size -= (size_t)n;
	}
}

/* The same file from its start, to be read only. */
static long reopen(long fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%ld", fd);
	return sys_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | (flags & O_CLOEXEC), 0);
}

int proc_open(const char *path, int flags)
{
	char *text = read_host(path);
	long fd, copy;

	if (!text)
		return -ENOENT;
	copy = sys_call(SYS_memfd_create, (long)strrchr(path, '/') + 1, MFD_CLOEXEC, 0, 0);
	if (copy < 0) {
		free(text);
		return (int)copy;
	}
	writer_of(path)(copy, text);
	free(text);
	fd = reopen(copy, flags);
	sys_close((int)copy);
	return (int)fd;
}
