/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making pages of unknown state usable, as after a restart over live EPC.  An
 * EREMOVE that fails here is no leak: nobody used the page since, and it has
 * not been promised to anybody.  It stays unsanitized.
 *
 * Threads take pages in batches out of their node's list, then out of the others'.
 * A page on its way is in no list and counted as unsanitized; no lock is held
 * while EREMOVE runs, so the allocator goes on with whatever is free already.
 *
 * The second pass begins when no thread has a page of the first any more: a SECS
 * may have its children anywhere.  What fails in it waits for the next round, which
 * begins when all threads of this one have left.
 */
#include "internal.h"

#define BATCH 32u

/* Where a page goes after its turn: a list of its node, or into the pool. */
#define CLEAN EPC_NR_UNSANITIZED

struct batch {
	struct epc_node *node;
	struct sgx_epc_page *pages[BATCH];
	uint8_t dest[BATCH];	/* EPC_UNTRIED to EPC_FAILED, or CLEAN */
	unsigned int nr;
};

static bool is_stopped(const atomic_bool *stop)
{
	return stop && atomic_load_explicit(stop, memory_order_relaxed);
}

/* Fill @b from list @which of its node.  Return: false when that is empty. */
static bool take(struct sgx_epc_pool *pool, struct batch *b, unsigned int which)
{
	struct sgx_epc_page *page;
	uint8_t state;

	b->nr = 0;
	epc_lock(&b->node->lock, &pool->port);
	while (b->nr < BATCH && (page = epc_list_pop(pool, &b->node->unsanitized_head[which]))) {
		state = atomic_load_explicit(&page->state, memory_order_relaxed);
		/* Parked while it was in the list. */
		if (state == EPC_PAGE_POISONED)
			continue;
		if (state != EPC_PAGE_UNSANITIZED)
			epc_bug(pool, page, __func__);
		epc_page_set(pool, page, EPC_PAGE_UNSANITIZED, EPC_PAGE_SANITIZING);
		b->dest[b->nr] = (uint8_t)which;
		b->pages[b->nr++] = page;
	}
	epc_unlock(&b->node->lock);
	return b->nr;
}

/* Each page to its destination; one poisoned meanwhile is parked. */
static void put(struct sgx_epc_pool *pool, const struct batch *b)
{
	struct epc_node *node = b->node;
	unsigned int i;

	epc_lock(&node->lock, &pool->port);
	for (i = 0; i < b->nr; i++) {
		struct sgx_epc_page *page = b->pages[i];
		const bool poisoned = epc_page_is_poisoned(page);

		if (b->dest[i] == CLEAN || poisoned) {
			node->nr_unsanitized--;
			node->nr_poisoned_dirty += b->dest[i] != CLEAN;
			epc_node_take_in(pool, node, page, EPC_PAGE_SANITIZING, poisoned);
		} else {
			epc_page_set(pool, page, EPC_PAGE_SANITIZING, EPC_PAGE_UNSANITIZED);
			epc_list_push(pool, &node->unsanitized_head[b->dest[i]], page);
		}
	}
	epc_unlock(&node->lock);
}

/* Return: how many failed. */
static unsigned int sanitize_batch(struct sgx_epc_pool *pool, struct batch *b,
				   const atomic_bool *stop)
{
	const struct epc_encls_ops *ops = &pool->ops;
	unsigned int nr_failed = 0, i;

	for (i = 0; i < b->nr && !is_stopped(stop); i++) {
		if (epc_page_is_poisoned(b->pages[i]))
			continue;
		if (isa_is_done(ops->eremove(ops->ctx, sgx_epc_page_pa(pool, b->pages[i])))) {
			b->dest[i] = CLEAN;
			continue;
		}
		b->dest[i]++;	/* the list after the one it came from */
		nr_failed++;
	}
	put(pool, b);
	return nr_failed;
}

/* Every node's list @which, the near one first.  Return: pages that failed. */
static uint64_t pass(struct sgx_epc_pool *pool, unsigned int which, const atomic_bool *stop)
{
	const uint32_t near = epc_node_find(pool, pool->port.node(pool->port.ctx));
	_Atomic uint32_t *nr_busy = &pool->sanitizing.nr_busy;
	uint64_t nr_failed = 0;
	bool taken = true;
	uint32_t i;

	for (i = 0; i < pool->nr_nodes; i++) {
		struct batch b = { .node = &pool->nodes[(near + i) % pool->nr_nodes] };

		do {
			/* First, so that who sees the list empty sees us at work. */
			atomic_fetch_add_explicit(nr_busy, 1, memory_order_acq_rel);
			taken = !is_stopped(stop) && take(pool, &b, which);
			if (taken)
				nr_failed += sanitize_batch(pool, &b, stop);
			atomic_fetch_sub_explicit(nr_busy, 1, memory_order_release);
		} while (taken);
	}
	return nr_failed;
}

static bool has_any(struct sgx_epc_pool *pool, unsigned int which)
{
	bool found = false;
	uint32_t i;

	for (i = 0; i < pool->nr_nodes && !found; i++) {
		epc_lock(&pool->nodes[i].lock, &pool->port);
		found = pool->nodes[i].unsanitized_head[which] != EPC_NO_PAGE;
		epc_unlock(&pool->nodes[i].lock);
	}
	return found;
}

/* The first pass of all threads together, with what a stopped one left over. */
static void first_pass(struct sgx_epc_pool *pool, const atomic_bool *stop)
{
	do {
		pass(pool, EPC_UNTRIED, stop);
		while (!is_stopped(stop) &&
		       atomic_load_explicit(&pool->sanitizing.nr_busy, memory_order_acquire))
			epc_relax(&pool->port);
	} while (!is_stopped(stop) && has_any(pool, EPC_UNTRIED));
}

/* Everything once more, in the order of addresses as far as it was so. */
static void start_round(struct sgx_epc_pool *pool, struct epc_node *node)
{
	struct sgx_epc_page *page;
	unsigned int which;

	epc_lock(&node->lock, &pool->port);
	for (which = EPC_AGAIN; which < EPC_NR_UNSANITIZED; which++) {
		while ((page = epc_list_pop(pool, &node->unsanitized_head[which])))
			epc_list_push(pool, &node->unsanitized_head[EPC_UNTRIED], page);
	}
	epc_unlock(&node->lock);
}

static void enter(struct sgx_epc_pool *pool)
{
	uint32_t i;

	epc_lock(&pool->sanitizing.lock, &pool->port);
	if (!pool->sanitizing.nr_threads++) {
		for (i = 0; i < pool->nr_nodes; i++)
			start_round(pool, &pool->nodes[i]);
	}
	epc_unlock(&pool->sanitizing.lock);
}

static void leave(struct sgx_epc_pool *pool)
{
	epc_lock(&pool->sanitizing.lock, &pool->port);
	pool->sanitizing.nr_threads--;
	epc_unlock(&pool->sanitizing.lock);
}

uint64_t sgx_epc_sanitize(struct sgx_epc_pool *pool, const atomic_bool *stop)
{
	uint64_t nr_failed;

	enter(pool);
	first_pass(pool, stop);
	nr_failed = pass(pool, EPC_AGAIN, stop);
	leave(pool);
	return is_stopped(stop) ? 0 : nr_failed;
}
