/* SPDX-License-Identifier: BSD-3-Clause */
#include "free-list.h"

/* --- lines -------------------------------------------------------------------- */

/* The pages of one line, or of one block, and section. */
struct line {
	struct sgx_epc_page *first;
	uint32_t nr;
};

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Of @length pages, where @page is. */
static struct line stretch_of(const struct sgx_epc_pool *pool, const struct sgx_epc_page *page,
			      uint32_t length)
{
	const struct epc_section *s = &pool->sections[page->section];
	const uint32_t start = epc_page_index(pool, page) / length * length;
	const uint32_t first = larger(start, s->first);
	const uint32_t end = smaller(start + length, s->first + (uint32_t)s->nr_pages);

	return (struct line){ &pool->pages[first], end - first };
}

static struct line line_of(const struct sgx_epc_pool *pool, const struct sgx_epc_page *page)
{
	return stretch_of(pool, page, EPC_PAGES_PER_LINE);
}

static struct line block_of(const struct sgx_epc_pool *pool, const struct sgx_epc_page *page)
{
	return stretch_of(pool, page, EPC_PAGES_PER_BLOCK);
}

static bool is_free(const struct sgx_epc_page *page)
{
	return atomic_load_explicit(&page->state, memory_order_relaxed) == EPC_PAGE_FREE;
}

/* Are all of them free, @except aside?  NULL: without exception. */
static bool is_whole(const struct line *line, const struct sgx_epc_page *except)
{
	const struct sgx_epc_page *page;

	for (page = line->first; page < line->first + line->nr; page++) {
		if (page != except && !is_free(page))
			return false;
	}
	return true;
}

/* --- lists -------------------------------------------------------------------- */

static void link_first(struct sgx_epc_pool *pool, uint32_t *head, struct sgx_epc_page *page)
{
	const uint32_t index = epc_page_index(pool, page);

	page->next = *head;
	page->prev = EPC_NO_PAGE;
	if (*head != EPC_NO_PAGE)
		pool->pages[*head].prev = index;
	*head = index;
}

static void unlink(struct sgx_epc_pool *pool, uint32_t *head, struct sgx_epc_page *page)
{
	if (page->next != EPC_NO_PAGE)
		pool->pages[page->next].prev = page->prev;
	if (page->prev != EPC_NO_PAGE)
		pool->pages[page->prev].next = page->next;
	else
		*head = page->next;
}

/* All of @line but @except, the lowest address last and so first in the list. */
static void move_line(struct sgx_epc_pool *pool, const struct line *line,
		      const struct sgx_epc_page *except, uint32_t *from, uint32_t *to)
{
	uint32_t i;

	for (i = line->nr; i-- > 0;) {
		struct sgx_epc_page *page = line->first + i;

		if (page == except)
			continue;
		unlink(pool, from, page);
		link_first(pool, to, page);
	}
}

/* --- both --------------------------------------------------------------------- */

void epc_free_push(struct sgx_epc_pool *pool, struct epc_node *node, struct sgx_epc_page *page,
		   unsigned int from)
{
	const struct line line = line_of(pool, page);

	epc_page_set(pool, page, from, EPC_PAGE_FREE);
	link_first(pool, &node->partial_head, page);
	if (is_whole(&line, NULL))
		move_line(pool, &line, NULL, &node->partial_head, &node->whole_head);
	epc_node_add_free(node, 1);
}

void epc_free_remove(struct sgx_epc_pool *pool, struct epc_node *node, struct sgx_epc_page *page,
		     unsigned int to)
{
	const struct line line = line_of(pool, page);

	if (!is_free(page))
		epc_bug(pool, page, __func__);
	if (is_whole(&line, page))
		move_line(pool, &line, NULL, &node->whole_head, &node->partial_head);
	unlink(pool, &node->partial_head, page);
	epc_page_set(pool, page, EPC_PAGE_FREE, to);
	epc_node_add_free(node, -1);
}

struct sgx_epc_page *epc_free_pop(struct sgx_epc_pool *pool, struct epc_node *node,
				  unsigned int to)
{
	const uint32_t head = node->partial_head != EPC_NO_PAGE ? node->partial_head :
								  node->whole_head;

	if (head == EPC_NO_PAGE)
		return NULL;
	epc_free_remove(pool, node, &pool->pages[head], to);
	return &pool->pages[head];
}

static void pop_line(struct sgx_epc_pool *pool, struct epc_node *node, const struct line *line,
		     unsigned int to, struct sgx_epc_page **pages)
{
	uint32_t i;

	for (i = 0; i < line->nr; i++) {
		struct sgx_epc_page *page = line->first + i;

		unlink(pool, &node->whole_head, page);
		epc_page_set(pool, page, EPC_PAGE_FREE, to);
		pages[i] = page;
	}
	epc_node_add_free(node, -(int32_t)line->nr);
}

uint32_t epc_free_pop_lines(struct sgx_epc_pool *pool, struct epc_node *node, unsigned int to,
			    struct sgx_epc_page **pages, uint32_t max)
{
	struct sgx_epc_page *page;
	struct line block, line;
	uint32_t nr = 0;

	if (node->whole_head == EPC_NO_PAGE)
		return 0;
	block = block_of(pool, &pool->pages[node->whole_head]);
	for (page = block.first; page < block.first + block.nr; page = line.first + line.nr) {
		line = line_of(pool, page);
		if (line.nr > max - nr || !is_whole(&line, NULL))
			continue;
		pop_line(pool, node, &line, to, &pages[nr]);
		nr += line.nr;
	}
	return nr;
}
