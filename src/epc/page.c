/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a page while somebody has it, as drawn in internal.h.  Nothing
 * here executes a leaf: each function is told that one succeeded, or is about
 * to run, and aborts when that cannot be.
 */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

static const char *state_name(uint8_t state)
{
	switch (state & ~EPC_POISON) {
#define STATE(name, text) case EPC_PAGE_##name: return text;
#include "page-states.def"
	default: return "corrupt";
	}
}

void epc_bug(const struct sgx_epc_pool *pool, const struct sgx_epc_page *page, const char *where)
{
	char message[160];

	snprintf(message, sizeof(message), "BUG in %s(): EPC page 0x%llx is %s", where,
		 (unsigned long long)sgx_epc_page_pa(pool, page), state_name(page->state));
	pool->port.log(pool->port.ctx, EPC_LOG_ERROR, message);
	abort();
}

uint64_t sgx_epc_page_pa(const struct sgx_epc_pool *pool, const struct sgx_epc_page *page)
{
	const struct epc_section *s = &pool->sections[page->section];

	return s->pa + ((uint64_t)(epc_page_index(pool, page) - s->first) << SGX_PAGE_SHIFT);
}

/* From state @from to @to, poison kept.  Return: false when it was not @from. */
static bool move(struct sgx_epc_pool *pool, struct sgx_epc_page *page, unsigned int from,
		 unsigned int to)
{
	uint8_t old = atomic_load_explicit(&page->state, memory_order_relaxed);

	if (!epc_page_may_move(from, to))
		epc_bug(pool, page, __func__);
	while ((old & ~EPC_POISON) == from) {
		const uint8_t new = (uint8_t)(to | (old & EPC_POISON));

		if (atomic_compare_exchange_weak_explicit(&page->state, &old, new,
							  memory_order_acq_rel,
							  memory_order_acquire))
			return true;
	}
	return false;
}

void sgx_epc_page_mark_initialized(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	if (!move(pool, page, EPC_PAGE_CLEAN, EPC_PAGE_INITIALIZED) &&
	    epc_page_state(page) != EPC_PAGE_INITIALIZED)
		epc_bug(pool, page, __func__);
}

void epc_page_cleaned(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	if (!move(pool, page, EPC_PAGE_INITIALIZED, EPC_PAGE_CLEAN) &&
	    !move(pool, page, EPC_PAGE_EVICTING, EPC_PAGE_CLEAN) &&
	    epc_page_state(page) != EPC_PAGE_CLEAN)
		epc_bug(pool, page, __func__);
}

bool epc_evict_begin(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	uint8_t old = EPC_PAGE_INITIALIZED;

	if (!epc_page_may_move(EPC_PAGE_INITIALIZED, EPC_PAGE_EVICTING))
		epc_bug(pool, page, __func__);
	if (atomic_compare_exchange_strong_explicit(&page->state, &old, EPC_PAGE_EVICTING,
						    memory_order_acq_rel, memory_order_acquire))
		return true;
	if (old != (EPC_PAGE_INITIALIZED | EPC_POISON))
		epc_bug(pool, page, __func__);
	return false;
}

void epc_evict_failed(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	if (!move(pool, page, EPC_PAGE_EVICTING, EPC_PAGE_INITIALIZED))
		epc_bug(pool, page, __func__);
}

bool epc_page_hand_over(struct sgx_epc_pool *pool, struct sgx_epc_page *page,
			const struct sgx_epc_group *group, const struct sgx_epc_owner *owner)
{
	const uint8_t state = atomic_load_explicit(&page->state, memory_order_acquire);

	if (state == (EPC_PAGE_CLEAN | EPC_POISON)) {
		sgx_free_epc_page(pool, page);
		return false;
	}
	if (state != EPC_PAGE_CLEAN)
		epc_bug(pool, page, __func__);
	/*
	 * Inside a group the charge goes with the page, so that the group is
	 * at no moment above its limit, nor below it for somebody else to take
	 * its place.  Otherwise the allocator has charged the new owner already.
	 */
	if (!group)
		epc_page_uncharge(page);
	page->owner = owner;
	return true;
}
