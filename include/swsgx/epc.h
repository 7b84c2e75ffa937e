/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The manager of the enclave page cache: sections, nodes, allocation, freeing,
 * the leak ledger, sanitizing, host enclaves with paging and dynamic memory, and
 * virtual EPC for guests.  It reaches the processor only through a table of
 * ENCLS operations, so the same code can sit on the software machine or on real
 * instructions; and its surroundings only through struct epc_port and struct
 * epc_mm_ops.
 */
#ifndef SWSGX_EPC_H
#define SWSGX_EPC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <swsgx/arch.h>
#include <swsgx/isa.h>

/* --- surroundings -------------------------------------------------------- */

enum epc_log_level { EPC_LOG_INFO, EPC_LOG_WARNING, EPC_LOG_ERROR };

struct sgx_epc_leak;

/*
 * Everything the manager needs from where it lives.  All callable from any
 * thread.  Members marked optional may be NULL.
 */
struct epc_port {
	void *ctx;
	void *(*alloc)(void *ctx, size_t size);	/* zeroed; NULL when out of memory */
	void (*free)(void *ctx, void *p);
	/* One whole message; the port never splits it into records. */
	void (*log)(void *ctx, enum epc_log_level level, const char *message);
	uint64_t (*time_ns)(void *ctx);		/* wall clock, for the ledger */
	unsigned int (*node)(void *ctx);	/* NUMA node of the calling thread */
	/*
	 * Which cache of free pages the calling thread uses from here until
	 * cache_leave().  No other thread may get the same number meanwhile: a
	 * number for each thread does, or the processor's while preemption is
	 * off.  A number outside of sgx_epc_config.nr_caches: none.  Optional:
	 * no caches.
	 */
	unsigned int (*cache_enter)(void *ctx);
	void (*cache_leave)(void *ctx);		/* optional */
	/*
	 * Return when every thread has gone through a full memory barrier since
	 * the call, as Linux's membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)
	 * does: the rare taker of all caches pays for it, so that their users
	 * need none.  Optional: then each use of a cache has a barrier.
	 */
	void (*barrier)(void *ctx);
	/* Let others run while the caller waits for a lock.  Optional. */
	void (*yield)(void *ctx);
	/*
	 * Should the calling thread give up, because a signal waits for it?
	 * Asked between batches of work.  Optional: never.
	 */
	bool (*interrupted)(void *ctx);
	/*
	 * Free pages are below the low watermark and some can be evicted: see
	 * to it that sgx_epc_reclaim_background() is called soon, by another
	 * thread.  Called without locks, often, also when one is on its way.
	 * Optional: pages are evicted only by threads that need them.
	 */
	void (*wake_reclaimer)(void *ctx);
	/* A page leaked, its row is in the ledger.  Called without locks.  Optional. */
	void (*leaked)(void *ctx, const struct sgx_epc_leak *row);
	/*
	 * Memory for evicted pages: 4096 bytes, page aligned.  @encl: cookie of
	 * the enclave they belong to, who is to be charged.  Optional, both or
	 * none: alloc() and free() serve.
	 */
	void *(*backing_alloc)(void *ctx, void *encl);
	void (*backing_free)(void *ctx, void *p);
};

/*
 * ENCLS as the manager issues it.  EPC pages, and slots in VA pages, are named
 * by physical address, also in @pageinfo->secs; everything else by pointer,
 * aligned as the leaf demands.  Every call executes the leaf once and answers
 * what the processor answered.  Leaves the processor does not have may be NULL:
 * without eaug to emodt there is no SGX2, without epa to eldu no paging.
 */
struct epc_encls_ops {
	void *ctx;
	struct isa_outcome (*ecreate)(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t secs);
	struct isa_outcome (*eadd)(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page);
	struct isa_outcome (*eextend)(void *ctx, uint64_t secs, uint64_t chunk);
	struct isa_outcome (*einit)(void *ctx, const struct sgx_sigstruct *sigstruct,
				    const struct sgx_einittoken *token, uint64_t secs,
				    const uint64_t lepubkeyhash[4]);
	struct isa_outcome (*eremove)(void *ctx, uint64_t page);
	/* Paging. */
	struct isa_outcome (*epa)(void *ctx, uint64_t page);
	struct isa_outcome (*eblock)(void *ctx, uint64_t page);
	struct isa_outcome (*etrack)(void *ctx, uint64_t secs);
	struct isa_outcome (*ewb)(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page,
				  uint64_t va_slot);
	struct isa_outcome (*eldu)(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page,
				   uint64_t va_slot);
	/* SGX2. */
	struct isa_outcome (*eaug)(void *ctx, struct sgx_pageinfo *pageinfo, uint64_t page);
	struct isa_outcome (*emodpr)(void *ctx, const struct sgx_secinfo *secinfo, uint64_t page);
	struct isa_outcome (*emodt)(void *ctx, const struct sgx_secinfo *secinfo, uint64_t page);
	/* Debuggers: eight bytes at @addr, the physical address inside a page. */
	struct isa_outcome (*edbgrd)(void *ctx, uint64_t addr, uint64_t *data);
	struct isa_outcome (*edbgwr)(void *ctx, uint64_t addr, uint64_t data);
	struct isa_outcome (*eupdatesvn)(void *ctx);
	/* EPCM state for the ledger; may be NULL where it cannot be read. */
	struct isa_epcm_info (*peek)(void *ctx, uint64_t page);
};

/*
 * The memory management around host enclaves: what a kernel does to page
 * tables.  @encl is the cookie of sgx_encl_config, @la an enclave page's linear
 * address.  Called with the enclave's lock held: they may take their own locks
 * and wait for the operating system, but neither for a thread of the enclave
 * nor for a call into the manager.  Each is optional.
 */
/* A page of an enclave that is in EPC, at @page. */
struct epc_mm_page {
	uint64_t la, page;
};

#define EPC_MM_MAX_PAGES 64u

struct epc_mm_ops {
	void *ctx;
	/*
	 * The contents of EPC @page are about to become those of @la: called
	 * before EADD and EAUG; those of ELDU come there with map().  Undone by @page's
	 * EREMOVE or EWB, the leaf's failure included.  Return 0; or -ENOMEM, there is no
	 * memory to hold them.
	 */
	int (*place)(void *ctx, void *encl, uint64_t page, uint64_t la);
	/*
	 * Can pages of this enclave be evicted: will zap() reach all its address
	 * spaces?  Asked before each batch, which costs less than a zap() that
	 * cannot be.  Absent: always.
	 */
	bool (*may_evict)(void *ctx, void *encl);
	/*
	 * No access to @pages may succeed from here on: drop their translations
	 * in every address space.  Before EBLOCK, EREMOVE and a change of type.
	 * @nr: at most EPC_MM_MAX_PAGES.  Return 0; or an errno, when there is one
	 * for which that cannot be: then no page is evicted.  A page is removed or
	 * changes its type all the same, and changed() has to see to that.
	 */
	int (*zap)(void *ctx, void *encl, const struct epc_mm_page *pages, unsigned int nr);
	/*
	 * Accesses to @page may succeed again, after zap() or ELDU: it is resident
	 * and usable.  For the thread that faulted on it, before it returns.
	 * @by: as sgx_encl_fault() was given it.  Return 0 or -ENOMEM.
	 */
	int (*map)(void *ctx, void *encl, void *by, const struct epc_mm_page *page);
	/* Was @la accessed since last asked, in any address space?  Clears that. */
	bool (*young)(void *ctx, void *encl, uint64_t la);
	/*
	 * Interrupt every processor that may run the enclave with SECS @secs,
	 * and return when each has left it once.  After ETRACK.
	 */
	void (*kick)(void *ctx, void *encl, uint64_t secs);
	/*
	 * The page at @la is at EPC @page, in a new state: after ELDU, EAUG,
	 * EMODPR and EMODT.  With ISA_NO_FRAME it does not exist any more: after
	 * EREMOVE, though not while the enclave is released.  A page that was
	 * written out still exists, as it was.
	 */
	void (*changed)(void *ctx, void *encl, uint64_t la, uint64_t page);
	/* The SECS is now at EPC @page: after ECREATE, and after it was reloaded. */
	void (*secs_changed)(void *ctx, void *encl, uint64_t page);
};

/* --- the pool ------------------------------------------------------------ */

struct sgx_epc_pool;
struct sgx_epc_page;

/* What to do when a page leaks, beyond recording and reporting it. */
enum sgx_epc_on_leak {
	SGX_EPC_LEAK_CONTINUE,	/* nothing */
	/* No new enclaves or virtual EPC: creating gives -EBUSY, logged once. */
	SGX_EPC_LEAK_REFUSE,
	SGX_EPC_LEAK_ABORT,	/* end the machine, by abort() */
};

struct sgx_epc_config {
	const struct isa_section *sections;	/* copied */
	size_t nr_sections;			/* > 0 */
	struct epc_port port;			/* copied */
	struct epc_encls_ops ops;		/* copied */
	struct epc_mm_ops mm;			/* copied */
	/* Caches of free pages, see epc_port.cache_enter; 0: none. */
	unsigned int nr_caches;
	/* Evict pages when EPC runs short.  False: what does not fit is refused. */
	bool overcommit;
	enum sgx_epc_on_leak on_leak;
	/*
	 * The EPC is known to be unused, as after power-on: no page needs
	 * sanitizing.  False: every page starts unsanitized, as after kexec.
	 */
	bool known_clean;
};

/*
 * Counters.  At a quiet point, per node and in total:
 * free + cached + in_use + leaked + poisoned + unsanitized == total.
 */
struct sgx_epc_stat {
	uint64_t total, free, cached, in_use, leaked, poisoned, unsanitized;
};

/* What the manager did since it was created, and holds now, all nodes together. */
struct sgx_epc_activity {
	uint64_t enclaves, vepcs;	/* alive */
	uint64_t evictable;		/* pages the reclaimer could evict, tried or not */
	uint64_t backed;		/* pages outside, in backing memory */
	uint64_t va_pages;
	uint64_t orphans;		/* SECS pages of guests that wait for their children */
	uint64_t evicted, reloaded, augmented;	/* pages, since creation */
	uint64_t evict_failed;		/* EBLOCK or EWB refused; the page stayed */
};

/** sgx_epc_activity() - Context: any thread; each number by itself is exact. */
void sgx_epc_activity(struct sgx_epc_pool *pool, struct sgx_epc_activity *out);

enum sgx_epc_health {
	SGX_EPC_OK,
	SGX_EPC_DEGRADED,	/* leaked pages or orphans */
	SGX_EPC_FAILING,	/* leaks leave fewer pages than the low watermark */
};

/** sgx_epc_health() - Context: any thread. */
enum sgx_epc_health sgx_epc_health(struct sgx_epc_pool *pool);

/**
 * sgx_epc_pool_create() - set up the manager over the given sections.
 * @out: set on success only; the caller's until sgx_epc_pool_destroy().
 * Return: 0; -EINVAL no or overlapping sections; -ENOMEM.
 */
int sgx_epc_pool_create(const struct sgx_epc_config *config, struct sgx_epc_pool **out);

/** sgx_epc_pool_destroy() - NULL is fine; nothing may be allocated from it any more. */
void sgx_epc_pool_destroy(struct sgx_epc_pool *pool);

/**
 * sgx_epc_sanitize() - EREMOVE every page of unknown state, in two passes.
 * The second pass is for SECS pages whose children came later in the first.
 * The allocator is usable meanwhile.  Several threads may call it at once, one
 * per node at best: they share the work, and each begins with its own node.
 * @stop: polled for each page; when it becomes true the rest stays unsanitized.
 * Return: number of pages that no pass could clean (0 when stopped early); of
 * several threads, each reports those it tried last.
 * Source: Linux arch/x86/kernel/cpu/sgx/main.c, __sgx_sanitize_pages().
 */
uint64_t sgx_epc_sanitize(struct sgx_epc_pool *pool, const atomic_bool *stop);

/** sgx_epc_stat_total() - counters of all nodes; exact at a quiet point. */
struct sgx_epc_stat sgx_epc_stat_total(struct sgx_epc_pool *pool);

/** sgx_epc_stat_node() - counters of one node; all zero for a node without EPC. */
struct sgx_epc_stat sgx_epc_stat_node(struct sgx_epc_pool *pool, unsigned int node);

/* --- limits ---------------------------------------------------------------- */

/* Owners that share a limit, as an EPC cgroup would. */
struct sgx_epc_group;

/**
 * sgx_epc_group_create() - a group without members.
 * @limit: EPC pages its owners may hold together; UINT64_MAX for none.
 * Return: 0; -ENOMEM.
 */
int sgx_epc_group_create(struct sgx_epc_pool *pool, uint64_t limit, struct sgx_epc_group **out);

/** sgx_epc_group_destroy() - NULL is fine; none of its owners holds a page any more. */
void sgx_epc_group_destroy(struct sgx_epc_group *group);

/**
 * sgx_epc_group_set_limit() - effective for the next allocation; pages held
 * beyond a lower limit stay until they are evicted or freed.
 */
void sgx_epc_group_set_limit(struct sgx_epc_group *group, uint64_t limit);

/** sgx_epc_group_usage() - pages its owners hold now. */
uint64_t sgx_epc_group_usage(const struct sgx_epc_group *group);

#define SGX_CLIENT_NAME 16u

/* Who holds a page: what the ledger says of its last owner. */
struct sgx_epc_owner {
	uint64_t encl_id;	/* 0: none */
	char client[SGX_CLIENT_NAME];	/* what people call it: its process may be gone; "": none */
	int32_t pid;		/* 0: unknown */
	struct sgx_epc_group *group;	/* whose limit counts; NULL: none */
};

/* --- allocation ------------------------------------------------------------ */

#define SGX_ALLOC_RECLAIM (1u << 0)	/* may evict others; hold no enclave's lock */
#define SGX_ALLOC_KEEP_LAST (1u << 1)	/* but not the only page of the enclave it is for */

/**
 * sgx_alloc_epc_page() - take one free EPC page, nearest node first.
 * @owner: recorded for the ledger; must outlive the allocation; may be NULL.
 * @flags: SGX_ALLOC_RECLAIM, perhaps with SGX_ALLOC_KEEP_LAST, or 0.
 * @out: set on success only.
 * Does not run EREMOVE: the page is uninitialized already.  With
 * SGX_ALLOC_RECLAIM the caller gets the first page it evicts, whoever else waits.
 * Return: 0; -ENOMEM no page is free and none can be evicted, or the owner's
 * group is at its limit and has nothing to evict; -EBUSY some could be
 * evicted, but @flags does not let the caller; -EINTR port.interrupted().
 * Source: behaviour of Linux sgx_alloc_epc_page().
 */
int sgx_alloc_epc_page(struct sgx_epc_pool *pool, const struct sgx_epc_owner *owner,
		       unsigned int flags, struct sgx_epc_page **out);

/**
 * sgx_free_epc_page() - give back a page that is uninitialized.
 * Runs no EREMOVE.  The page must never have been initialized since it was
 * allocated, or have been EREMOVEd or written out with success by the manager;
 * anything else is a bug in the caller and aborts, in release builds too.  A
 * poisoned page is parked instead of freed.
 */
void sgx_free_epc_page(struct sgx_epc_pool *pool, struct sgx_epc_page *page);

/** sgx_free_epc_pages() - sgx_free_epc_page() for @n pages; cheaper than one by one. */
void sgx_free_epc_pages(struct sgx_epc_pool *pool, struct sgx_epc_page *const *pages, size_t n);

/*
 * A cache of free pages, for one thread at a time: what the two functions below
 * save over those above is asking epc_port.cache_enter which one is the
 * caller's.  What is in it is everybody's when EPC runs short.
 */
struct sgx_epc_cache;

/** sgx_epc_cache() - cache number @nr; NULL when there is none.  The pool's. */
struct sgx_epc_cache *sgx_epc_cache(struct sgx_epc_pool *pool, unsigned int nr);

/** sgx_alloc_epc_page_cached() - sgx_alloc_epc_page() for the thread that has @cache. */
int sgx_alloc_epc_page_cached(struct sgx_epc_cache *cache, const struct sgx_epc_owner *owner,
			      unsigned int flags, struct sgx_epc_page **out);

/** sgx_free_epc_page_cached() - sgx_free_epc_page() for the thread that has @cache. */
void sgx_free_epc_page_cached(struct sgx_epc_cache *cache, struct sgx_epc_page *page);

/** sgx_epc_page_pa() - its physical address. */
uint64_t sgx_epc_page_pa(const struct sgx_epc_pool *pool, const struct sgx_epc_page *page);

/*
 * The manager marks a page initialized by itself wherever it runs ECREATE or
 * EADD.  A caller that initializes a page by other means says so here.
 */
void sgx_epc_page_mark_initialized(struct sgx_epc_pool *pool, struct sgx_epc_page *page);

/**
 * sgx_encl_free_epc_page() - free a page of a host enclave: EREMOVE, then raw free.
 * @site: the calling function's name, for the ledger; a string constant.
 *
 * EREMOVE is not expected to fail here.  When it does, by code or by fault, the
 * page is leaked on purpose, so that no later user meets it: it is counted,
 * entered into the ledger, and the first one is logged as one warning.
 * Return: true when freed, false when leaked.
 * Source: Linux arch/x86/kernel/cpu/sgx/encl.c, sgx_encl_free_epc_page().
 */
bool sgx_encl_free_epc_page(struct sgx_epc_pool *pool, struct sgx_epc_page *page,
			    const char *site);

/* --- the leak ledger ----------------------------------------------------- */

struct sgx_epc_leak {
	uint64_t pa;
	uint32_t section, node;
	struct isa_outcome result;	/* of EREMOVE */
	struct isa_epcm_info epcm;	/* right after it failed */
	bool epcm_known;
	struct sgx_epc_owner owner;	/* the last one; its group is left out */
	const char *site;
	uint64_t time_ns;
};

/**
 * sgx_epc_leaks() - copy ledger rows, oldest first.
 * @first: index of the first row wanted.
 * Return: rows copied, at most @n.  The ledger never loses a row: it is as
 * large as the EPC has pages, and a page leaks once.
 */
size_t sgx_epc_leaks(struct sgx_epc_pool *pool, size_t first, struct sgx_epc_leak *rows,
		     size_t n);

/**
 * sgx_epc_format_leak_message() - the one message of a leak.
 * @buf, @size: receives the text, always terminated.
 * Source: founding text; wording in docs/epc-leaks.md.
 */
void sgx_epc_format_leak_message(struct isa_outcome result, char *buf, size_t size);

/**
 * sgx_outcome_to_int() - a result as the kernel prints it: the code, or the
 * vector | 0x40000000 for a fault, 0 for success.
 */
int sgx_outcome_to_int(struct isa_outcome o);

/* --- reclaim --------------------------------------------------------------- */

/* Pages: reclaim begins below @low, in the background it goes on until @high are free. */
struct sgx_epc_watermarks {
	uint64_t low, high;
};

/** sgx_epc_watermarks() - constant; they scale with the size of the EPC. */
struct sgx_epc_watermarks sgx_epc_watermarks(const struct sgx_epc_pool *pool);

/**
 * sgx_epc_reclaim() - evict some pages now.
 * @nr: how many to try for.
 * Context: any thread that holds no enclave's lock.
 * Return: pages that became free.
 */
uint64_t sgx_epc_reclaim(struct sgx_epc_pool *pool, uint64_t nr);

/**
 * sgx_epc_reclaim_ahead() - evict some pages if fewer than the low watermark are free.
 * For a thread that has a moment now, to spare itself, or others, the wait later.
 * Where few are evictable it takes none: they are all somebody needs to get on.
 * @nr: how many at most; more where they are neighbours, which are taken together.
 * @is_over: has the moment passed?  Asked after each page; may be NULL.  Pages that were taken
 * from programs, but not written out then, are what the next one who makes room begins with.
 * @ctx: for @is_over.
 * Context: as sgx_epc_reclaim(); @is_over is called with an enclave's lock held.
 * Return: how many; 0 also when that is of no use for now.
 */
uint64_t sgx_epc_reclaim_ahead(struct sgx_epc_pool *pool, uint64_t nr,
			       bool (*is_over)(void *ctx), void *ctx);

/**
 * sgx_epc_reclaim_background() - evict until free pages reach the high
 * watermark, or nothing more can be gained for now.
 * @stop: polled between batches; may be NULL.
 * Context: as sgx_epc_reclaim(); one thread is enough, several do no harm.
 */
void sgx_epc_reclaim_background(struct sgx_epc_pool *pool, const atomic_bool *stop);

/* --- memory errors, microcode updates --------------------------------------- */

/**
 * sgx_epc_poison() - the memory at @pa is broken.
 * From the return on its page is never handed out, written out or counted as
 * free; a holder keeps it until it frees it.  An EWB that runs already is waited for.
 * Context: any thread; hold nothing that an eviction may need.
 * Return: 0, also when it was poisoned before; -ENXIO @pa is not EPC.
 * Source: Linux arch_memory_failure().
 */
int sgx_epc_poison(struct sgx_epc_pool *pool, uint64_t pa);

/* What keeps EPC from being unused: enclaves and instances, and pages. */
struct sgx_epc_blockers {
	uint64_t users;
	uint64_t in_use, leaked, unsanitized;
	uint64_t poisoned;	/* parked before EREMOVE could clean them; the others are unused */
};

/**
 * sgx_epc_usage_get() - another user of EPC is about to begin.
 * The first one updates the processor's SVN, while all of EPC is unused; when
 * a page holds that back, a leaked one for example, it is logged and nobody refused.
 * Called by sgx_encl_create() and sgx_vepc_create().
 * Return: 0; -EAGAIN the processor lacked entropy; -EIO EUPDATESVN failed otherwise.
 * Source: Linux sgx_inc_usage_count().
 */
int sgx_epc_usage_get(struct sgx_epc_pool *pool);

/** sgx_epc_usage_put() - that user is gone, with all its pages. */
void sgx_epc_usage_put(struct sgx_epc_pool *pool);

/**
 * sgx_epc_update_svn() - run EUPDATESVN now.
 * @blockers: set on -EBUSY: what is in use.
 * Return: 0 updated, or already the newest; -EBUSY EPC is in use; -EAGAIN no
 * entropy; -ENODEV the processor has no such leaf; -EIO it failed otherwise.
 */
int sgx_epc_update_svn(struct sgx_epc_pool *pool, struct sgx_epc_blockers *blockers);

/* --- virtual EPC ------------------------------------------------------------ */

/* EPC given to a guest: the manager does not know how the guest uses it. */
struct sgx_vepc;

struct sgx_vepc_config {
	struct sgx_epc_owner owner;
};

/**
 * sgx_vepc_create() - an instance without pages.
 * Return: 0; -ENOMEM; -EBUSY no new ones after a leak (on_leak); as
 * sgx_epc_usage_get().
 */
int sgx_vepc_create(struct sgx_epc_pool *pool, const struct sgx_vepc_config *config,
		    struct sgx_vepc **out);

/**
 * sgx_vepc_fault() - the page at @index, allocated when there is none yet.
 * @index: of the page inside the instance.
 * @pa: set on success only.
 * Context: any thread, also beside sgx_vepc_remove_all().  It may evict others.
 * Return: 0; -ENOMEM, -EINTR as sgx_alloc_epc_page(); -EINVAL @index is not
 * below 2^52.
 */
int sgx_vepc_fault(struct sgx_vepc *vepc, uint64_t index, uint64_t *pa);

/**
 * sgx_vepc_remove_all() - EREMOVE every page; they stay the instance's.
 * Context: any thread, also beside sgx_vepc_fault() and itself.
 * Return: how many SECS pages still have children (do the guest's other
 * instances, then this one again); -EBUSY at the first other failure.
 * Source: SGX_IOC_VEPC_REMOVE_ALL.
 */
long sgx_vepc_remove_all(struct sgx_vepc *vepc);

/**
 * sgx_vepc_release() - give every page back.  NULL is fine.
 * A SECS whose children are in another instance becomes an orphan: freed at the
 * moment its last child is removed, and held against the owner's group until
 * then.  A page whose EREMOVE fails otherwise is leaked (see
 * sgx_encl_free_epc_page()).  Nothing else may use @vepc.
 */
void sgx_vepc_release(struct sgx_vepc *vepc);

/**
 * sgx_vepc_guest_removed() - a guest EREMOVEd a page by itself, or wrote it out:
 * an orphan may have lost its last child.  For who carries out the guest's leaves.
 * Context: any thread.
 */
void sgx_vepc_guest_removed(struct sgx_epc_pool *pool);

/* --- host enclaves ------------------------------------------------------- */

struct sgx_encl;

struct sgx_encl_config {
	struct sgx_epc_owner owner;
	void *cookie;		/* its name for epc_mm_ops and epc_port.backing_alloc */
};

/**
 * sgx_encl_create() - an enclave without a SECS.
 * @out: one reference, the caller's.
 * Return: 0; -ENOMEM; as sgx_epc_usage_get().
 */
int sgx_encl_create(struct sgx_epc_pool *pool, const struct sgx_encl_config *config,
		    struct sgx_encl **out);

/**
 * sgx_encl_ecreate() - allocate the SECS page and run ECREATE.
 * @secs: the 4096-byte source, page aligned as the leaf demands.
 * A failure leaves the enclave as before: it can be tried again.
 * Return: 0; -EINVAL there is a SECS already; -ENOMEM; -EINTR; -EIO ECREATE
 * faulted; -EFAULT EPA did; -EBUSY no new enclaves after a leak (on_leak).
 */
int sgx_encl_ecreate(struct sgx_encl *encl, const struct sgx_secs *secs);

/**
 * sgx_encl_add_page() - allocate a page, EADD, and EEXTEND when @measure.
 * @offset: from the enclave's base, page aligned, inside it.
 * @src: 4096 bytes, page aligned as the leaf demands.
 * Return: 0; -EINVAL no SECS, initialized already, or @offset out of its range;
 * -EBUSY a page is at that offset; -ENOMEM no EPC or no memory; -EINTR; -EFAULT
 * EPA faulted; -EIO EADD or EEXTEND did.  The measurement may have changed then: the
 * enclave cannot be initialized as intended any more, but stays releasable.
 */
int sgx_encl_add_page(struct sgx_encl *encl, uint64_t offset, const void *src,
		      const struct sgx_secinfo *secinfo, bool measure);

/**
 * sgx_encl_einit() - run EINIT under the launch-key hash of the signer.
 * An SGX_UNMASKED_EVENT is tried again a few times before it is believed.
 * @sigstruct: page aligned as the leaf demands.
 * @outcome: what EINIT said, also on failure; ISA_DONE when it was not run.
 * Return: 0; -EINVAL no SECS, or initialized already; -EPERM EINIT returned a
 * code; -EIO it faulted.
 */
int sgx_encl_einit(struct sgx_encl *encl, const struct sgx_sigstruct *sigstruct,
		   const uint64_t lepubkeyhash[4], struct isa_outcome *outcome);

/**
 * sgx_encl_load_ahead() - reload the page at @offset, before anybody faults on it.
 * It is mapped nowhere: the fault still comes, and finds it in EPC.
 * Takes only an EPC page that is free.
 * Context: any thread that holds no lock.
 * Return: was it outside, and is not any more?
 */
bool sgx_encl_load_ahead(struct sgx_encl *encl, uint64_t offset);

/**
 * sgx_encl_fault() - make the page at @offset resident, for an access.
 * @prot: SECINFO_R | _W | _X that the page tables are to allow; 0: not an access of
 * an instruction, which needs its own page as well.
 * @by: whose access, for epc_mm_ops.map; NULL: nobody's in particular.
 * @out: set on success only.
 * Reloads a page that was evicted.  A page that does not exist is augmented when
 * the enclave is initialized and the processor has SGX2: it is PENDING then.
 * Of several threads that fault on one page each gets the page.
 * Context: any thread that holds no lock; may evict other pages.
 * Return: 0; -EFAULT there is no such page and none can be; -EACCES @prot
 * exceeds what the page may have; -ENOMEM; -EINTR; -EIO a leaf failed, and
 * nothing is lost by that: a page outside still is, as it was.
 */
struct sgx_encl_page_info;
int sgx_encl_fault(struct sgx_encl *encl, uint64_t offset, uint8_t prot, void *by,
		   struct sgx_encl_page_info *out);

/**
 * sgx_encl_restrict_page() - EMODPR the page at @offset to @rwx, and track it.
 * @result: what EMODPR said, also on failure; ISA_DONE when it was not run.
 * Return: 0; -EFAULT no such page, or EMODPR or ETRACK failed; -EINVAL it is no
 * regular page; -ENODEV no SGX2; -ENOMEM, -EINTR, -EIO from loading it.
 * Source: SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS.
 */
int sgx_encl_restrict_page(struct sgx_encl *encl, uint64_t offset, uint8_t rwx,
			   struct isa_outcome *result);

/**
 * sgx_encl_modify_page() - EMODT the page at @offset to @type, and track it.
 * @type: PT_TCS or PT_TRIM.
 * @result: what EMODT said, also on failure; ISA_DONE when it was not run.
 * Return: 0; -EINVAL no legal change; -EPERM a page that could not be mapped
 * read-write cannot become a TCS; -EFAULT no such page, or EMODT or ETRACK
 * failed; -ENODEV no SGX2; -ENOMEM, -EINTR, -EIO from loading it.  Called again
 * after ETRACK failed, it only tracks.
 * Source: SGX_IOC_ENCLAVE_MODIFY_TYPES.
 */
int sgx_encl_modify_page(struct sgx_encl *encl, uint64_t offset, uint8_t type,
			 struct isa_outcome *result);

/**
 * sgx_encl_remove_page() - give the trimmed and accepted page at @offset back.
 * Return: 0; -EPERM not trimmed, or the enclave has not accepted that;
 * -EFAULT no such page; -ENODEV no SGX2; -ENOMEM, -EINTR, -EIO from loading it.
 * Source: SGX_IOC_ENCLAVE_REMOVE_PAGES.
 */
int sgx_encl_remove_page(struct sgx_encl *encl, uint64_t offset);

/**
 * sgx_encl_access() - read or write memory of a debug enclave, as a debugger does.
 * @offset, @buf, @len: any alignment, inside one page.
 * @write: from @buf; otherwise into it.  A failure may leave a part done.
 * Context: any thread that holds no lock; may evict other pages.
 * Return: 0; -EFAULT no debug enclave, no such page, or more than one; -EIO
 * the leaf failed; -ENOMEM, -EINTR from loading the page.
 * Source: Linux sgx_vma_access().
 */
int sgx_encl_access(struct sgx_encl *encl, uint64_t offset, void *buf, size_t len, bool write);

/**
 * sgx_encl_run() - call @fn while nothing of the enclave changes.
 * @offsets, @n: pages @fn needs: made resident, all at the same time, and
 *               augmented like sgx_encl_fault() does; at most 4; NULL with 0.
 * @fn: gets @ctx and, for each of @offsets, the physical address of its page,
 *      ISA_NO_FRAME where there is none, it is out of range, or it cannot be had.
 * Context: any thread that holds no lock.  @fn runs with the enclave's lock.
 */
void sgx_encl_run(struct sgx_encl *encl, const uint64_t *offsets, size_t n,
		  void (*fn)(void *ctx, const uint64_t *pages), void *ctx);

/* What the manager records of one page of an enclave. */
struct sgx_encl_page_info {
	uint64_t pa;			/* ISA_NO_FRAME while it is evicted */
	uint8_t type;			/* enum sgx_page_type */
	uint8_t vm_max_prot;		/* SECINFO_R | _W | _X; TCS: R | W */
};

/** sgx_encl_page_at() - the page at @offset.  Return: false when there is none. */
bool sgx_encl_page_at(struct sgx_encl *encl, uint64_t offset, struct sgx_encl_page_info *out);

/**
 * sgx_encl_next_page() - the first page at or after @offset.
 * @found: its offset; set, as @out, on success only.
 * Cheap across holes: a walk costs what the enclave has, not what it spans.
 * Return: false when there is none.
 */
bool sgx_encl_next_page(struct sgx_encl *encl, uint64_t offset, uint64_t *found,
			struct sgx_encl_page_info *out);

/** sgx_encl_secs_pa() - address of the SECS; ISA_NO_FRAME before ECREATE or while evicted. */
uint64_t sgx_encl_secs_pa(const struct sgx_encl *encl);

/** sgx_encl_nr_pages() - EPC pages held, SECS and VA pages included. */
uint64_t sgx_encl_nr_pages(const struct sgx_encl *encl);

/**
 * sgx_epc_release_begin() - an enclave or virtual EPC is about to be released, by
 * another thread perhaps.
 * Until sgx_epc_release_end() nobody is told that no page can be had: threads wait
 * for those that come, as long as they are not interrupted (-EINTR).  Who counts on
 * them, because for it the release is over, need not know that it is not.
 * Context: any thread; what the release itself waits for must not allocate meanwhile
 * without being interrupted.
 */
void sgx_epc_release_begin(struct sgx_epc_pool *pool);
void sgx_epc_release_end(struct sgx_epc_pool *pool);

/**
 * sgx_encl_release() - drop the creator's reference.  NULL is fine.
 * Calls of other threads on @encl must have ended; the reclaimer may be at work
 * on it, and is waited for, one batch at most.  On return every page is freed,
 * children first, then the SECS, then VA pages, and no epc_mm_ops is called for
 * @encl any more.  A page whose EREMOVE fails is leaked (see sgx_encl_free_epc_page()).
 */
void sgx_encl_release(struct sgx_encl *encl);

#endif /* SWSGX_EPC_H */
