/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the manager's files share: the pool's structures and the one place
 * where the life of a page is defined.
 *
 *   UNSANITIZED --EREMOVE ok--> FREE --alloc--> CLEAN --ECREATE, EADD--> INITIALIZED
 *                                ^                | ^                        |
 *                                +------free------+ +-------EREMOVE ok-------+
 *                                                          EREMOVE failed -> LEAKED
 *
 * Only a CLEAN page can become FREE: sgx_free_epc_page() is the gate of the
 * pool, and it aborts on anything else.
 *
 * From outside the manager uses <errno.h> constants, memcpy, memset, snprintf
 * and abort, the names of codes and vectors from the processor's library, and
 * struct epc_port.  Nothing else.
 */
#ifndef EPC_INTERNAL_H
#define EPC_INTERNAL_H

#include <swsgx/epc.h>

#include "lock.h"

enum epc_page_state {
	EPC_PAGE_UNSANITIZED,	/* unknown contents, as found at start */
	EPC_PAGE_FREE,		/* in its node's free list */
	EPC_PAGE_CLEAN,		/* allocated, uninitialized */
	EPC_PAGE_INITIALIZED,	/* allocated, a leaf may have made it valid */
	EPC_PAGE_LEAKED,	/* EREMOVE failed at freeing; for ever */
};

#define EPC_NO_PAGE UINT32_MAX

/* One page of EPC; its index in sgx_epc_pool.pages is its name. */
struct sgx_epc_page {
	const struct sgx_epc_owner *owner;	/* of the holder; NULL: none */
	uint32_t next;		/* list it is in; guarded by its node's lock */
	uint16_t section;	/* constant */
	uint8_t state;		/* enum epc_page_state; the holder's, or its node's lock */
};

_Static_assert(sizeof(struct sgx_epc_page) <= 16, "16 bytes for 4096 of EPC");

/* One cache line each: the lock and all it guards arrive together. */
struct epc_node {
	_Alignas(64) struct epc_lock lock;
	unsigned int id;	/* constant; nodes are sorted by it */
	uint32_t free_head;
	uint32_t unsanitized_head;
	uint32_t nr_pages;	/* constant */
	uint32_t nr_free;
	uint32_t nr_in_use;
	uint32_t nr_leaked;
	uint32_t nr_unsanitized;
};

_Static_assert(sizeof(struct epc_node) == 64, "a node is one cache line");

struct epc_section {
	uint64_t pa;
	uint64_t nr_pages;
	struct epc_node *node;
	uint32_t first;		/* index of its first page */
};

/*
 * Room for every page from the start, so that appending can never fail.  A row
 * is 112 bytes for 4096 of EPC, and a port whose memory is backed when first
 * touched pays for none before the first leak.  Rows below nr are constant:
 * readers need no lock.
 */
struct epc_ledger {
	struct epc_lock lock;	/* between appenders */
	_Atomic size_t nr;
	struct sgx_epc_leak *rows;
};

struct sgx_epc_pool {
	struct epc_port port;
	struct epc_encls_ops ops;
	struct epc_mm_ops mm;
	struct sgx_epc_page *pages;
	struct epc_section *sections;
	struct epc_node *nodes;
	void *nodes_mem;	/* what @nodes was aligned in */
	uint32_t nr_pages;
	uint32_t nr_sections;
	uint32_t nr_nodes;
	struct epc_ledger ledger;
};

static inline void *epc_alloc(const struct epc_port *port, size_t size)
{
	return port->alloc(port->ctx, size);
}

static inline void epc_free(const struct epc_port *port, void *p)
{
	if (p)
		port->free(port->ctx, p);
}

static inline uint32_t epc_page_index(const struct sgx_epc_pool *pool,
				      const struct sgx_epc_page *page)
{
	return (uint32_t)(page - pool->pages);
}

static inline struct epc_node *epc_page_node(const struct sgx_epc_pool *pool,
					     const struct sgx_epc_page *page)
{
	return pool->sections[page->section].node;
}

static inline void epc_list_push(struct sgx_epc_pool *pool, uint32_t *head,
				 struct sgx_epc_page *page)
{
	page->next = *head;
	*head = epc_page_index(pool, page);
}

/* The first page of a list, taken out of it; NULL when it is empty. */
static inline struct sgx_epc_page *epc_list_pop(struct sgx_epc_pool *pool, uint32_t *head)
{
	struct sgx_epc_page *page;

	if (*head == EPC_NO_PAGE)
		return NULL;
	page = &pool->pages[*head];
	*head = page->next;
	return page;
}

/**
 * epc_bug() - the manager or its caller is wrong about @page: say so and abort.
 * Always on.  Hold no lock that epc_port.log may want.
 */
_Noreturn void epc_bug(const struct sgx_epc_pool *pool, const struct sgx_epc_page *page,
		       const char *where);

/** epc_page_is_allocated() - somebody holds it: CLEAN or INITIALIZED. */
static inline bool epc_page_is_allocated(const struct sgx_epc_page *page)
{
	return page->state == EPC_PAGE_CLEAN || page->state == EPC_PAGE_INITIALIZED;
}

/**
 * epc_page_leak() - take an allocated page out of circulation for ever.
 * @result: what EREMOVE said; not ISA_DONE.
 * Counts it, enters it into the ledger and logs the pool's first leak.
 */
void epc_page_leak(struct sgx_epc_pool *pool, struct sgx_epc_page *page,
		   struct isa_outcome result, const char *site);

/** epc_page_set_leaked() - the accounting half of epc_page_leak(). */
void epc_page_set_leaked(struct sgx_epc_pool *pool, struct sgx_epc_page *page);

/** epc_node_find() - index of the first node with an id >= @id, cyclic. */
uint32_t epc_node_find(const struct sgx_epc_pool *pool, unsigned int id);

#endif /* EPC_INTERNAL_H */
