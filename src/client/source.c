/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linux takes enclave pages only from mappings that could be made executable.
 * Which those are, a process can see in /proc/self/maps: all but files of a
 * file system mounted noexec.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/statfs.h>

#include "client.h"
#include "source.h"
#include "sys.h"

#define ST_NOEXEC_FLAG 0x0008

static uint64_t parse_hex(const char **p)
{
	uint64_t v = 0;

	for (;; (*p)++) {
		const char c = **p;

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return v;
	}
}

/*
 * The mapping looked at last: loaders add one page at a time, and looking costs
 * more than adding.  Forgotten whenever the program changes its mappings.
 */
struct mapping {
	uint64_t start, end;
};

static __thread struct mapping last;
static __thread unsigned int last_generation;
static _Atomic unsigned int generation;

void source_forget(void)
{
	generation++;
}

/* A reader of lines that needs no libc buffer. */
struct lines {
	int fd;
	size_t used, next;
	char buf[4096 + 512];	/* a line is a path and less than 512 more */
};

static char *next_line(struct lines *l)
{
	for (;;) {
		char *line = l->buf + l->next;
		char *nl = memchr(line, '\n', l->used - l->next);
		long n;

		if (nl) {
			*nl = '\0';
			l->next = (size_t)(nl - l->buf) + 1;
			return line;
		}
		memmove(l->buf, line, l->used - l->next);
		l->used -= l->next;
		l->next = 0;
		n = sys_call(SYS_read, l->fd, (long)(l->buf + l->used),
			     (long)(sizeof(l->buf) - l->used), 0);
		if (n <= 0)
			return NULL;
		l->used += (size_t)n;
	}
}

static bool is_noexec(const char *path)
{
	struct statfs fs;

	return path && sys_call(SYS_statfs, (long)path, (long)&fs, 0, 0) == 0 &&
	       (fs.f_flags & ST_NOEXEC_FLAG);
}

/* Find the mapping of @addr: 0, EFAULT or EACCES. */
static int find_mapping(uint64_t addr, struct mapping *found)
{
	struct lines lines = { .used = 0 };
	char *line;
	long fd = sys_call(SYS_open, (long)"/proc/self/maps", O_RDONLY | O_CLOEXEC, 0, 0);
	int ret = EFAULT;

	if (fd < 0) {
		/* No /proc: let the copy itself decide. */
		*found = (struct mapping){ 0, UINT64_MAX };
		return 0;
	}
	lines.fd = (int)fd;
	while ((line = next_line(&lines))) {
		const char *p = line;
		uint64_t start = parse_hex(&p), end;

		p++;
		end = parse_hex(&p);
		if (addr < start || addr >= end)
			continue;
		*found = (struct mapping){ start, end };
		ret = is_noexec(strchr(p, '/')) ? EACCES : 0;
		break;
	}
	sys_close((int)fd);
	return ret;
}

int source_check(uint64_t addr, uint32_t *size)
{
	const unsigned int now = generation;
	uint32_t ok = 0;

	if (last_generation != now)
		last = (struct mapping){ 0, 0 };
	last_generation = now;
	while (ok < *size) {
		const uint64_t at = addr + ok;

		if (at < last.start || at >= last.end) {
			int error = find_mapping(at, &last);

			if (error) {
				last = (struct mapping){ 0, 0 };
				*size = ok;
				return error;
			}
		}
		if (last.end - addr >= *size)
			return 0;
		ok = (uint32_t)(last.end - addr);
	}
	return 0;
}
