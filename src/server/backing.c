/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for pages that were written out: pages of one large, sparse mapping,
 * so that neither alignment nor many mappings cost anything.  What is free is
 * given back to the system, but for a few pages that are likely to be needed again:
 * where one page is written out for each that comes back, the system is not asked.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define NONE UINT32_MAX

#define MIN_PAGES 1024u

static bool reserve(struct backing *b)
{
	b->pages = mmap(NULL, (size_t)b->nr_pages * SGX_PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	b->next = mmap(NULL, (size_t)b->nr_pages * sizeof(*b->next), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (b->pages != MAP_FAILED && b->next != MAP_FAILED)
		return true;
	backing_finish(b);
	b->pages = NULL;
	b->next = NULL;
	return false;
}

int backing_init(struct backing *b)
{
	const uint64_t host_pages = (uint64_t)sysconf(_SC_PHYS_PAGES);

	/* More than the host has memory for is never needed. */
	b->nr_pages = host_pages < NONE ? (uint32_t)host_pages : NONE;
	b->free_head = NONE;
	pthread_mutex_init(&b->lock, NULL);
	/* We may be allowed less: then pages stay in EPC sooner. */
	while (!reserve(b)) {
		if (b->nr_pages <= MIN_PAGES)
			return -ENOMEM;
		b->nr_pages /= 2;
	}
	return 0;
}

void backing_finish(struct backing *b)
{
	if (b->pages && b->pages != MAP_FAILED)
		munmap(b->pages, (size_t)b->nr_pages * SGX_PAGE_SIZE);
	if (b->next && b->next != MAP_FAILED)
		munmap(b->next, (size_t)b->nr_pages * sizeof(*b->next));
}

void *backing_alloc(struct backing *b)
{
	uint32_t i = NONE;

	pthread_mutex_lock(&b->lock);
	if (b->nr_kept) {
		i = b->kept[--b->nr_kept];
	} else if (b->free_head != NONE) {
		i = b->free_head;
		b->free_head = b->next[i];
	} else if (b->nr_used < b->nr_pages) {
		i = b->nr_used++;
	}
	pthread_mutex_unlock(&b->lock);
	return i == NONE ? NULL : b->pages + (size_t)i * SGX_PAGE_SIZE;
}

static bool keep(struct backing *b, uint32_t i)
{
	bool kept;

	pthread_mutex_lock(&b->lock);
	kept = b->nr_kept < BACKING_MAX_KEPT;
	if (kept)
		b->kept[b->nr_kept++] = i;
	pthread_mutex_unlock(&b->lock);
	return kept;
}

void backing_free(struct backing *b, void *p)
{
	const uint32_t i = (uint32_t)(((uint8_t *)p - b->pages) / SGX_PAGE_SIZE);

	if (keep(b, i))
		return;
	madvise(p, SGX_PAGE_SIZE, MADV_DONTNEED);
	pthread_mutex_lock(&b->lock);
	b->next[i] = b->free_head;
	b->free_head = i;
	pthread_mutex_unlock(&b->lock);
}
