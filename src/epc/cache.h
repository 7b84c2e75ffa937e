/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Caches of free pages, so that taking and giving back touches nothing that
 * another processor writes.
 *
 * A cache belongs to the one thread that has its number, and is entered without
 * an atomic operation: the owner says that it is busy, then looks whether the
 * cache was revoked.  Who needs other threads' caches revokes all of them, has
 * every thread go through a memory barrier (epc_port.barrier), and waits until
 * none is busy.  Either the owner sees the revocation, or the other one sees
 * that the owner is inside.  Without that port function the owner's "busy" is an
 * atomic exchange.
 *
 * A cache has pages of one node only, that of its owner when it was last
 * filled: so it is known without looking at pages what is cached of each node.
 *
 * Lock order: epc_caches.lock, then being inside a cache, then epc_node.lock.
 */
#ifndef EPC_CACHE_H
#define EPC_CACHE_H

#include "internal.h"

#define EPC_CACHE_MAX 64u

/* Not on a line, nor on a pair of lines fetched together, with another one's. */
struct epc_cache {
	_Alignas(128) atomic_bool busy;	/* its owner is inside */
	atomic_bool revoked;
	/* Written inside, read anywhere. */
	_Atomic uint32_t nr;
	_Atomic(struct epc_node *) node;	/* of all pages; NULL before the first */
	struct sgx_epc_page *pages[EPC_CACHE_MAX];
};

/** epc_cache_wait() - the slow half of epc_cache_enter(): until it is not revoked. */
__attribute__((cold))
void epc_cache_wait(struct sgx_epc_pool *pool, struct epc_cache *cache);

/** epc_cache_shared() - two threads have one number: abort. */
__attribute__((cold)) _Noreturn
void epc_cache_shared(const struct sgx_epc_pool *pool);

/**
 * epc_cache_enter() - the calling thread's cache, until epc_cache_leave().
 * Return: NULL when it has none; then there is nothing to leave.
 */
static inline struct epc_cache *epc_cache_enter(struct sgx_epc_pool *pool)
{
	struct epc_caches *caches = &pool->caches;
	struct epc_cache *cache;
	unsigned int nr;

	if (!caches->nr)
		return NULL;
	nr = pool->port.cache_enter(pool->port.ctx);
	if (nr >= caches->nr) {
		if (pool->port.cache_leave)
			pool->port.cache_leave(pool->port.ctx);
		return NULL;
	}
	cache = &caches->all[nr];
	if (atomic_load_explicit(&cache->busy, memory_order_relaxed))
		epc_cache_shared(pool);
	if (pool->port.barrier) {
		atomic_store_explicit(&cache->busy, true, memory_order_relaxed);
		/* Pairs with epc_port.barrier in epc_caches_seize(). */
		atomic_signal_fence(memory_order_seq_cst);
	} else {
		atomic_exchange_explicit(&cache->busy, true, memory_order_seq_cst);
	}
	if (atomic_load_explicit(&cache->revoked, memory_order_seq_cst))
		epc_cache_wait(pool, cache);
	return cache;
}

static inline void epc_cache_leave(struct sgx_epc_pool *pool, struct epc_cache *cache)
{
	atomic_store_explicit(&cache->busy, false, memory_order_release);
	if (pool->port.cache_leave)
		pool->port.cache_leave(pool->port.ctx);
}

/** epc_cache_fill() - have pages of @node in @cache, if it has any free.  Inside. */
void epc_cache_fill(struct sgx_epc_pool *pool, struct epc_cache *cache, struct epc_node *node);

/** epc_cache_flush() - give all but @keep pages back to their node.  Inside. */
void epc_cache_flush(struct sgx_epc_pool *pool, struct epc_cache *cache, uint32_t keep);

/** epc_caches_seize() - be inside all caches, until epc_caches_return().  Inside none. */
void epc_caches_seize(struct sgx_epc_pool *pool);
void epc_caches_return(struct sgx_epc_pool *pool);

/** epc_cache_drop() - take @page, which is CACHED, out of its cache.  Seized. */
void epc_cache_drop(struct sgx_epc_pool *pool, const struct sgx_epc_page *page);

/** epc_nr_cached() - pages in caches; @node: of this one only; NULL for all. */
uint64_t epc_nr_cached(const struct sgx_epc_pool *pool, const struct epc_node *node);

/** epc_caches_init() - @nr caches for a pool whose pages are counted.  Return: 0; -ENOMEM. */
int epc_caches_init(struct sgx_epc_pool *pool, unsigned int nr);
void epc_caches_finish(struct sgx_epc_pool *pool);

#endif /* EPC_CACHE_H */
