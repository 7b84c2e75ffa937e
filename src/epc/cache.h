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
 * that the owner is inside.  Without that port function the owner says so by an
 * atomic exchange, which is a barrier too.
 *
 * A cache has pages of one node only, that of its owner when it was last
 * filled: so it is known without looking at pages what is cached of each node.
 *
 * Lock order: epc_caches.lock, then being inside a cache, then epc_node.lock.
 */
#ifndef EPC_CACHE_H
#define EPC_CACHE_H

#include "internal.h"

/* So many that a block of pages fills half of one. */
#define EPC_CACHE_MAX (2 * EPC_PAGES_PER_BLOCK)

/* Why an owner has to take the long way into its cache. */
enum {
	EPC_CACHE_REVOKED = 1,	/* somebody needs all caches */
	EPC_CACHE_LOCKED = 2,	/* no barrier in the port; for ever */
	EPC_CACHE_NODES = 4,	/* is the near node still that of the pages?  For ever */
};

/* Not on a line, nor on a pair of lines fetched together, with another one's. */
struct sgx_epc_cache {
	_Alignas(128) atomic_bool busy;	/* its owner is inside */
	_Atomic uint8_t attention;	/* EPC_CACHE_* */
	_Atomic uint32_t nr;		/* in pages[]; written inside, read anywhere */
	uint32_t size;			/* constant, as is the next */
	struct sgx_epc_pool *pool;
	_Atomic(struct epc_node *) node;	/* of all pages; written inside, read anywhere */
	/*
	 * Came last and goes first, beside pages[]: who gives one back and takes one
	 * again does not have to wait for nr to go through memory each time.
	 */
	_Atomic(struct sgx_epc_page *) latest;
	struct sgx_epc_page *pages[EPC_CACHE_MAX];
};

/**
 * epc_cache_try_enter() - be inside, until epc_cache_leave(), the fast way.
 * Return: false when there is reason to use epc_cache_enter().
 */
static inline bool epc_cache_try_enter(struct sgx_epc_cache *cache)
{
	if (atomic_load_explicit(&cache->busy, memory_order_relaxed))
		return false;
	atomic_store_explicit(&cache->busy, true, memory_order_relaxed);
	/* Pairs with epc_port.barrier in epc_caches_seize(). */
	atomic_signal_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&cache->attention, memory_order_acquire))
		return true;
	atomic_store_explicit(&cache->busy, false, memory_order_release);
	return false;
}

static inline void epc_cache_leave(struct sgx_epc_cache *cache)
{
	atomic_store_explicit(&cache->busy, false, memory_order_release);
}

/**
 * epc_cache_enter() - the same whatever asks for attention; waits while it is
 * revoked, and aborts when another thread is inside.
 */
void epc_cache_enter(struct sgx_epc_cache *cache);

/**
 * epc_cache_get() - the calling thread's cache, until epc_cache_put().
 * Return: NULL when it has none; then there is nothing to put.
 */
static inline struct sgx_epc_cache *epc_cache_get(struct sgx_epc_pool *pool)
{
	struct epc_caches *caches = &pool->caches;
	unsigned int nr;

	if (!caches->nr)
		return NULL;
	nr = pool->port.cache_enter(pool->port.ctx);
	if (nr < caches->nr)
		return &caches->all[nr];
	if (pool->port.cache_leave)
		pool->port.cache_leave(pool->port.ctx);
	return NULL;
}

static inline void epc_cache_put(const struct sgx_epc_pool *pool)
{
	if (pool->port.cache_leave)
		pool->port.cache_leave(pool->port.ctx);
}

/** epc_cache_fill() - have pages of @node in @cache, if it has any free.  Inside. */
void epc_cache_fill(struct sgx_epc_pool *pool, struct sgx_epc_cache *cache, struct epc_node *node);

/** epc_cache_flush() - give all but @keep pages back to their node.  Inside. */
void epc_cache_flush(struct sgx_epc_pool *pool, struct sgx_epc_cache *cache, uint32_t keep);

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
