/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters as others see them.  Each is kept where it changes, under its
 * node's lock, so that a node always adds up; the total is exact whenever no
 * page is on its way between two states.
 */
#include "internal.h"

static struct sgx_epc_stat read_node(struct sgx_epc_pool *pool, struct epc_node *node)
{
	struct sgx_epc_stat stat;

	epc_lock(&node->lock, &pool->port);
	stat = (struct sgx_epc_stat){
		.total = node->nr_pages,
		.free = node->nr_free,
		.in_use = node->nr_in_use,
		.leaked = node->nr_leaked,
		.unsanitized = node->nr_unsanitized,
	};
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
		sum.in_use += one.in_use;
		sum.leaked += one.leaked;
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
