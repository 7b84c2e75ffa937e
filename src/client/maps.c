/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * /proc/self/maps: the host shows memory files, cut up by the rights of their
 * pages, and our own second view of them.  Shown instead is what the program
 * mapped, as Linux does.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "client.h"
#include "files.h"
#include "proc.h"
#include "sys.h"

#define PATH_COLUMN 73
#define MEMORY_FILES "/memfd:sgx_enclave"	/* of src/server/memory.c */

struct device_mapping {
	uint64_t start, end, offset;
	int prot;
	bool is_vepc;
};

/* The first that ends after @addr. */
static bool next_mapping(uint64_t addr, struct device_mapping *m)
{
	const struct client_vma *vma;
	uint64_t saved;

	client_lock(&saved);
	vma = client_vma_next(addr);
	if (vma)
		*m = (struct device_mapping){
			.start = vma->start,
			.end = vma->end,
			.offset = vma->start + vma->file_shift,
			.prot = vma->prot,
			.is_vepc = vma->encl->vepc_id,
		};
	client_unlock(&saved);
	return vma;
}

static void write_mapping(long fd, const struct device_mapping *m)
{
	const char *path = m->is_vepc ? "/dev/sgx_vepc" : "/dev/sgx_enclave";
	struct stat st = { 0 };
	char line[160];
	int n;

	file_stat(file_named(path), &st);
	n = snprintf(line, sizeof(line), "%08" PRIx64 "-%08" PRIx64 " %c%c%cs %08" PRIx64
		     " %02x:%02x %lu ", m->start, m->end, m->prot & PROT_READ ? 'r' : '-',
		     m->prot & PROT_WRITE ? 'w' : '-', m->prot & PROT_EXEC ? 'x' : '-', m->offset,
		     major(st.st_dev), minor(st.st_dev), (unsigned long)st.st_ino);
	n += snprintf(line + n, sizeof(line) - (size_t)n, "%*s%s\n",
		      n < PATH_COLUMN ? PATH_COLUMN - n : 0, "", path);
	proc_write(fd, line, (size_t)n);
}

/* Part of a line of the host's, unless it is memory the program did not map. */
static void write_host(long fd, uint64_t start, uint64_t end, const char *rest, size_t size)
{
	char range[48];

	if (memmem(rest, size, MEMORY_FILES, strlen(MEMORY_FILES)))
		return;
	proc_write(fd, range, (size_t)snprintf(range, sizeof(range), "%08" PRIx64 "-%08" PRIx64,
					       start, end));
	proc_write(fd, rest, size);
}

/* A line of the host's from @start to @end; @shown: the end of what is written already. */
static void write_line(long fd, uint64_t start, uint64_t end, const char *rest, size_t size,
		       uint64_t *shown)
{
	struct device_mapping m;

	while (start < end) {
		if (!next_mapping(start, &m) || m.start >= end) {
			write_host(fd, start, end, rest, size);
			return;
		}
		if (m.start > start)
			write_host(fd, start, m.start, rest, size);
		if (m.end > *shown) {
			write_mapping(fd, &m);
			*shown = m.end;
		}
		start = m.end;
	}
}

void maps_write(long fd, const char *text)
{
	uint64_t start, end, shown = 0;

	while (*text) {
		const size_t size = strcspn(text, "\n") + 1;
		int n = 0;

		if (sscanf(text, "%" SCNx64 "-%" SCNx64 "%n", &start, &end, &n) == 2)
			write_line(fd, start, end, text + n, size - (size_t)n, &shown);
		text += size;
	}
}
