/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making pages of unknown state usable, as after a restart over live EPC.  An
 * EREMOVE that fails here is no leak: nobody used the page since, and it has
 * not been promised to anybody.  It stays unsanitized.
 *
 * A page on its way is in no list and counted as unsanitized; no lock is held
 * while EREMOVE runs, so the allocator goes on with whatever is free already.
 */
#include "internal.h"

static bool is_stopped(const atomic_bool *stop)
{
	return stop && atomic_load_explicit(stop, memory_order_relaxed);
}

static struct sgx_epc_page *take(struct sgx_epc_pool *pool, struct epc_node *node)
{
	struct sgx_epc_page *page;

	epc_lock(&node->lock, &pool->port);
	page = epc_list_pop(pool, &node->unsanitized_head[EPC_TODO]);
	epc_unlock(&node->lock);
	return page;
}

static void put_back(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	struct epc_node *node = epc_page_node(pool, page);

	epc_lock(&node->lock, &pool->port);
	epc_list_push(pool, &node->unsanitized_head[EPC_TODO], page);
	epc_unlock(&node->lock);
}

/* EREMOVE @page and free it.  Return: false when it stays as it was. */
static bool sanitize_page(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	struct epc_node *node = epc_page_node(pool, page);

	if (!isa_is_done(pool->ops.eremove(pool->ops.ctx, sgx_epc_page_pa(pool, page))))
		return false;

	epc_lock(&node->lock, &pool->port);
	node->nr_unsanitized--;
	epc_node_take_in(pool, node, page, false);
	epc_unlock(&node->lock);
	return true;
}

uint64_t sgx_epc_sanitize(struct sgx_epc_pool *pool, const atomic_bool *stop)
{
	uint32_t again = EPC_NO_PAGE, i;
	struct sgx_epc_page *page;
	uint64_t nr_failed = 0;

	/* Over all nodes first: a SECS and its children need not share one. */
	for (i = 0; i < pool->nr_nodes; i++) {
		while (!is_stopped(stop) && (page = take(pool, &pool->nodes[i]))) {
			if (!sanitize_page(pool, page))
				epc_list_push(pool, &again, page);
		}
	}

	while ((page = epc_list_pop(pool, &again))) {
		if (!is_stopped(stop)) {
			if (sanitize_page(pool, page))
				continue;
			nr_failed++;
		}
		put_back(pool, page);
	}
	return is_stopped(stop) ? 0 : nr_failed;
}
