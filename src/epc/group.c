/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Limits: how many pages the owners of a group hold together.  A page is
 * charged before it is taken and uncharged when its holder loses it, by
 * freeing, eviction or a leak.
 */
#include <errno.h>

#include "internal.h"

int sgx_epc_group_create(struct sgx_epc_pool *pool, uint64_t limit, struct sgx_epc_group **out)
{
	struct sgx_epc_group *group = epc_alloc(&pool->port, sizeof(*group));

	if (!group)
		return -ENOMEM;
	group->pool = pool;
	atomic_init(&group->limit, limit);
	*out = group;
	return 0;
}

void sgx_epc_group_destroy(struct sgx_epc_group *group)
{
	if (group)
		epc_free(&group->pool->port, group);
}

void sgx_epc_group_set_limit(struct sgx_epc_group *group, uint64_t limit)
{
	atomic_store_explicit(&group->limit, limit, memory_order_relaxed);
}

uint64_t sgx_epc_group_usage(const struct sgx_epc_group *group)
{
	return atomic_load_explicit(&group->usage, memory_order_relaxed);
}

bool epc_group_charge(struct sgx_epc_group *group)
{
	uint64_t usage;

	if (!group)
		return true;
	usage = atomic_load_explicit(&group->usage, memory_order_relaxed);
	do {
		if (usage >= atomic_load_explicit(&group->limit, memory_order_relaxed))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&group->usage, &usage, usage + 1,
							memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

void epc_group_uncharge(struct sgx_epc_group *group)
{
	if (group)
		atomic_fetch_sub_explicit(&group->usage, 1, memory_order_relaxed);
}
