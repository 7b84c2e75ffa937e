/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's rte_mempool with a cache for each thread, as an allocator of the bench.
 * Without huge pages, devices or files.
 */
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

#include "alloc.h"

#define CACHE_SIZE 256

static inline void *take(void *ctx)
{
	void *page;

	return rte_mempool_get(ctx, &page) ? NULL : page;
}

static inline void give(void *ctx, void *page)
{
	rte_mempool_put(ctx, page);
}

static void churn_mempool(struct worker *w, void *ctx)
{
	/* For a number, and with it a cache. */
	if (rte_thread_register())
		abort();
	churn(w, ctx, take, give);
	rte_thread_unregister();
}

static bool start_environment(void)
{
	char *argv[] = {
		"bench-alloc", "--no-huge", "--no-pci", "--no-telemetry", "--no-shconf",
		"--log-level=1", "-m", "256", "-l", "0", NULL,
	};
	cpu_set_t cpus;
	int ok;

	/* It would keep its threads, and ours, on one processor. */
	sched_getaffinity(0, sizeof(cpus), &cpus);
	ok = rte_eal_init(sizeof(argv) / sizeof(argv[0]) - 1, argv) >= 0;
	sched_setaffinity(0, sizeof(cpus), &cpus);
	return ok;
}

bool mempool_make(struct allocator *out, unsigned int nr_pages)
{
	static bool started;

	if (!started && !start_environment())
		return false;
	started = true;
	/* As large as what the manager keeps of a page: the EPC itself is not touched. */
	*out = (struct allocator){
		.name = "rte_mempool",
		.ctx = rte_mempool_create("pages", nr_pages, 16, CACHE_SIZE, 0, NULL, NULL, NULL,
					  NULL, SOCKET_ID_ANY, 0),
		.churn = churn_mempool,
	};
	return out->ctx;
}

void mempool_drop(struct allocator *a)
{
	rte_mempool_free(a->ctx);
}
