/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the manager's files share: the pool's structures and the one place
 * where the life of a page is defined.
 *
 *   UNSANITIZED --taken--> SANITIZING --EREMOVE ok--> FREE
 *
 *   FREE, CACHED --alloc--> CLEAN --ECREATE, EADD, ...--> INITIALIZED
 *        ^                  |  ^                           |  ^  |
 *        +------free--------+  +-----EREMOVE ok------------+  |  |
 *                              |                   EWB failed |  | before EWB
 *                              +-----EWB ok-------------- EVICTING
 *
 *   CLEAN, INITIALIZED --EREMOVE failed at freeing--> LEAKED
 *
 * Only a CLEAN page can become FREE or CACHED: the gate of the pool is in
 * alloc.c, and epc_page_set() aborts on every move that page-states.def does
 * not have.  EPC_POISON marks a page whose memory is broken while somebody has
 * it; it becomes POISONED where it would become free.
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
#define STATE(name, text) EPC_PAGE_##name,
#include "page-states.def"
};

/* Added to the state of a page that somebody has. */
#define EPC_POISON 0x80u

#define EPC_NO_PAGE UINT32_MAX

/* One page of EPC; its index in sgx_epc_pool.pages is its name. */
struct sgx_epc_page {
	union {
		const struct sgx_epc_owner *owner;	/* of the holder; NULL: none */
		uint32_t prev;	/* of one that is FREE; see free-list.h */
	};
	uint32_t next;		/* list it is in; guarded by its node's lock */
	uint16_t section;	/* constant */
	/*
	 * enum epc_page_state, with EPC_POISON.  Changes into and out of the
	 * pool happen under the node's lock or inside a cache; the holder's
	 * changes without, against which poison is one atomic operation.
	 */
	_Atomic uint8_t state;
};

_Static_assert(sizeof(struct sgx_epc_page) <= 16, "16 bytes for 4096 of EPC");

/* What processors fetch at once, two lines. */
#define EPC_LINE 128u
#define EPC_PAGES_PER_LINE ((uint32_t)(EPC_LINE / sizeof(struct sgx_epc_page)))
/*
 * As far as a processor reaches that fetches lines before anybody asks for them; the
 * array of pages begins at a multiple of it.
 */
#define EPC_BLOCK 4096u
#define EPC_PAGES_PER_BLOCK ((uint32_t)(EPC_BLOCK / sizeof(struct sgx_epc_page)))

/* Pages to sanitize: not tried yet, to be tried again, failed twice. */
enum { EPC_UNTRIED, EPC_AGAIN, EPC_FAILED, EPC_NR_UNSANITIZED };

/* One cache line each: the lock and all it guards arrive together. */
struct epc_node {
	_Alignas(64) struct epc_lock lock;
	unsigned int id;	/* constant; nodes are sorted by it */
	uint32_t whole_head, partial_head;	/* free-list.h */
	uint32_t unsanitized_head[EPC_NR_UNSANITIZED];
	uint32_t nr_pages;	/* constant */
	_Atomic uint32_t nr_free;	/* in the list; written under the lock */
	uint32_t nr_out;	/* cached or in use */
	uint32_t nr_leaked;
	uint32_t nr_poisoned;
	uint32_t nr_poisoned_dirty;	/* of them parked before EREMOVE cleaned them */
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

/* See cache.h.  All but the lock are constant. */
struct epc_caches {
	struct sgx_epc_cache *all;
	void *mem;		/* what @all was aligned in */
	uint32_t nr;
	uint32_t size;		/* pages in one */
	struct epc_lock lock;	/* between those who seize them */
};

struct sgx_epc_group {
	struct sgx_epc_pool *pool;
	_Atomic uint64_t limit;
	_Atomic uint64_t usage;
};

/* What sgx_epc_activity() shows; each written where it happens. */
struct epc_activity {
	_Atomic uint64_t enclaves, vepcs, backed, va_pages, orphans;
	_Atomic uint64_t evicted, reloaded, augmented, evict_failed;
};

/* SECS pages of guests whose instance is gone and whose children are not. */
struct epc_orphans {
	struct epc_lock lock;	/* held while EREMOVE runs on them */
	uint32_t head;
};

/* How far threads are in sgx_epc_sanitize(). */
struct epc_sanitizing {
	struct epc_lock lock;
	uint32_t nr_threads;		/* inside */
	_Atomic uint32_t nr_busy;	/* of them, with pages in hand */
};

struct epc_usage {
	struct epc_lock lock;		/* also held around EUPDATESVN */
	uint64_t nr;			/* enclaves and instances */
};

/* The enclaves there are, for the reclaimer to choose from. */
struct epc_encls {
	struct epc_lock lock;		/* nothing is taken under it */
	struct sgx_encl *first;
	uint64_t last_id;
	uint64_t last_sampled;		/* id of the one looked at last; see reclaim.c */
};

struct sgx_epc_pool {
	struct epc_port port;
	struct epc_encls_ops ops;
	struct epc_mm_ops mm;
	struct sgx_epc_page *pages;
	struct epc_section *sections;
	struct epc_node *nodes;
	void *pages_mem, *nodes_mem;	/* what @pages and @nodes were aligned in */
	uint32_t nr_pages;
	uint32_t nr_sections;
	uint32_t nr_nodes;
	bool overcommit;
	enum sgx_epc_on_leak on_leak;
	struct sgx_epc_watermarks watermarks;
	struct epc_caches caches;
	struct epc_sanitizing sanitizing;
	struct epc_usage usage;
	struct epc_ledger ledger;
	struct epc_activity activity;
	struct epc_encls encls;
	atomic_bool refusal_logged;	/* on_leak */
	/* Threads at work in reclaim.c, which counts them: wait rather than give up. */
	_Atomic uint32_t nr_reclaimers;
	_Atomic uint32_t nr_releases;	/* sgx_epc_release_begin() without its end */
	struct epc_orphans orphans;
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

/* @size bytes at a multiple of @align, a power of two, in @mem, which is to be freed. */
static inline void *epc_alloc_aligned(const struct epc_port *port, size_t size, size_t align,
				      void **mem)
{
	*mem = epc_alloc(port, size + align - 1);
	if (!*mem)
		return NULL;
	return (void *)(((uintptr_t)*mem + align - 1) & ~(uintptr_t)(align - 1));
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

/* Under the node's lock. */
static inline void epc_node_add_free(struct epc_node *node, int32_t nr)
{
	const uint32_t old = atomic_load_explicit(&node->nr_free, memory_order_relaxed);

	atomic_store_explicit(&node->nr_free, old + (uint32_t)nr, memory_order_relaxed);
}

/**
 * epc_bug() - the manager or its caller is wrong about @page: say so and abort.
 * Always on.  Hold no lock that epc_port.log may want.
 */
_Noreturn void epc_bug(const struct sgx_epc_pool *pool, const struct sgx_epc_page *page,
		       const char *where);

/* May a page go from state @from to @to, poison aside?  Of constants, a constant. */
static inline bool epc_page_may_move(unsigned int from, unsigned int to)
{
	switch (from << 4 | to) {
#define MOVE(from, to) case EPC_PAGE_##from << 4 | EPC_PAGE_##to:
#include "page-states.def"
		return true;
	default:
		return false;
	}
}

/*
 * epc_page_set() - @page goes from state @from to @to, without poison; abort
 * when there is no such move.  For who excludes all others: under the node's lock,
 * inside a cache, or both.
 */
static inline void epc_page_set(const struct sgx_epc_pool *pool, struct sgx_epc_page *page,
				unsigned int from, unsigned int to)
{
	if (!epc_page_may_move(from, to))
		epc_bug(pool, page, "epc_page_set");
	atomic_store_explicit(&page->state, (uint8_t)to, memory_order_relaxed);
}

/*
 * epc_node_take_in() - an uninitialized page, which nobody has, becomes free, or
 * is parked when it is poisoned.  @from: its state.  Under the node's lock.
 */
void epc_node_take_in(struct sgx_epc_pool *pool, struct epc_node *node,
		      struct sgx_epc_page *page, unsigned int from, bool poisoned);

/* The state without EPC_POISON. */
static inline enum epc_page_state epc_page_state(const struct sgx_epc_page *page)
{
	return atomic_load_explicit(&page->state, memory_order_acquire) & ~EPC_POISON;
}

/** epc_page_is_poisoned() - its memory is known to be broken. */
static inline bool epc_page_is_poisoned(const struct sgx_epc_page *page)
{
	const unsigned int state = atomic_load_explicit(&page->state, memory_order_acquire);

	return (state & EPC_POISON) || state == EPC_PAGE_POISONED;
}

/** epc_page_is_allocated() - somebody holds it, and no EWB runs on it. */
static inline bool epc_page_is_allocated(const struct sgx_epc_page *page)
{
	const enum epc_page_state state = epc_page_state(page);

	return state == EPC_PAGE_CLEAN || state == EPC_PAGE_INITIALIZED;
}

/**
 * epc_evict_begin() - EWB of an INITIALIZED page is about to run: call directly before.
 * Ended by epc_page_cleaned() or epc_evict_failed(), soon: sgx_epc_poison()
 * waits for that, so that no EWB meets a page after it was poisoned.
 * Return: false when the page is poisoned: it stays, and must not be written out.
 */
bool epc_evict_begin(struct sgx_epc_pool *pool, struct sgx_epc_page *page);

/** epc_evict_failed() - EWB did not succeed: the page is valid and INITIALIZED again. */
void epc_evict_failed(struct sgx_epc_pool *pool, struct sgx_epc_page *page);

/**
 * epc_page_cleaned() - EREMOVE or EWB of an allocated @page succeeded: it is CLEAN.
 * The one way to become so; never call it without that evidence.
 */
void epc_page_cleaned(struct sgx_epc_pool *pool, struct sgx_epc_page *page);

/**
 * epc_page_hand_over() - give a CLEAN page, just evicted, to a new owner.
 * @group, @owner: as epc_reclaim_one() was given them.
 * Call it while the old owner still exists.  Return: false when the page turned
 * out poisoned: it is freed, which parks it.
 */
bool epc_page_hand_over(struct sgx_epc_pool *pool, struct sgx_epc_page *page,
			const struct sgx_epc_group *group, const struct sgx_epc_owner *owner);

/**
 * epc_nr_free() - pages that can be had without evicting: in lists and caches.
 * The latter are left out when the former reach the high watermark already.
 */
uint64_t epc_nr_free(struct sgx_epc_pool *pool);

/** epc_nr_listed() - those in lists, which nobody's cache has to be looked at for. */
uint64_t epc_nr_listed(const struct sgx_epc_pool *pool);

/**
 * epc_group_charge() - one page more for @group.
 * @group: NULL for none.  Return: false when it is at its limit.
 */
bool epc_group_charge(struct sgx_epc_group *group);
void epc_group_uncharge(struct sgx_epc_group *group);

/* epc_page_uncharge() - @page's holder loses it. */
static inline void epc_page_uncharge(const struct sgx_epc_page *page)
{
	if (page->owner)
		epc_group_uncharge(page->owner->group);
}

/* --- reclaim.c, as the allocator uses it ------------------------------------ */

/**
 * epc_nr_evictable() - pages that could be evicted, those included that some
 * thread is evicting right now: zero means that waiting is in vain.
 * @group: count this group's only; NULL for all.
 */
uint64_t epc_nr_evictable(struct sgx_epc_pool *pool, const struct sgx_epc_group *group);

/**
 * epc_reclaim_one() - evict a batch; its first page is the caller's.
 * @group: from this group only; NULL from all.
 * @owner: who the page is for; may be NULL.
 * @keep_last: not the only one of @owner's enclave.
 * @page: set through epc_page_hand_over() when a page was evicted, else untouched;
 * the others of the batch are freed.
 * Context: holds no lock.  Return: pages evicted, @page included.
 */
uint64_t epc_reclaim_one(struct sgx_epc_pool *pool, struct sgx_epc_group *group,
			 const struct sgx_epc_owner *owner, bool keep_last,
			 struct sgx_epc_page **page);

/* --- leaks ------------------------------------------------------------------- */

/**
 * epc_may_create() - may a new enclave or instance begin?
 * Return: 0; -EBUSY not after a leak under SGX_EPC_LEAK_REFUSE, logged once.
 */
int epc_may_create(struct sgx_epc_pool *pool);

/**
 * epc_page_leak() - take an allocated page out of circulation for ever.
 * @result: what EREMOVE said; not ISA_DONE.
 * Counts it, enters it into the ledger and logs the pool's first leak.
 */
void epc_page_leak(struct sgx_epc_pool *pool, struct sgx_epc_page *page,
		   struct isa_outcome result, const char *site);

/** epc_page_set_leaked() - the accounting half of epc_page_leak(). */
void epc_page_set_leaked(struct sgx_epc_pool *pool, struct sgx_epc_page *page);

/** epc_orphans_init() - an empty list. */
void epc_orphans_init(struct epc_orphans *orphans);

/** epc_orphans_finish() - forget those whose children leaked: nobody will come for them. */
void epc_orphans_finish(struct sgx_epc_pool *pool);

/** epc_node_find() - index of the first node with an id >= @id, cyclic. */
uint32_t epc_node_find(const struct sgx_epc_pool *pool, unsigned int id);

#endif /* EPC_INTERNAL_H */
