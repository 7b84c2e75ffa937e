/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Setting the pool up over its sections and nodes, and ending it.
 */
#include <errno.h>

#include "cache.h"
#include "free-list.h"

/* Not inlined: most machines have one node. */
__attribute__((noinline))
uint32_t epc_node_find(const struct sgx_epc_pool *pool, unsigned int id)
{
	uint32_t lo = 0, hi = pool->nr_nodes;

	while (lo < hi) {
		const uint32_t mid = lo + (hi - lo) / 2;

		if (pool->nodes[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo == pool->nr_nodes ? 0 : lo;
}

static bool section_is_valid(const struct isa_section *s)
{
	const uint64_t max = (UINT64_MAX - s->pa) >> SGX_PAGE_SHIFT;

	return !(s->pa & ~SGX_PAGE_MASK) && s->nr_pages && s->nr_pages <= max;
}

static bool sections_overlap(const struct isa_section *a, const struct isa_section *b)
{
	return a->pa < b->pa + (b->nr_pages << SGX_PAGE_SHIFT) &&
	       b->pa < a->pa + (a->nr_pages << SGX_PAGE_SHIFT);
}

/* Fills nr_sections, nr_pages and an upper bound of nr_nodes. */
static int check_sections(struct sgx_epc_pool *pool, const struct sgx_epc_config *config)
{
	const struct isa_section *s = config->sections;
	uint64_t nr_pages = 0;
	size_t i, j;

	if (!config->nr_sections || config->nr_sections > UINT16_MAX)
		return -EINVAL;
	for (i = 0; i < config->nr_sections; i++) {
		if (!section_is_valid(&s[i]))
			return -EINVAL;
		for (j = 0; j < i; j++) {
			if (sections_overlap(&s[i], &s[j]))
				return -EINVAL;
		}
		/* In this order the sum cannot wrap. */
		if (s[i].nr_pages >= EPC_NO_PAGE - nr_pages)
			return -EINVAL;
		nr_pages += s[i].nr_pages;
	}
	pool->nr_sections = (uint32_t)config->nr_sections;
	pool->nr_pages = (uint32_t)nr_pages;
	return 0;
}

static int alloc_arrays(struct sgx_epc_pool *pool)
{
	const struct epc_port *port = &pool->port;

	pool->pages = epc_alloc_aligned(port, pool->nr_pages * sizeof(*pool->pages), EPC_BLOCK,
					&pool->pages_mem);
	pool->sections = epc_alloc(port, pool->nr_sections * sizeof(*pool->sections));
	pool->ledger.rows = epc_alloc(port, pool->nr_pages * sizeof(*pool->ledger.rows));
	pool->nodes = epc_alloc_aligned(port, pool->nr_sections * sizeof(*pool->nodes),
					_Alignof(struct epc_node), &pool->nodes_mem);
	if (!pool->pages || !pool->sections || !pool->ledger.rows || !pool->nodes)
		return -ENOMEM;
	return 0;
}

/* Insert node @id into the sorted array, once. */
static void add_node(struct sgx_epc_pool *pool, unsigned int id)
{
	uint32_t i = pool->nr_nodes, j;

	for (j = 0; j < pool->nr_nodes; j++) {
		if (pool->nodes[j].id == id)
			return;
	}
	pool->nodes[i].whole_head = pool->nodes[i].partial_head = EPC_NO_PAGE;
	for (j = 0; j < EPC_NR_UNSANITIZED; j++)
		pool->nodes[i].unsanitized_head[j] = EPC_NO_PAGE;
	/* No node has pages yet: the id is all that moves. */
	for (; i > 0 && pool->nodes[i - 1].id > id; i--)
		pool->nodes[i].id = pool->nodes[i - 1].id;
	pool->nodes[i].id = id;
	pool->nr_nodes++;
}

/* Put the pages of section @nr into their lists, lowest address first out. */
static void add_pages(struct sgx_epc_pool *pool, uint16_t nr, bool known_clean)
{
	const struct epc_section *s = &pool->sections[nr];
	struct epc_node *node = s->node;
	uint32_t i;

	for (i = (uint32_t)s->nr_pages; i-- > 0;) {
		struct sgx_epc_page *page = &pool->pages[s->first + i];

		page->section = nr;
		if (known_clean) {
			atomic_init(&page->state, EPC_PAGE_CLEAN);
			epc_free_push(pool, node, page, EPC_PAGE_CLEAN);
			continue;
		}
		atomic_init(&page->state, EPC_PAGE_UNSANITIZED);
		epc_list_push(pool, &node->unsanitized_head[EPC_UNTRIED], page);
		node->nr_unsanitized++;
	}
	node->nr_pages += (uint32_t)s->nr_pages;
}

static void add_sections(struct sgx_epc_pool *pool, const struct sgx_epc_config *config)
{
	const struct isa_section *s = config->sections;
	uint32_t i, first = 0;

	for (i = 0; i < pool->nr_sections; i++)
		add_node(pool, s[i].node);

	for (i = 0; i < pool->nr_sections; i++) {
		pool->sections[i] = (struct epc_section){
			.pa = s[i].pa,
			.nr_pages = s[i].nr_pages,
			.first = first,
			.node = &pool->nodes[epc_node_find(pool, s[i].node)],
		};
		first += (uint32_t)s[i].nr_pages;
	}
	for (i = pool->nr_sections; i-- > 0;)
		add_pages(pool, (uint16_t)i, config->known_clean);
}

/*
 * A sixty-fourth of the EPC, as much as 8 MiB: what a burst of faults takes
 * while the reclaimer wakes up does not grow with the EPC beyond that.
 */
static void set_watermarks(struct sgx_epc_pool *pool)
{
	uint64_t low = pool->nr_pages / 64;

	if (low < 1)
		low = 1;
	if (low > 2048)
		low = 2048;
	pool->watermarks = (struct sgx_epc_watermarks){ .low = low, .high = 2 * low };
}

struct sgx_epc_watermarks sgx_epc_watermarks(const struct sgx_epc_pool *pool)
{
	return pool->watermarks;
}

int sgx_epc_pool_create(const struct sgx_epc_config *config, struct sgx_epc_pool **out)
{
	struct sgx_epc_pool *pool;
	int err;

	pool = epc_alloc(&config->port, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	pool->port = config->port;
	pool->ops = config->ops;
	pool->mm = config->mm;
	pool->overcommit = config->overcommit;
	pool->on_leak = config->on_leak;
	epc_orphans_init(&pool->orphans);

	err = check_sections(pool, config);
	if (!err)
		err = alloc_arrays(pool);
	if (err) {
		sgx_epc_pool_destroy(pool);
		return err;
	}
	add_sections(pool, config);
	set_watermarks(pool);
	err = epc_caches_init(pool, config->nr_caches);
	if (err) {
		sgx_epc_pool_destroy(pool);
		return err;
	}
	*out = pool;
	return 0;
}

void sgx_epc_pool_destroy(struct sgx_epc_pool *pool)
{
	struct epc_port port;

	if (!pool)
		return;
	port = pool->port;
	epc_orphans_finish(pool);
	epc_caches_finish(pool);
	epc_free(&port, pool->nodes_mem);
	epc_free(&port, pool->ledger.rows);
	epc_free(&port, pool->sections);
	epc_free(&port, pool->pages_mem);
	epc_free(&port, pool);
}
