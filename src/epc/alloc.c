/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking a page and giving it back.  Nothing here executes a leaf.  A page
 * enters a free list through the functions below or the sanitizer, which has
 * evidence of its own; both demand that it is uninitialized.
 */
#include <errno.h>

#include "cache.h"
#include "free-list.h"

/* Fruitless rounds of eviction, nobody else at work, before giving up. */
#define IDLE_ROUNDS 64

/* --- taking --------------------------------------------------------------- */

static struct sgx_epc_page *alloc_from_node(struct sgx_epc_pool *pool, struct epc_node *node,
					    const struct sgx_epc_owner *owner)
{
	struct sgx_epc_page *page;

	epc_lock(&node->lock, &pool->port);
	page = epc_free_pop(pool, node, EPC_PAGE_CLEAN);
	if (page) {
		page->owner = owner;
		node->nr_out++;
	}
	epc_unlock(&node->lock);
	return page;
}

/*
 * Every node once, onwards from @near.  Counted, not "until back at the start",
 * so that it ends whatever it is given.
 */
static struct sgx_epc_page *alloc_from_lists(struct sgx_epc_pool *pool, uint32_t near,
					     const struct sgx_epc_owner *owner)
{
	struct sgx_epc_page *page = NULL;
	uint32_t i, n = near;

	for (i = 0; i < pool->nr_nodes && !page; i++) {
		page = alloc_from_node(pool, &pool->nodes[n], owner);
		n = n + 1 == pool->nr_nodes ? 0 : n + 1;
	}
	return page;
}

/*
 * The last resort before evicting: what other threads' caches hold.  While they
 * are seized none can be filled again, so a page in one of them is not missed.
 */
static struct sgx_epc_page *alloc_from_caches(struct sgx_epc_pool *pool, uint32_t near,
					      const struct sgx_epc_owner *owner)
{
	struct sgx_epc_page *page;
	uint32_t i;

	if (!pool->caches.nr)
		return NULL;
	epc_caches_seize(pool);
	for (i = 0; i < pool->caches.nr; i++)
		epc_cache_flush(pool, &pool->caches.all[i], 0);
	page = alloc_from_lists(pool, near, owner);
	epc_caches_return(pool);
	return page;
}

static uint32_t near_node(struct sgx_epc_pool *pool)
{
	if (pool->nr_nodes == 1)
		return 0;
	return epc_node_find(pool, pool->port.node(pool->port.ctx));
}

static inline bool is_cached(const struct sgx_epc_page *page)
{
	return atomic_load_explicit(&page->state, memory_order_relaxed) == EPC_PAGE_CACHED;
}

/*
 * Inside a cache: its latest page; NULL when it is empty, or that page is not what
 * it should be, which is how one would be found that two threads freed at once.
 */
static inline struct sgx_epc_page *cache_take(struct sgx_epc_cache *cache,
					      const struct sgx_epc_owner *owner)
{
	struct sgx_epc_page *page = atomic_load_explicit(&cache->latest, memory_order_relaxed);

	if (page) {
		if (!is_cached(page))
			return NULL;
		atomic_store_explicit(&cache->latest, NULL, memory_order_relaxed);
	} else {
		const uint32_t nr = atomic_load_explicit(&cache->nr, memory_order_relaxed);

		if (!nr)
			return NULL;
		page = cache->pages[nr - 1];
		if (!is_cached(page))
			return NULL;
		atomic_store_explicit(&cache->nr, nr - 1, memory_order_relaxed);
	}
	page->owner = owner;
	epc_page_set(cache->pool, page, EPC_PAGE_CACHED, EPC_PAGE_CLEAN);
	return page;
}

/* The whole fast path; NULL when it is not enough, or something is wrong. */
static inline struct sgx_epc_page *take_fast(struct sgx_epc_cache *cache,
					     const struct sgx_epc_owner *owner)
{
	struct sgx_epc_page *page;

	if (!epc_cache_try_enter(cache))
		return NULL;
	page = cache_take(cache, owner);
	epc_cache_leave(cache);
	return page;
}

/* Out of a cache, filled from @node where it is empty or has another one's pages. */
static struct sgx_epc_page *take_through(struct sgx_epc_pool *pool, struct sgx_epc_cache *cache,
					 struct epc_node *node, const struct sgx_epc_owner *owner,
					 bool *filled)
{
	struct sgx_epc_page *page = NULL;

	epc_cache_enter(cache);
	if (atomic_load_explicit(&cache->node, memory_order_relaxed) == node)
		page = cache_take(cache, owner);
	if (!page) {
		epc_cache_fill(pool, cache, node);
		page = cache_take(cache, owner);
		*filled = true;
	}
	epc_cache_leave(cache);
	return page;
}

/*
 * @own: the caller's cache; NULL for the port to be asked.
 * @listed: set when the free lists have become shorter.
 */
static struct sgx_epc_page *alloc_anywhere(struct sgx_epc_pool *pool, struct sgx_epc_cache *own,
					   const struct sgx_epc_owner *owner, bool *listed)
{
	struct sgx_epc_cache *cache = own ? own : epc_cache_get(pool);
	const uint32_t near = near_node(pool);
	struct sgx_epc_page *page = NULL;

	if (cache) {
		page = take_through(pool, cache, &pool->nodes[near], owner, listed);
		if (!own)
			epc_cache_put(pool);
	}
	if (page)
		return page;
	*listed = true;
	page = alloc_from_lists(pool, near, owner);
	return page ? page : alloc_from_caches(pool, near, owner);
}

/* --- evicting -------------------------------------------------------------- */

/* Is it of use, and allowed, to evict pages of @group?  Return: 0 or the errno. */
static int may_reclaim(struct sgx_epc_pool *pool, const struct sgx_epc_group *group,
		       unsigned int flags)
{
	if (!pool->overcommit || !epc_nr_evictable(pool, group))
		return -ENOMEM;
	if (!(flags & SGX_ALLOC_RECLAIM))
		return -EBUSY;
	if (pool->port.interrupted && pool->port.interrupted(pool->port.ctx))
		return -EINTR;
	return 0;
}

/* What anybody's eviction has come to so far. */
static uint64_t progress(struct sgx_epc_pool *pool)
{
	return atomic_load_explicit(&pool->activity.evicted, memory_order_relaxed);
}

static bool are_others_at_work(struct sgx_epc_pool *pool)
{
	return atomic_load_explicit(&pool->nr_reclaimers, memory_order_acquire);
}

/*
 * What could be evicted when the pool was found empty may be in it by now, or in
 * the hands of who evicts: once that cannot be any more, the pool is looked at
 * once more.  Return: 0, look; -ENOMEM, that was done.
 */
static int nothing_evictable(struct sgx_epc_pool *pool, unsigned int *idle)
{
	if (are_others_at_work(pool)) {
		if (pool->port.yield)
			pool->port.yield(pool->port.ctx);
		return 0;
	}
	if (*idle == IDLE_ROUNDS)
		return -ENOMEM;
	*idle = IDLE_ROUNDS;
	return 0;
}

/*
 * Are pages on their way back?  Asked before the pool is looked at: if not, all are
 * in it that will be.
 */
static bool are_pages_coming(struct sgx_epc_pool *pool)
{
	return atomic_load_explicit(&pool->nr_releases, memory_order_acquire);
}

/* Return: 0, look again; -EINTR. */
static int await_pages(struct sgx_epc_pool *pool)
{
	if (pool->port.interrupted && pool->port.interrupted(pool->port.ctx))
		return -EINTR;
	if (pool->port.yield)
		pool->port.yield(pool->port.ctx);
	return 0;
}

/*
 * One round.  @charged: the owner's group has let the page in, what lacks is
 * EPC; otherwise the page has to come from the group.  @idle: rounds without
 * any gain, of ours or of others.  While others are at work it is not over.
 * Return: 0 with or without *@page; or the errno.
 */
static int reclaim_round(struct sgx_epc_pool *pool, const struct sgx_epc_owner *owner,
			 bool charged, unsigned int flags, unsigned int *idle,
			 struct sgx_epc_page **page)
{
	struct sgx_epc_group *group = charged ? NULL : owner->group;
	const uint64_t before = progress(pool);
	const int err = may_reclaim(pool, group, flags);

	if (err == -ENOMEM && pool->overcommit)
		return nothing_evictable(pool, idle);
	if (err)
		return err;
	if (epc_reclaim_one(pool, group, owner, flags & SGX_ALLOC_KEEP_LAST, page) ||
	    progress(pool) != before) {
		*idle = 0;
		return 0;
	}
	if (!are_others_at_work(pool) && ++*idle >= IDLE_ROUNDS)
		return -ENOMEM;
	if (pool->port.yield)
		pool->port.yield(pool->port.ctx);
	return 0;
}

static int alloc_or_reclaim(struct sgx_epc_pool *pool, struct sgx_epc_cache *own,
			    const struct sgx_epc_owner *owner, unsigned int flags,
			    bool *listed, struct sgx_epc_page **out)
{
	struct sgx_epc_group *group = owner ? owner->group : NULL;
	struct sgx_epc_page *page = NULL;
	unsigned int idle = 0;
	int err = 0;

	while (!err && !page) {
		const bool coming = are_pages_coming(pool);
		const bool charged = epc_group_charge(group);

		if (charged)
			page = alloc_anywhere(pool, own, owner, listed);
		if (!page)
			err = reclaim_round(pool, owner, charged, flags, &idle, &page);
		if (coming && (err == -ENOMEM || err == -EBUSY))
			err = await_pages(pool);
		if (!page && charged)
			epc_group_uncharge(group);
	}
	if (!err)
		*out = page;
	return err;
}

/* Below the low watermark, and something can be done about it: ask for it. */
static void check_watermark(struct sgx_epc_pool *pool)
{
	if (pool->overcommit && pool->port.wake_reclaimer &&
	    epc_nr_free(pool) < pool->watermarks.low && epc_nr_evictable(pool, NULL))
		pool->port.wake_reclaimer(pool->port.ctx);
}

/* Out of line, because the fast path would have to save registers for it. */
static __attribute__((noinline))
int alloc_slow(struct sgx_epc_pool *pool, struct sgx_epc_cache *own,
	       const struct sgx_epc_owner *owner, unsigned int flags, struct sgx_epc_page **out)
{
	bool listed = false;
	const int err = alloc_or_reclaim(pool, own, owner, flags, &listed, out);

	if (listed)
		check_watermark(pool);
	return err;
}

/* Whoever has to be charged takes the long way. */
static inline bool is_charged(const struct sgx_epc_owner *owner)
{
	return owner && owner->group;
}

int sgx_alloc_epc_page_cached(struct sgx_epc_cache *cache, const struct sgx_epc_owner *owner,
			      unsigned int flags, struct sgx_epc_page **out)
{
	struct sgx_epc_page *page = is_charged(owner) ? NULL : take_fast(cache, owner);

	if (!page)
		return alloc_slow(cache->pool, cache, owner, flags, out);
	*out = page;
	return 0;
}

int sgx_alloc_epc_page(struct sgx_epc_pool *pool, const struct sgx_epc_owner *owner,
		       unsigned int flags, struct sgx_epc_page **out)
{
	struct sgx_epc_cache *cache = is_charged(owner) ? NULL : epc_cache_get(pool);
	struct sgx_epc_page *page = NULL;

	if (cache) {
		page = take_fast(cache, owner);
		epc_cache_put(pool);
	}
	if (!page)
		return alloc_slow(pool, NULL, owner, flags, out);
	*out = page;
	return 0;
}

/* --- giving back ------------------------------------------------------------ */

void epc_node_take_in(struct sgx_epc_pool *pool, struct epc_node *node,
		      struct sgx_epc_page *page, unsigned int from, bool poisoned)
{
	if (!poisoned) {
		epc_free_push(pool, node, page, from);
		return;
	}
	epc_page_set(pool, page, from, EPC_PAGE_POISONED);
	node->nr_poisoned++;
}

/*
 * The gate: under the node's lock, so that of two frees of a page one is caught.
 * Return: false when the page must not enter.
 */
static bool free_locked(struct sgx_epc_pool *pool, struct epc_node *node,
			struct sgx_epc_page *page)
{
	const uint8_t state = atomic_load_explicit(&page->state, memory_order_acquire);

	if ((state & ~EPC_POISON) != EPC_PAGE_CLEAN)
		return false;
	epc_page_uncharge(page);
	page->owner = NULL;
	node->nr_out--;
	epc_node_take_in(pool, node, page, EPC_PAGE_CLEAN, state & EPC_POISON);
	return true;
}

void sgx_free_epc_pages(struct sgx_epc_pool *pool, struct sgx_epc_page *const *pages, size_t n)
{
	size_t i = 0;

	/* One lock for each run of pages of one node. */
	while (i < n) {
		struct epc_node *node = epc_page_node(pool, pages[i]);
		bool clean = true;

		epc_lock(&node->lock, &pool->port);
		while (clean && i < n && epc_page_node(pool, pages[i]) == node)
			clean = free_locked(pool, node, pages[i++]);
		epc_unlock(&node->lock);
		if (!clean)
			epc_bug(pool, pages[i - 1], "sgx_free_epc_page");
	}
}

static inline bool is_clean(const struct sgx_epc_page *page)
{
	return atomic_load_explicit(&page->state, memory_order_relaxed) == EPC_PAGE_CLEAN;
}

/* Inside a cache: room for @latest besides the one that comes, if it is there. */
static inline bool make_room(struct sgx_epc_cache *cache, struct sgx_epc_page *latest)
{
	const uint32_t nr = atomic_load_explicit(&cache->nr, memory_order_relaxed);

	if (!latest)
		return true;
	if (nr + 1 == cache->size)
		return false;
	cache->pages[nr] = latest;
	atomic_store_explicit(&cache->nr, nr + 1, memory_order_relaxed);
	return true;
}

/*
 * The gate again, without a lock: inside a cache nobody can report @page, which is
 * CLEAN, as poisoned, and two frees of a page at once are found when it is handed
 * out.  Its owner is no more charged.  Return: false when there is no room.
 */
static inline bool cache_put(struct sgx_epc_cache *cache, struct sgx_epc_page *page)
{
	if (!make_room(cache, atomic_load_explicit(&cache->latest, memory_order_relaxed)))
		return false;
	page->owner = NULL;
	epc_page_set(cache->pool, page, EPC_PAGE_CLEAN, EPC_PAGE_CACHED);
	atomic_store_explicit(&cache->latest, page, memory_order_relaxed);
	return true;
}

/* The whole fast path.  Return: false when it is not enough, or something is wrong. */
static inline bool put_fast(struct sgx_epc_cache *cache, struct sgx_epc_page *page)
{
	bool done = false;

	if (!epc_cache_try_enter(cache))
		return false;
	/* Only one that somebody has has an owner. */
	if (is_clean(page) && !is_charged(page->owner))
		done = cache_put(cache, page);
	epc_cache_leave(cache);
	return done;
}

/* Into a cache, flushed by half where it is full, that has pages of @page's node. */
static bool put_through(struct sgx_epc_pool *pool, struct sgx_epc_cache *cache,
			struct sgx_epc_page *page)
{
	const struct sgx_epc_owner *owner = page->owner;
	bool done = false;

	epc_cache_enter(cache);
	if (is_clean(page) && atomic_load_explicit(&cache->node, memory_order_relaxed) ==
				      epc_page_node(pool, page)) {
		done = cache_put(cache, page);
		if (!done) {
			epc_cache_flush(pool, cache, cache->size / 2);
			done = cache_put(cache, page);
		}
	}
	epc_cache_leave(cache);
	if (done && owner)
		epc_group_uncharge(owner->group);
	return done;
}

static __attribute__((noinline))
void free_slow(struct sgx_epc_pool *pool, struct sgx_epc_cache *own, struct sgx_epc_page *page)
{
	struct sgx_epc_cache *cache = own ? own : epc_cache_get(pool);
	bool done = false;

	if (cache) {
		done = put_through(pool, cache, page);
		if (!own)
			epc_cache_put(pool);
	}
	if (!done)
		sgx_free_epc_pages(pool, &page, 1);
}

void sgx_free_epc_page_cached(struct sgx_epc_cache *cache, struct sgx_epc_page *page)
{
	if (!put_fast(cache, page))
		free_slow(cache->pool, cache, page);
}

void sgx_free_epc_page(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	struct sgx_epc_cache *cache = epc_cache_get(pool);
	bool done = false;

	if (cache) {
		done = put_fast(cache, page);
		epc_cache_put(pool);
	}
	if (!done)
		free_slow(pool, NULL, page);
}

void sgx_epc_release_begin(struct sgx_epc_pool *pool)
{
	atomic_fetch_add_explicit(&pool->nr_releases, 1, memory_order_relaxed);
}

void sgx_epc_release_end(struct sgx_epc_pool *pool)
{
	/* Pairs with the acquire of who looks for the pages. */
	atomic_fetch_sub_explicit(&pool->nr_releases, 1, memory_order_release);
}

void epc_page_set_leaked(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	struct epc_node *node = epc_page_node(pool, page);

	epc_lock(&node->lock, &pool->port);
	epc_page_uncharge(page);
	page->owner = NULL;
	epc_page_set(pool, page, epc_page_state(page), EPC_PAGE_LEAKED);
	node->nr_out--;
	node->nr_leaked++;
	epc_unlock(&node->lock);
}

uint64_t epc_nr_listed(const struct sgx_epc_pool *pool)
{
	uint64_t nr = 0;
	uint32_t i;

	for (i = 0; i < pool->nr_nodes; i++)
		nr += atomic_load_explicit(&pool->nodes[i].nr_free, memory_order_relaxed);
	return nr;
}

uint64_t epc_nr_free(struct sgx_epc_pool *pool)
{
	const uint64_t nr = epc_nr_listed(pool);

	/* Looking at the caches takes them from where they are in use. */
	return nr < pool->watermarks.high ? nr + epc_nr_cached(pool, NULL) : nr;
}
