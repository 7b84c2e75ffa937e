/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files about host enclaves share: the enclave itself, its version
 * array pages, the backing of pages that were written out, and the queues
 * victims are taken from.
 *
 * Everything about an enclave happens under its lock, which is held over ENCLS
 * and over struct epc_mm_ops.  Nobody holds two enclaves' locks, and nobody
 * allocates an EPC page that may have to be evicted from somewhere while holding
 * one: what an operation will need is taken before, into a stock.
 */
#ifndef EPC_ENCL_H
#define EPC_ENCL_H

#include "internal.h"
#include "page-table.h"

/* --- structures ---------------------------------------------------------------- */

enum epc_encl_page_state {
	EPC_ENCL_PAGE_NONE,	/* the enclave has no page there */
	EPC_ENCL_PAGE_RESIDENT,	/* in EPC */
	EPC_ENCL_PAGE_EVICTED,	/* outside, in its backing */
};

/* Blocked by the reclaimer, but not written out since: only EWB and ELDU end that. */
#define EPC_ENCL_PAGE_BLOCKED (1u << 0)
/* Changed, but the tracking cycle that makes the change acceptable never began. */
#define EPC_ENCL_PAGE_UNTRACKED (1u << 1)
/* In a queue of victims: in that of pages that proved worth keeping, or on probation. */
#define EPC_ENCL_PAGE_QUEUED (1u << 2)
#define EPC_ENCL_PAGE_MAIN (1u << 3)
/* Blocked, and no program can reach it: it only has to be written out.  Then in that queue. */
#define EPC_ENCL_PAGE_LEAVING (1u << 4)

/* One page of an enclave: an entry of its page table. */
struct epc_encl_page {
	/* All zero when the enclave has no page there. */
	uint32_t page;		/* RESIDENT: index of its EPC page */
	uint8_t state;		/* enum epc_encl_page_state */
	uint8_t type;		/* enum sgx_page_type */
	uint8_t prot;		/* SECINFO_R | _W | _X: what mappings may ask for */
	uint8_t flags : 6;	/* EPC_ENCL_PAGE_* */
	uint8_t heat : 2;	/* how often it was found accessed; see victim.c */
	uint64_t nr;		/* offset >> 12 */
	union {
		struct {	/* RESIDENT: its neighbours in the reclaimer's queue */
			struct epc_encl_page *prev, *next;
		};
		struct {	/* EVICTED */
			struct epc_backing *backing;
			uint64_t evicted_at;	/* count of the enclave's evictions then */
		};
	};
};

_Static_assert(sizeof(struct epc_encl_page) == 32, "one record per page of every enclave");

/* A version array page: EPC that holds the versions of pages written out. */
#define EPC_VA_SLOTS 512u

struct epc_va_page {
	struct epc_va_page *next;
	struct sgx_epc_page *page;
	uint32_t nr_used;
	uint64_t used[EPC_VA_SLOTS / 64];
};

struct epc_va_slot {
	struct epc_va_page *va;		/* NULL: none */
	uint32_t nr;
};

/* A page outside: ciphertext and what ELDU asks for beside it. */
struct epc_backing {
	struct sgx_pcmd pcmd;
	struct epc_va_slot slot;
	void *contents;			/* 4096 bytes, page aligned */
	void *allocation;		/* what @contents was aligned in */
};

/* A queue of resident pages, linked through their records; first in at the head. */
struct epc_queue {
	struct epc_encl_page *head, *tail;
	uint64_t nr;
};

/* Pages loaded last are no victims while there are others: who faults must get on. */
#define EPC_NR_RECENT 8u

#define EPC_COLD 256u

#define EPC_EVICT_BATCH EPC_MM_MAX_PAGES

/* Which pages to write out; see victim.c. */
struct epc_victims {
	struct epc_queue probation, main, leaving;
	uint64_t nr_evicted;		/* since creation: the clock of evicted_at */
	struct epc_encl_page *recent[EPC_NR_RECENT];
	unsigned int next_recent;
	struct epc_encl_page *cursor;	/* of epc_victims_sample(); NULL: from the oldest on */
};

struct sgx_encl {
	struct sgx_epc_pool *pool;
	struct sgx_epc_owner owner;	/* its pages point here */
	void *cookie;
	uint64_t id;			/* unique in the pool */
	struct sgx_encl *prev, *next;	/* in the pool's list; guarded by its lock */
	_Atomic uint32_t refs;		/* of the memory of this structure */

	struct epc_lock lock;		/* all below */
	bool is_released;		/* all below is who releases it's alone */
	bool is_initialized;
	bool is_debug;
	uint64_t base, size;		/* valid once there was a SECS */
	struct epc_page_table pages;
	uint64_t nr_records;		/* pages there are, in EPC or outside */
	uint64_t nr_resident;		/* of them in EPC: the SECS's children */
	struct epc_va_page *va_pages;
	uint32_t nr_va_pages;
	struct epc_backing *secs_backing; /* the SECS was written out */
	struct epc_victims victims;
	struct epc_backing *reserved[EPC_EVICT_BATCH]; /* one for each page that is LEAVING */

	/* Written under the lock, read without it. */
	_Atomic(struct sgx_epc_page *) secs;	/* NULL before ECREATE and outside */
	_Atomic uint64_t nr_pages;	/* EPC pages held, SECS and VA pages included */
	_Atomic uint64_t nr_evictable;	/* in the queues of @victims */
	_Atomic uint32_t coldness;	/* share of pages not accessed lately, of EPC_COLD */
};

/* --- encl.c ------------------------------------------------------------------ */

/** epc_encl_get() - the structure stays; the caller is in the pool's list or has a reference. */
void epc_encl_get(struct sgx_encl *encl);
void epc_encl_put(struct sgx_encl *encl);

/** epc_encl_offset_ok() - could there be a page at @offset? */
bool epc_encl_offset_ok(const struct sgx_encl *encl, uint64_t offset);

static inline struct sgx_epc_page *epc_encl_secs(const struct sgx_encl *encl)
{
	return atomic_load_explicit(&encl->secs, memory_order_acquire);
}

static inline struct sgx_epc_page *epc_record_page(const struct sgx_encl *encl,
						   const struct epc_encl_page *rec)
{
	return &encl->pool->pages[rec->page];
}

static inline uint64_t epc_record_la(const struct sgx_encl *encl, const struct epc_encl_page *rec)
{
	return encl->base + (rec->nr << SGX_PAGE_SHIFT);
}

/** epc_record_mm_page() - a resident page, for struct epc_mm_ops. */
static inline struct epc_mm_page epc_record_mm_page(const struct sgx_encl *encl,
						    const struct epc_encl_page *rec)
{
	return (struct epc_mm_page){
		.la = epc_record_la(encl, rec),
		.page = sgx_epc_page_pa(encl->pool, epc_record_page(encl, rec)),
	};
}

/**
 * epc_encl_zap() - let no access to the pages of @recs succeed from here on.
 * @nr: at most EPC_MM_MAX_PAGES.  Return: 0 or -errno, when some may.
 */
int epc_encl_zap(const struct sgx_encl *encl, struct epc_encl_page *const *recs, unsigned int nr);

/** epc_record_reserve() - a record for a page at @offset; NULL when out of memory. */
static inline struct epc_encl_page *epc_record_reserve(struct sgx_encl *encl, uint64_t offset)
{
	return (struct epc_encl_page *)epc_pt_reserve(&encl->pages, &encl->pool->port,
						      offset >> SGX_PAGE_SHIFT);
}

/** epc_record_find() - the page at @offset; NULL when there is none. */
static inline struct epc_encl_page *epc_record_find(const struct sgx_encl *encl, uint64_t offset)
{
	return (struct epc_encl_page *)epc_pt_find(&encl->pages, offset >> SGX_PAGE_SHIFT);
}

/** epc_encl_page_info() - a record as others see it. */
struct sgx_encl_page_info epc_encl_page_info(const struct sgx_encl *encl,
					     const struct epc_encl_page *rec);

/**
 * epc_encl_page_arrived() - @page has become the page of @rec, in EPC.
 * @evicted_at: of a page that was outside; 0 of a new one.
 */
void epc_encl_page_arrived(struct sgx_encl *encl, struct epc_encl_page *rec,
			   const struct sgx_epc_page *page, uint64_t evicted_at);

/** epc_encl_page_new() - the same for a page that there was not before. */
void epc_encl_page_new(struct sgx_encl *encl, uint64_t offset, struct epc_encl_page *rec,
		       const struct sgx_epc_page *page, uint8_t type, uint8_t prot);

/** epc_encl_page_gone() - the resident page of @rec has ceased to exist. */
void epc_encl_page_gone(struct sgx_encl *encl, struct epc_encl_page *rec);

/** epc_encl_page_left() - the page of @rec is not in EPC any more. */
void epc_encl_page_left(struct sgx_encl *encl, struct epc_encl_page *rec);

/** epc_pool_can_page() - are pages of this pool written out at all? */
static inline bool epc_pool_can_page(const struct sgx_epc_pool *pool)
{
	const struct epc_encls_ops *ops = &pool->ops;

	return pool->overcommit && ops->epa && ops->eblock && ops->etrack && ops->ewb && ops->eldu;
}

/* --- stock.c: EPC pages taken before the lock --------------------------------- */

/*
 * For one page of the enclave at most three: itself, its SECS, and a VA page.
 * Nobody needs more pages at the same time than a leaf has operands.
 */
#define EPC_MAX_OPERANDS 4u
#define EPC_STOCK_MAX (3 * EPC_MAX_OPERANDS)

struct epc_stock {
	struct sgx_epc_page *pages[EPC_STOCK_MAX];
	unsigned int nr;
	bool keep_last;		/* see SGX_ALLOC_KEEP_LAST */
};

/** epc_stock_fill() - have at least @nr pages; holds no lock.  Return: 0 or the allocator's. */
int epc_stock_fill(struct sgx_encl *encl, struct epc_stock *stock, unsigned int nr);

/** epc_stock_take() - one of them; the caller made sure that there is one. */
struct sgx_epc_page *epc_stock_take(struct epc_stock *stock);

/** epc_stock_finish() - give back what was not needed. */
void epc_stock_finish(struct sgx_encl *encl, struct epc_stock *stock);

/**
 * epc_encl_lock_page() - lock @encl with the page at @offset in EPC and usable.
 * @augment: when there is no such page, but EAUG could make it, have what that
 * needs: a resident SECS, a VA page for it, and a page in @stock.
 * @stock: empty; the caller finishes it, after unlocking and also on failure.
 * @rec: the page's record; NULL when there is none.
 * Return: 0 with the lock held; otherwise without: -ENOMEM, -EINTR, and -EIO
 * when a leaf failed.
 */
int epc_encl_lock_page(struct sgx_encl *encl, uint64_t offset, bool augment,
		       struct epc_stock *stock, struct epc_encl_page **rec);

/**
 * epc_stock_needed() - EPC pages it takes to have the page of @rec, or with NULL,
 * to make one if @augment.
 */
unsigned int epc_stock_needed(const struct sgx_encl *encl, const struct epc_encl_page *rec,
			      bool augment);

/**
 * epc_encl_make_ready() - with enough in @stock: have all that is needed, but the
 * page itself that EAUG makes.  Return: 0; -ENOMEM; -EIO a leaf failed.
 */
int epc_encl_make_ready(struct sgx_encl *encl, struct epc_encl_page *rec, bool augment,
			struct epc_stock *stock);

/** epc_encl_can_augment() - could EAUG make a page at @offset? */
bool epc_encl_can_augment(const struct sgx_encl *encl, uint64_t offset);

/* --- va.c ---------------------------------------------------------------------- */

/** epc_va_is_needed() - would one page more have no slot to be written out with? */
bool epc_va_is_needed(const struct sgx_encl *encl);

/**
 * epc_va_grow() - make @page a VA page of the enclave.
 * Return: 0; -ENOMEM; -EIO EPA faulted.  Takes @page in any case.
 */
int epc_va_grow(struct sgx_encl *encl, struct sgx_epc_page *page, const char *site);

/** epc_va_shrink() - give VA pages back that are empty and not needed. */
void epc_va_shrink(struct sgx_encl *encl);

/** epc_va_finish() - give all of them back: every page they hold versions of is gone. */
void epc_va_finish(struct sgx_encl *encl, const char *site);

/** epc_va_slot_get() - a free slot; there is one for each page of the enclave. */
struct epc_va_slot epc_va_slot_get(struct sgx_encl *encl);
void epc_va_slot_put(struct sgx_encl *encl, struct epc_va_slot slot);

/** epc_va_slot_pa() - its physical address. */
uint64_t epc_va_slot_pa(const struct sgx_encl *encl, struct epc_va_slot slot);

/* --- backing.c ------------------------------------------------------------------ */

/** epc_backing_create() - room and a slot for one page.  Return: NULL when out of memory. */
struct epc_backing *epc_backing_create(struct sgx_encl *encl);

/** epc_backing_destroy() - its memory and its slot are given back.  NULL is fine. */
void epc_backing_destroy(struct sgx_encl *encl, struct epc_backing *backing);

/* --- victim.c -------------------------------------------------------------------- */

/**
 * epc_victims_add() - a page has come into EPC and can be written out again.
 * @evicted_at: as epc_encl_page_arrived().
 */
void epc_victims_add(struct sgx_encl *encl, struct epc_encl_page *rec, uint64_t evicted_at);

/** epc_victims_remove() - it has left, or must never be written out.  Not LEAVING.  Once or more. */
void epc_victims_remove(struct sgx_encl *encl, struct epc_encl_page *rec);

/**
 * epc_victims_pick() - the pages to write out next.
 * @recs: room for @max and for @max_run.  They stay in the queues, as the last ones to be
 * picked again should writing them out fail.
 * @max_run: more than @max, of which each is the neighbour of the one before.
 * Return: how many.
 */
unsigned int epc_victims_pick(struct sgx_encl *encl, struct epc_encl_page **recs,
			      unsigned int max, unsigned int max_run);

/** epc_victims_leave() - @rec is LEAVING; @backing is for it. */
void epc_victims_leave(struct sgx_encl *encl, struct epc_encl_page *rec,
		       struct epc_backing *backing);

/**
 * epc_victims_stay() - @rec is not LEAVING any more, but an ordinary victim.
 * Return: backing for it, which is the caller's.
 */
struct epc_backing *epc_victims_stay(struct sgx_encl *encl, struct epc_encl_page *rec);

/** epc_victims_sample() - look at some pages to see how many are in use at all. */
void epc_victims_sample(struct sgx_encl *encl);

/* --- evict.c ---------------------------------------------------------------------- */

/** epc_encl_track() - begin a tracking cycle and complete it.  Return: 0 or -EFAULT. */
int epc_encl_track(struct sgx_encl *encl);

/* A moment that somebody has; asked about after each page. */
struct epc_moment {
	bool (*is_over)(void *ctx);	/* NULL: never */
	void *ctx;
};

/**
 * epc_evict() - write resident pages out, and the SECS after the last one.
 * @recs: at most EPC_EVICT_BATCH, none of them LEAVING, nor any other.
 * @moment: what is not written out when it is over is LEAVING then.
 * @freed: room for one more than @nr; receives the EPC pages that became CLEAN,
 * which are the caller's.
 * A page that cannot be written out stays, with its contents.
 * Return: how many of @freed.
 */
unsigned int epc_evict(struct sgx_encl *encl, struct epc_encl_page *const *recs, unsigned int nr,
		       const struct epc_moment *moment, struct sgx_epc_page **freed);

/** epc_evict_leaving() - the same for at most @max pages that are LEAVING. */
unsigned int epc_evict_leaving(struct sgx_encl *encl, unsigned int max,
			       const struct epc_moment *moment, struct sgx_epc_page **freed);

/**
 * epc_evict_blocked() - write out a page that is BLOCKED; its EPC page is CLEAN then.
 * Return: 0, @rec is EVICTED; -ENOMEM; -EIO EWB fails still.
 */
int epc_evict_blocked(struct sgx_encl *encl, struct epc_encl_page *rec);

/* --- load.c ------------------------------------------------------------------------ */

/** epc_load_secs() - ELDU the SECS into @page.  Return: 0; -EIO; -ENOMEM.  Takes @page. */
int epc_load_secs(struct sgx_encl *encl, struct sgx_epc_page *page);

/**
 * epc_load_page() - ELDU the page of @rec into @page; the SECS is resident.
 * Return: 0; -EIO ELDU failed, the contents outside are kept; -ENOMEM no place
 * for it.  Takes @page in any case.
 */
int epc_load_page(struct sgx_encl *encl, struct epc_encl_page *rec, struct sgx_epc_page *page);

/** epc_load_unblock() - make a BLOCKED page usable.  Return: 0; -ENOMEM; -EIO, it stays as it is. */
int epc_load_unblock(struct sgx_encl *encl, struct epc_encl_page *rec);

#endif /* EPC_ENCL_H */
