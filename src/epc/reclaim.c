/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Evicting pages.  Nothing is evictable without paging.
 */
#include "internal.h"

uint64_t epc_nr_evictable(struct sgx_epc_pool *pool, const struct sgx_epc_group *group)
{
	return 0;
}

uint64_t epc_reclaim_one(struct sgx_epc_pool *pool, struct sgx_epc_group *group,
			 const struct sgx_epc_owner *owner, struct sgx_epc_page **page)
{
	return 0;
}

uint64_t sgx_epc_reclaim(struct sgx_epc_pool *pool, uint64_t nr)
{
	return 0;
}

void sgx_epc_reclaim_background(struct sgx_epc_pool *pool, const atomic_bool *stop)
{
}
