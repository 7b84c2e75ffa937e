/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the allocators of the bench share: the work one thread does, compiled
 * anew for each, so that nobody pays for a call its users would not make.
 */
#ifndef SWSGX_BENCH_ALLOC_H
#define SWSGX_BENCH_ALLOC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "timing.h"

#define NR_HELD 1024u		/* per thread; a power of two */
/* Per thread and round: long beside the start of the threads, less than a time slice of theirs. */
#define NR_PAIRS 20000u
#define NR_SLOTS (1u << 16)

/* Slots to replace, the same for all. */
extern uint16_t slots[NR_SLOTS];

struct worker {
	const struct allocator *a;
	atomic_uint *late;	/* threads that are not ready to start */
	pthread_t thread;
	unsigned int nr;
	void *held[NR_HELD];
	double start, end;	/* by the clock on the wall, in ns */
	bool disturbed;		/* it did not run all the time */
};

struct allocator {
	const char *name;
	void *ctx;
	/* Sets the worker's results.  Called in a thread of its own. */
	void (*churn)(struct worker *w, void *ctx);
};

/*
 * Fill held[], then again and again give a random one back and take another.
 * @alloc, @free: functions, or what is inlined, of @ctx.
 */
static inline __attribute__((always_inline))
void churn(struct worker *w, void *ctx, void *(*alloc)(void *), void (*give)(void *, void *))
{
	unsigned int i;
	double ran;

	for (i = 0; i < NR_HELD; i++)
		w->held[i] = alloc(ctx);
	/* Not counted: the caches of the processor become as they stay. */
	for (i = 0; i < NR_HELD; i++) {
		give(ctx, w->held[i]);
		w->held[i] = alloc(ctx);
	}
	/* Who slept here would start late. */
	atomic_fetch_sub(w->late, 1);
	while (atomic_load(w->late))
		;
	w->start = now_ns();
	ran = thread_ns();
	for (i = 0; i < NR_PAIRS; i++) {
		void **slot = &w->held[slots[i % NR_SLOTS]];

		give(ctx, *slot);
		*slot = alloc(ctx);
		if (!*slot)
			abort();
	}
	ran = thread_ns() - ran;
	w->end = now_ns();
	w->disturbed = ran < 0.95 * (w->end - w->start);
	for (i = 0; i < NR_HELD; i++)
		give(ctx, w->held[i]);
}

/** mempool_make() - DPDK's allocator into @out.  Return: false when it cannot be had. */
bool mempool_make(struct allocator *out, unsigned int nr_pages);

/** mempool_drop() - its end. */
void mempool_drop(struct allocator *a);

#endif /* SWSGX_BENCH_ALLOC_H */
