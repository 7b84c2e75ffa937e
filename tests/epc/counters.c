/* SPDX-License-Identifier: BSD-3-Clause */
#include "counters.h"

#include "../../src/epc/internal.h"

#define MAX_NODES 16u

/* The counters once more, from the pages themselves. */
static void count_states(const struct sgx_epc_pool *pool, struct sgx_epc_stat *nodes)
{
	uint32_t i;

	for (i = 0; i < pool->nr_pages; i++) {
		const struct sgx_epc_page *page = &pool->pages[i];
		struct sgx_epc_stat *s = &nodes[epc_page_node(pool, page) - pool->nodes];

		s->total++;
		switch (epc_page_state(page)) {
		case EPC_PAGE_UNSANITIZED:
		case EPC_PAGE_SANITIZING: s->unsanitized++; break;
		case EPC_PAGE_FREE: s->free++; break;
		case EPC_PAGE_CACHED: s->cached++; break;
		case EPC_PAGE_CLEAN:
		case EPC_PAGE_INITIALIZED:
		case EPC_PAGE_EVICTING: s->in_use++; break;
		case EPC_PAGE_LEAKED: s->leaked++; break;
		case EPC_PAGE_POISONED: s->poisoned++; break;
		}
	}
}

static void add(struct sgx_epc_stat *sum, const struct sgx_epc_stat *s)
{
	sum->total += s->total;
	sum->free += s->free;
	sum->cached += s->cached;
	sum->in_use += s->in_use;
	sum->leaked += s->leaked;
	sum->poisoned += s->poisoned;
	sum->unsanitized += s->unsanitized;
}

static void assert_stat_adds_up(const struct sgx_epc_stat *s)
{
	assert_int_equal(s->free + s->cached + s->in_use + s->leaked + s->poisoned +
			 s->unsanitized, s->total);
}

void assert_counters_add_up(struct sgx_epc_pool *pool, uint32_t max)
{
	const struct sgx_epc_stat total = sgx_epc_stat_total(pool);
	const bool counts = pool->nr_pages <= max && pool->nr_nodes <= MAX_NODES;
	struct sgx_epc_stat counted[MAX_NODES] = { 0 }, sum = { 0 };
	uint32_t i;

	if (counts)
		count_states(pool, counted);
	for (i = 0; i < pool->nr_nodes; i++) {
		const struct sgx_epc_stat s = sgx_epc_stat_node(pool, pool->nodes[i].id);

		assert_stat_adds_up(&s);
		if (counts)
			assert_memory_equal(&counted[i], &s, sizeof(s));
		add(&sum, &s);
	}
	assert_memory_equal(&sum, &total, sizeof(sum));
	assert_int_equal(total.total, pool->nr_pages);
	assert_int_equal(total.leaked, atomic_load(&pool->ledger.nr));
}
