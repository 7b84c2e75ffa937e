/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters as others see them.  Each is kept where it changes, under its
 * node's lock or inside a cache.  What is out of a node's lists is in use unless it
 * is cached, so that a node always adds up; each counter is exact whenever no
 * page is on its way between two states.
 */
#include "cache.h"

static struct sgx_epc_stat read_node(struct sgx_epc_pool *pool, struct epc_node *node)
{
	const uint64_t cached = epc_nr_cached(pool, node);
	struct sgx_epc_stat stat;

	epc_lock(&node->lock, &pool->port);
	stat = (struct sgx_epc_stat){
		.total = node->nr_pages,
		.free = atomic_load_explicit(&node->nr_free, memory_order_relaxed),
		/* Never more than is out, on the way of whatever page. */
		.cached = cached < node->nr_out ? cached : node->nr_out,
		.leaked = node->nr_leaked,
		.poisoned = node->nr_poisoned,
		.unsanitized = node->nr_unsanitized,
	};
	stat.in_use = node->nr_out - stat.cached;
	epc_unlock(&node->lock);
	return stat;
}

struct sgx_epc_stat sgx_epc_stat_total(struct sgx_epc_pool *pool)
{
	struct sgx_epc_stat sum = { 0 };
	uint32_t i;

	for (i = 0; i < pool->nr_nodes; i++) {
		const struct sgx_epc_stat one = read_node(pool, &pool->nodes[i]);

		sum.total += one.total;
		sum.free += one.free;
		sum.cached += one.cached;
		sum.in_use += one.in_use;
		sum.leaked += one.leaked;
		sum.poisoned += one.poisoned;
		sum.unsanitized += one.unsanitized;
	}
	return sum;
}

struct sgx_epc_stat sgx_epc_stat_node(struct sgx_epc_pool *pool, unsigned int node)
{
	struct epc_node *near = &pool->nodes[epc_node_find(pool, node)];

	if (near->id != node)
		return (struct sgx_epc_stat){ 0 };
	return read_node(pool, near);
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void sgx_epc_activity(struct sgx_epc_pool *pool, struct sgx_epc_activity *out)
{
	const struct epc_activity *a = &pool->activity;

	*out = (struct sgx_epc_activity){
		.enclaves = read_counter(&a->enclaves),
		.vepcs = read_counter(&a->vepcs),
		.evictable = epc_nr_evictable(pool, NULL),
		.backed = read_counter(&a->backed),
		.va_pages = read_counter(&a->va_pages),
		.orphans = read_counter(&a->orphans),
		.evicted = read_counter(&a->evicted),
		.reloaded = read_counter(&a->reloaded),
		.augmented = read_counter(&a->augmented),
		.evict_failed = read_counter(&a->evict_failed),
	};
}
