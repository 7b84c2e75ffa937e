/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking a page and giving it back.  Nothing here executes a leaf.  A page
 * enters a free list through the functions below or the sanitizer, which has
 * evidence of its own; both demand that it is uninitialized.
 */
#include <errno.h>

#include "internal.h"

/* Fruitless rounds of eviction, nobody else at work, before giving up. */
#define IDLE_ROUNDS 64

/* --- taking --------------------------------------------------------------- */

/*
 * The first page of the free list that is not poisoned: poison leaves a page
 * in the list, because finding it there would take a walk.
 */
static struct sgx_epc_page *pop_free(struct sgx_epc_pool *pool, struct epc_node *node)
{
	struct sgx_epc_page *page;
	uint8_t state;

	while ((page = epc_list_pop(pool, &node->free_head))) {
		state = atomic_load_explicit(&page->state, memory_order_relaxed);
		if (state == EPC_PAGE_FREE)
			return page;
		if (state != EPC_PAGE_POISONED)
			epc_bug(pool, page, __func__);
	}
	return NULL;
}

static struct sgx_epc_page *alloc_from_node(struct sgx_epc_pool *pool, struct epc_node *node,
					    const struct sgx_epc_owner *owner)
{
	struct sgx_epc_page *page;

	epc_lock(&node->lock, &pool->port);
	page = pop_free(pool, node);
	if (page) {
		page->owner = owner;
		atomic_store_explicit(&page->state, EPC_PAGE_CLEAN, memory_order_relaxed);
		epc_node_add_free(node, -1);
		node->nr_out++;
	}
	epc_unlock(&node->lock);
	return page;
}

/*
 * Every other node, once, onwards from @near.  Counted, not "until back at the
 * start", so that it ends whatever it is given.  Out of line, because the fast
 * path would have to save registers for it.
 */
static __attribute__((noinline)) struct sgx_epc_page *
alloc_from_others(struct sgx_epc_pool *pool, uint32_t near, const struct sgx_epc_owner *owner)
{
	struct sgx_epc_page *page = NULL;
	uint32_t i, n = near;

	for (i = 1; i < pool->nr_nodes && !page; i++) {
		n = n + 1 == pool->nr_nodes ? 0 : n + 1;
		page = alloc_from_node(pool, &pool->nodes[n], owner);
	}
	return page;
}

static struct sgx_epc_page *alloc_anywhere(struct sgx_epc_pool *pool,
					   const struct sgx_epc_owner *owner)
{
	struct sgx_epc_page *page;
	uint32_t near = 0;

	if (pool->nr_nodes > 1)
		near = epc_node_find(pool, pool->port.node(pool->port.ctx));

	page = alloc_from_node(pool, &pool->nodes[near], owner);
	return page ? page : alloc_from_others(pool, near, owner);
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

	if (err)
		return err;
	if (epc_reclaim_one(pool, group, owner, page) || progress(pool) != before) {
		*idle = 0;
		return 0;
	}
	if (!atomic_load_explicit(&pool->nr_reclaimers, memory_order_acquire) &&
	    ++*idle == IDLE_ROUNDS)
		return -ENOMEM;
	if (pool->port.yield)
		pool->port.yield(pool->port.ctx);
	return 0;
}

static int alloc_slow(struct sgx_epc_pool *pool, const struct sgx_epc_owner *owner,
		      unsigned int flags, struct sgx_epc_page **out)
{
	struct sgx_epc_group *group = owner ? owner->group : NULL;
	struct sgx_epc_page *page = NULL;
	unsigned int idle = 0;
	int err = 0;

	while (!err && !page) {
		const bool charged = epc_group_charge(group);

		if (charged)
			page = alloc_anywhere(pool, owner);
		if (!page)
			err = reclaim_round(pool, owner, charged, flags, &idle, &page);
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

int sgx_alloc_epc_page(struct sgx_epc_pool *pool, const struct sgx_epc_owner *owner,
		       unsigned int flags, struct sgx_epc_page **out)
{
	const int err = alloc_slow(pool, owner, flags, out);

	check_watermark(pool);
	return err;
}

/* --- giving back ------------------------------------------------------------ */

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
	epc_node_take_in(pool, node, page, state & EPC_POISON);
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

void sgx_free_epc_page(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	sgx_free_epc_pages(pool, &page, 1);
}

void epc_page_set_leaked(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	struct epc_node *node = epc_page_node(pool, page);

	epc_lock(&node->lock, &pool->port);
	epc_page_uncharge(page);
	page->owner = NULL;
	atomic_store_explicit(&page->state, EPC_PAGE_LEAKED, memory_order_relaxed);
	node->nr_out--;
	node->nr_leaked++;
	epc_unlock(&node->lock);
}

uint64_t epc_nr_free(struct sgx_epc_pool *pool)
{
	uint64_t nr = 0;
	uint32_t i;

	for (i = 0; i < pool->nr_nodes; i++)
		nr += atomic_load_explicit(&pool->nodes[i].nr_free, memory_order_relaxed);
	return nr;
}
