/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What leaks mean for those who come after: the health others ask for, and
 * whether a new enclave may begin.
 */
#include <errno.h>

#include "internal.h"

enum sgx_epc_health sgx_epc_health(struct sgx_epc_pool *pool)
{
	const struct sgx_epc_stat s = sgx_epc_stat_total(pool);
	const uint64_t usable = s.total - s.leaked - s.poisoned - s.unsanitized;

	if (s.leaked && usable < pool->watermarks.low)
		return SGX_EPC_FAILING;
	if (s.leaked || atomic_load_explicit(&pool->activity.orphans, memory_order_relaxed))
		return SGX_EPC_DEGRADED;
	return SGX_EPC_OK;
}

int epc_may_create(struct sgx_epc_pool *pool)
{
	if (pool->on_leak != SGX_EPC_LEAK_REFUSE ||
	    !atomic_load_explicit(&pool->ledger.nr, memory_order_acquire))
		return 0;
	if (!atomic_exchange_explicit(&pool->refusal_logged, true, memory_order_relaxed))
		pool->port.log(pool->port.ctx, EPC_LOG_WARNING,
			       "An EPC page was leaked: no new enclaves are created; "
			       "refer to docs/epc-leaks.md for more information.");
	return -EBUSY;
}
