/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Version array pages.  An enclave has slots for all its pages before it has the
 * pages, so that writing one out never needs EPC: there would be none.  An empty
 * VA page goes back as soon as the pages left do with one less.
 */
#include <errno.h>

#include "encl.h"

/* The SECS is written out like any page. */
static uint64_t nr_slots_for(uint64_t nr_records)
{
	return nr_records + 1;
}

bool epc_va_is_needed(const struct sgx_encl *encl)
{
	return epc_pool_can_page(encl->pool) &&
	       (uint64_t)encl->nr_va_pages * EPC_VA_SLOTS < nr_slots_for(encl->nr_records + 1);
}

static void va_free(struct sgx_encl *encl, struct epc_va_page *va, const char *site)
{
	struct sgx_epc_pool *pool = encl->pool;

	encl->nr_va_pages--;
	atomic_fetch_sub_explicit(&encl->nr_pages, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&pool->activity.va_pages, 1, memory_order_relaxed);
	sgx_encl_free_epc_page(pool, va->page, site);
	epc_free(&pool->port, va);
}

int epc_va_grow(struct sgx_encl *encl, struct sgx_epc_page *page, const char *site)
{
	struct sgx_epc_pool *pool = encl->pool;
	struct epc_va_page *va = epc_alloc(&pool->port, sizeof(*va));

	if (!va) {
		sgx_free_epc_page(pool, page);
		return -ENOMEM;
	}
	sgx_epc_page_mark_initialized(pool, page);
	if (!isa_is_done(pool->ops.epa(pool->ops.ctx, sgx_epc_page_pa(pool, page)))) {
		sgx_encl_free_epc_page(pool, page, site);
		epc_free(&pool->port, va);
		return -EIO;
	}
	va->page = page;
	va->next = encl->va_pages;
	encl->va_pages = va;
	encl->nr_va_pages++;
	atomic_fetch_add_explicit(&encl->nr_pages, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&pool->activity.va_pages, 1, memory_order_relaxed);
	return 0;
}

static bool one_is_spare(const struct sgx_encl *encl)
{
	return (uint64_t)encl->nr_va_pages * EPC_VA_SLOTS >=
	       nr_slots_for(encl->nr_records) + EPC_VA_SLOTS;
}

void epc_va_shrink(struct sgx_encl *encl)
{
	struct epc_va_page **link = &encl->va_pages, *va;

	while (one_is_spare(encl) && (va = *link)) {
		if (va->nr_used) {
			link = &va->next;
			continue;
		}
		*link = va->next;
		va_free(encl, va, __func__);
	}
}

void epc_va_finish(struct sgx_encl *encl, const char *site)
{
	struct epc_va_page *va;

	while ((va = encl->va_pages)) {
		encl->va_pages = va->next;
		va_free(encl, va, site);
	}
}

static uint32_t first_zero(const uint64_t used[EPC_VA_SLOTS / 64])
{
	uint32_t i = 0;

	while (used[i] == UINT64_MAX)
		i++;
	return i * 64 + (uint32_t)__builtin_ctzll(~used[i]);
}

/* Of the first page that has one: so the last pages are those that become empty. */
struct epc_va_slot epc_va_slot_get(struct sgx_encl *encl)
{
	struct epc_va_slot slot = { .va = encl->va_pages };

	while (slot.va && slot.va->nr_used == EPC_VA_SLOTS)
		slot.va = slot.va->next;
	if (!slot.va)
		return slot;
	slot.nr = first_zero(slot.va->used);
	slot.va->used[slot.nr / 64] |= 1ull << slot.nr % 64;
	slot.va->nr_used++;
	return slot;
}

void epc_va_slot_put(struct sgx_encl *encl, struct epc_va_slot slot)
{
	if (!slot.va)
		return;
	slot.va->used[slot.nr / 64] &= ~(1ull << slot.nr % 64);
	slot.va->nr_used--;
}

uint64_t epc_va_slot_pa(const struct sgx_encl *encl, struct epc_va_slot slot)
{
	return sgx_epc_page_pa(encl->pool, slot.va->page) + slot.nr * 8;
}
