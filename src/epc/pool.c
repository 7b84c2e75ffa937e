/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool: sections, nodes, taking a page and giving it back.  Nothing here
 * executes a leaf.  A page enters a free list through sgx_free_epc_page() or
 * the sanitizer, both of which have evidence that it is uninitialized.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

static const char *state_name(uint8_t state)
{
	switch (state) {
	case EPC_PAGE_UNSANITIZED: return "unsanitized";
	case EPC_PAGE_FREE: return "free";
	case EPC_PAGE_CLEAN: return "clean";
	case EPC_PAGE_INITIALIZED: return "initialized";
	case EPC_PAGE_LEAKED: return "leaked";
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

/* --- taking and giving back ----------------------------------------------- */

/* Not inlined, like alloc_from_others(): most machines have one node. */
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

static struct sgx_epc_page *alloc_from_node(struct sgx_epc_pool *pool, struct epc_node *node,
					    const struct sgx_epc_owner *owner)
{
	struct sgx_epc_page *page;

	epc_lock(&node->lock, &pool->port);
	page = epc_list_pop(pool, &node->free_head);
	if (page) {
		page->owner = owner;
		page->state = EPC_PAGE_CLEAN;
		node->nr_free--;
		node->nr_in_use++;
	}
	epc_unlock(&node->lock);
	return page;
}

/*
 * Every other node, once, onwards from @near.  Counted, not "until back at the
 * start", so that it ends whatever it is given.  Out of line, because the fast
 * path would have to save registers for it.
 */
static __attribute__((noinline)) struct sgx_epc_page *
alloc_from_others(struct sgx_epc_pool *pool, uint32_t near, const struct sgx_epc_owner *owner)
{
	struct sgx_epc_page *page = NULL;
	uint32_t i, n = near;

	for (i = 1; i < pool->nr_nodes && !page; i++) {
		n = n + 1 == pool->nr_nodes ? 0 : n + 1;
		page = alloc_from_node(pool, &pool->nodes[n], owner);
	}
	return page;
}

int sgx_alloc_epc_page(struct sgx_epc_pool *pool, const struct sgx_epc_owner *owner,
		       unsigned int flags, struct sgx_epc_page **out)
{
	struct sgx_epc_page *page;
	uint32_t near = 0;

	if (pool->nr_nodes > 1)
		near = epc_node_find(pool, pool->port.node(pool->port.ctx));

	page = alloc_from_node(pool, &pool->nodes[near], owner);
	if (!page)
		page = alloc_from_others(pool, near, owner);
	if (!page)
		return -ENOMEM;
	*out = page;
	return 0;
}

void sgx_free_epc_page(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	struct epc_node *node = epc_page_node(pool, page);
	bool clean;

	/* Tested under the lock, so that of two frees of a page one is caught. */
	epc_lock(&node->lock, &pool->port);
	clean = page->state == EPC_PAGE_CLEAN;
	if (clean) {
		page->owner = NULL;
		page->state = EPC_PAGE_FREE;
		epc_list_push(pool, &node->free_head, page);
		node->nr_in_use--;
		node->nr_free++;
	}
	epc_unlock(&node->lock);

	if (!clean)
		epc_bug(pool, page, __func__);
}

void sgx_epc_page_mark_initialized(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	if (!epc_page_is_allocated(page))
		epc_bug(pool, page, __func__);
	page->state = EPC_PAGE_INITIALIZED;
}

void epc_page_set_leaked(struct sgx_epc_pool *pool, struct sgx_epc_page *page)
{
	struct epc_node *node = epc_page_node(pool, page);

	epc_lock(&node->lock, &pool->port);
	page->owner = NULL;
	page->state = EPC_PAGE_LEAKED;
	node->nr_in_use--;
	node->nr_leaked++;
	epc_unlock(&node->lock);
}

/* --- setting up ----------------------------------------------------------- */

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
	const size_t align = _Alignof(struct epc_node);
	uintptr_t nodes;

	pool->pages = epc_alloc(port, pool->nr_pages * sizeof(*pool->pages));
	pool->sections = epc_alloc(port, pool->nr_sections * sizeof(*pool->sections));
	pool->ledger.rows = epc_alloc(port, pool->nr_pages * sizeof(*pool->ledger.rows));
	pool->nodes_mem = epc_alloc(port, pool->nr_sections * sizeof(*pool->nodes) + align - 1);
	if (!pool->pages || !pool->sections || !pool->ledger.rows || !pool->nodes_mem)
		return -ENOMEM;

	nodes = ((uintptr_t)pool->nodes_mem + align - 1) & ~(uintptr_t)(align - 1);
	pool->nodes = (struct epc_node *)nodes;
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
	pool->nodes[i].free_head = EPC_NO_PAGE;
	pool->nodes[i].unsanitized_head = EPC_NO_PAGE;
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
		page->state = known_clean ? EPC_PAGE_FREE : EPC_PAGE_UNSANITIZED;
		epc_list_push(pool, known_clean ? &node->free_head : &node->unsanitized_head,
			      page);
	}
	node->nr_pages += (uint32_t)s->nr_pages;
	if (known_clean)
		node->nr_free += (uint32_t)s->nr_pages;
	else
		node->nr_unsanitized += (uint32_t)s->nr_pages;
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

	err = check_sections(pool, config);
	if (!err)
		err = alloc_arrays(pool);
	if (err) {
		sgx_epc_pool_destroy(pool);
		return err;
	}
	add_sections(pool, config);
	*out = pool;
	return 0;
}

void sgx_epc_pool_destroy(struct sgx_epc_pool *pool)
{
	struct epc_port port;

	if (!pool)
		return;
	port = pool->port;
	epc_free(&port, pool->nodes_mem);
	epc_free(&port, pool->ledger.rows);
	epc_free(&port, pool->sections);
	epc_free(&port, pool->pages);
	epc_free(&port, pool);
}
