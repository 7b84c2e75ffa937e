/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Broken memory.  What nobody has is parked at once; what somebody has is
 * marked, and parked where it would have become free.  Against the few
 * instructions of the allocator that have neither lock nor atomic operation a
 * report first becomes owner of all caches: memory breaks rarely.
 */
#include <errno.h>

#include "cache.h"
#include "free-list.h"

/* Return: NULL when @pa is in no section. */
static struct sgx_epc_page *page_at(struct sgx_epc_pool *pool, uint64_t pa)
{
	uint32_t i;

	for (i = 0; i < pool->nr_sections; i++) {
		const struct epc_section *s = &pool->sections[i];

		if (pa >= s->pa && (pa - s->pa) >> SGX_PAGE_SHIFT < s->nr_pages)
			return &pool->pages[s->first + ((pa - s->pa) >> SGX_PAGE_SHIFT)];
	}
	return NULL;
}

/* Nobody has @page any more, nor ever will.  One to sanitize leaves its list when popped. */
static void park(struct sgx_epc_pool *pool, struct epc_node *node, struct sgx_epc_page *page)
{
	epc_page_set(pool, page, epc_page_state(page), EPC_PAGE_POISONED);
	node->nr_poisoned++;
}

/* Inside all caches and under the node's lock: only the holder can be at work. */
static void poison_locked(struct sgx_epc_pool *pool, struct epc_node *node,
			  struct sgx_epc_page *page)
{
	switch (epc_page_state(page)) {
	case EPC_PAGE_FREE:
		epc_free_remove(pool, node, page, EPC_PAGE_POISONED);
		node->nr_poisoned++;
		break;
	case EPC_PAGE_CACHED:
		epc_cache_drop(pool, page);
		node->nr_out--;
		park(pool, node, page);
		break;
	case EPC_PAGE_UNSANITIZED:
		node->nr_unsanitized--;
		node->nr_poisoned_dirty++;
		park(pool, node, page);
		break;
	case EPC_PAGE_SANITIZING:
	case EPC_PAGE_CLEAN:
	case EPC_PAGE_INITIALIZED:
	case EPC_PAGE_EVICTING:
		atomic_fetch_or_explicit(&page->state, EPC_POISON, memory_order_acq_rel);
		break;
	case EPC_PAGE_LEAKED:
	case EPC_PAGE_POISONED:
		break;
	}
}

int sgx_epc_poison(struct sgx_epc_pool *pool, uint64_t pa)
{
	struct sgx_epc_page *page = page_at(pool, pa);
	struct epc_node *node;

	if (!page)
		return -ENXIO;
	node = epc_page_node(pool, page);

	epc_caches_seize(pool);
	epc_lock(&node->lock, &pool->port);
	poison_locked(pool, node, page);
	epc_unlock(&node->lock);
	epc_caches_return(pool);

	/* No EWB begins from here on; wait for the end of one that has begun. */
	while (epc_page_state(page) == EPC_PAGE_EVICTING)
		epc_relax(&pool->port);
	return 0;
}
