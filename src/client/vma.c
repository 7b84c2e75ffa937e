/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which parts of this address space are mappings of an enclave's descriptor: a
 * sorted array of intervals that do not overlap.  The kernel knows only memory
 * files and effective rights; what the program asked for is kept here.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"
#include "sys.h"

/* The first table is not in memory of its own: the program may map over that. */
static struct client_vma first_table[128];
static struct client_vma *vmas = first_table;
static size_t nr_vmas, capacity = sizeof(first_table) / sizeof(first_table[0]);

bool client_vma_any(void)
{
	return __atomic_load_n(&nr_vmas, __ATOMIC_RELAXED);
}

static _Atomic uint64_t generation = 1;

uint64_t client_vma_generation(void)
{
	return atomic_load_explicit(&generation, memory_order_acquire);
}

void client_vma_changed(void)
{
	atomic_fetch_add_explicit(&generation, 1, memory_order_release);
}

/* Index of the first interval that ends after @addr. */
static size_t lower_bound(uint64_t addr)
{
	size_t lo = 0, hi = nr_vmas;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (vmas[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct client_vma *client_vma_next(uint64_t addr)
{
	const size_t i = lower_bound(addr);

	return i < nr_vmas ? &vmas[i] : NULL;
}

const struct client_vma *client_vma_find(uint64_t addr)
{
	const struct client_vma *vma = client_vma_next(addr);

	return vma && vma->start <= addr ? vma : NULL;
}

static int reserve(size_t n)
{
	const size_t size = capacity * 2;
	struct client_vma *new;

	if (nr_vmas + n <= capacity)
		return 0;
	new = sys_mmap(NULL, size * sizeof(*new), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_error(new))
		return -ENOMEM;
	memcpy(new, vmas, nr_vmas * sizeof(*new));
	if (vmas != first_table)
		sys_munmap(vmas, capacity * sizeof(*vmas));
	vmas = new;
	capacity = size;
	return 0;
}

static void insert(size_t i, const struct client_vma *vma)
{
	memmove(&vmas[i + 1], &vmas[i], (nr_vmas - i) * sizeof(*vmas));
	vmas[i] = *vma;
	nr_vmas++;
	vma->encl->nr_vmas++;
}

static void remove_at(size_t i)
{
	vmas[i].encl->nr_vmas--;
	memmove(&vmas[i], &vmas[i + 1], (nr_vmas - i - 1) * sizeof(*vmas));
	nr_vmas--;
}

/* Clearing cannot fail: without memory for it the upper part is given up. */
static void split(size_t i, uint64_t start, uint64_t end)
{
	struct client_vma upper = vmas[i];

	upper.start = end;
	vmas[i].end = start;
	if (reserve(1) == 0)
		insert(i + 1, &upper);
}

void client_vma_clear(uint64_t start, uint64_t end)
{
	size_t i = lower_bound(start);

	client_vma_changed();
	while (i < nr_vmas && vmas[i].start < end) {
		struct client_vma *vma = &vmas[i];

		if (vma->start < start && vma->end > end) {
			split(i, start, end);
			return;
		}
		if (vma->start < start) {
			vma->end = start;
			i++;
		} else if (vma->end > end) {
			vma->start = end;
			return;
		} else {
			remove_at(i);
		}
	}
}

int client_vma_set(const struct client_vma *vma)
{
	const struct client_vma new = *vma;
	/* One for it, one for a split by it. */
	int ret = reserve(2);

	if (ret)
		return ret;
	client_vma_clear(new.start, new.end);
	insert(lower_bound(new.start), &new);
	return 0;
}
