/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rare half of the caches: filling, flushing, and taking them from their
 * owners.
 */
#include <errno.h>
#include <stdlib.h>

#include "cache.h"
#include "free-list.h"

/* Caches keep at most this part of the EPC away from others, all together. */
#define MAX_PART 8u

/* --- entering ---------------------------------------------------------------- */

static _Noreturn void shared(const struct sgx_epc_pool *pool)
{
	pool->port.log(pool->port.ctx, EPC_LOG_ERROR,
		       "BUG: two threads use one cache of EPC pages at a time");
	abort();
}

static bool is_revoked(const struct sgx_epc_cache *cache)
{
	return atomic_load_explicit(&cache->attention, memory_order_seq_cst) & EPC_CACHE_REVOKED;
}

void epc_cache_enter(struct sgx_epc_cache *cache)
{
	const struct epc_port *port = &cache->pool->port;

	for (;;) {
		if (atomic_exchange_explicit(&cache->busy, true, memory_order_seq_cst))
			shared(cache->pool);
		if (!is_revoked(cache))
			return;
		epc_cache_leave(cache);
		while (is_revoked(cache))
			epc_relax(port);
	}
}

void epc_caches_seize(struct sgx_epc_pool *pool)
{
	struct epc_caches *caches = &pool->caches;
	uint32_t i;

	epc_lock(&caches->lock, &pool->port);
	for (i = 0; i < caches->nr; i++)
		atomic_fetch_or_explicit(&caches->all[i].attention, EPC_CACHE_REVOKED,
					 memory_order_seq_cst);
	if (pool->port.barrier && caches->nr)
		pool->port.barrier(pool->port.ctx);
	for (i = 0; i < caches->nr; i++) {
		while (atomic_load_explicit(&caches->all[i].busy, memory_order_seq_cst))
			epc_relax(&pool->port);
	}
}

void epc_caches_return(struct sgx_epc_pool *pool)
{
	struct epc_caches *caches = &pool->caches;
	uint32_t i;

	for (i = 0; i < caches->nr; i++)
		atomic_fetch_and_explicit(&caches->all[i].attention,
					  (uint8_t)~EPC_CACHE_REVOKED, memory_order_release);
	epc_unlock(&caches->lock);
}

/* --- pages in and out ---------------------------------------------------------- */

static uint32_t nr_in(const struct sgx_epc_cache *cache)
{
	return atomic_load_explicit(&cache->nr, memory_order_relaxed) +
	       (atomic_load_explicit(&cache->latest, memory_order_relaxed) != NULL);
}

/* All pages into pages[].  Return: how many. */
static uint32_t settle(struct sgx_epc_cache *cache)
{
	struct sgx_epc_page *latest = atomic_load_explicit(&cache->latest, memory_order_relaxed);
	uint32_t nr = atomic_load_explicit(&cache->nr, memory_order_relaxed);

	if (latest) {
		cache->pages[nr++] = latest;
		atomic_store_explicit(&cache->latest, NULL, memory_order_relaxed);
		atomic_store_explicit(&cache->nr, nr, memory_order_relaxed);
	}
	return nr;
}

void epc_cache_flush(struct sgx_epc_pool *pool, struct sgx_epc_cache *cache, uint32_t keep)
{
	struct epc_node *node = atomic_load_explicit(&cache->node, memory_order_relaxed);
	const uint32_t nr = settle(cache);
	const uint32_t out = nr > keep ? nr - keep : 0;
	uint32_t i;

	if (!out)
		return;
	epc_lock(&node->lock, &pool->port);
	node->nr_out -= out;
	/* Least recently used first, so that the list too begins with the latest. */
	for (i = 0; i < out; i++) {
		struct sgx_epc_page *page = cache->pages[i];

		if (atomic_load_explicit(&page->state, memory_order_relaxed) != EPC_PAGE_CACHED)
			epc_bug(pool, page, __func__);
		epc_node_take_in(pool, node, page, EPC_PAGE_CACHED, false);
	}
	for (i = 0; i < keep; i++)
		cache->pages[i] = cache->pages[out + i];
	atomic_store_explicit(&cache->nr, keep, memory_order_relaxed);
	epc_unlock(&node->lock);
}

/* Few when few are left, so that not all of them end up where others are not. */
static uint32_t fill_size(const struct sgx_epc_pool *pool, struct epc_node *node)
{
	const uint32_t nr_free = atomic_load_explicit(&node->nr_free, memory_order_relaxed);
	const uint32_t share = 1 + nr_free / (4 * pool->caches.nr);
	const uint32_t size = share < pool->caches.size / 2 ? share : pool->caches.size / 2;

	return size < nr_free ? size : nr_free;
}

/* @nr pages, which are there: whole lines while there are some and one more is wanted. */
static void pop_pages(struct sgx_epc_pool *pool, struct epc_node *node, uint32_t nr,
		      struct sgx_epc_page **pages)
{
	uint32_t i = 0, n;

	while (i < nr) {
		n = epc_free_pop_lines(pool, node, EPC_PAGE_CACHED, &pages[i], nr - i);
		if (!n) {
			pages[i] = epc_free_pop(pool, node, EPC_PAGE_CACHED);
			if (!pages[i])
				abort();	/* nr_free is exact under the lock */
			n = 1;
		}
		i += n;
	}
	node->nr_out += nr;
}

static void reverse(struct sgx_epc_page **pages, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr / 2; i++) {
		struct sgx_epc_page *page = pages[i];

		pages[i] = pages[nr - 1 - i];
		pages[nr - 1 - i] = page;
	}
}

void epc_cache_fill(struct sgx_epc_pool *pool, struct sgx_epc_cache *cache, struct epc_node *node)
{
	uint32_t nr;

	epc_cache_flush(pool, cache, 0);
	atomic_store_explicit(&cache->node, node, memory_order_relaxed);

	epc_lock(&node->lock, &pool->port);
	nr = fill_size(pool, node);
	pop_pages(pool, node, nr, cache->pages);
	/* For the first of the list to be the first handed out. */
	reverse(cache->pages, nr);
	atomic_store_explicit(&cache->nr, nr, memory_order_relaxed);
	epc_unlock(&node->lock);
}

void epc_cache_drop(struct sgx_epc_pool *pool, const struct sgx_epc_page *page)
{
	struct sgx_epc_cache *cache;
	uint32_t i, nr;

	for (cache = pool->caches.all; cache < pool->caches.all + pool->caches.nr; cache++) {
		nr = settle(cache);
		for (i = 0; i < nr; i++) {
			if (cache->pages[i] != page)
				continue;
			cache->pages[i] = cache->pages[nr - 1];
			atomic_store_explicit(&cache->nr, nr - 1, memory_order_relaxed);
			return;
		}
	}
	epc_bug(pool, page, __func__);
}

uint64_t epc_nr_cached(const struct sgx_epc_pool *pool, const struct epc_node *node)
{
	uint64_t nr = 0;
	uint32_t i;

	for (i = 0; i < pool->caches.nr; i++) {
		const struct sgx_epc_cache *cache = &pool->caches.all[i];

		if (!node || atomic_load_explicit(&cache->node, memory_order_relaxed) == node)
			nr += nr_in(cache);
	}
	return nr;
}

/* --- setting up ------------------------------------------------------------------ */

static void init_cache(struct sgx_epc_pool *pool, struct sgx_epc_cache *cache)
{
	uint8_t attention = 0;

	if (!pool->port.barrier)
		attention |= EPC_CACHE_LOCKED;
	if (pool->nr_nodes > 1)
		attention |= EPC_CACHE_NODES;
	atomic_init(&cache->attention, attention);
	atomic_init(&cache->node, pool->nodes);
	cache->size = pool->caches.size;
	cache->pool = pool;
}

int epc_caches_init(struct sgx_epc_pool *pool, unsigned int nr)
{
	const size_t align = _Alignof(struct sgx_epc_cache);
	struct epc_caches *caches = &pool->caches;
	uint32_t size = nr ? pool->nr_pages / MAX_PART / nr : 0;
	unsigned int i;

	if (size > EPC_CACHE_MAX)
		size = EPC_CACHE_MAX;
	/* One that cannot hold two pages is of no use. */
	if (size < 2 || !pool->port.cache_enter)
		return 0;

	caches->all = epc_alloc_aligned(&pool->port, nr * sizeof(*caches->all), align, &caches->mem);
	if (!caches->all)
		return -ENOMEM;
	caches->size = size;
	for (i = 0; i < nr; i++)
		init_cache(pool, &caches->all[i]);
	caches->nr = nr;
	return 0;
}

struct sgx_epc_cache *sgx_epc_cache(struct sgx_epc_pool *pool, unsigned int nr)
{
	return nr < pool->caches.nr ? &pool->caches.all[nr] : NULL;
}

void epc_caches_finish(struct sgx_epc_pool *pool)
{
	epc_free(&pool->port, pool->caches.mem);
}
