/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The manager of the enclave page cache: sections, nodes, allocation, freeing,
 * the leak ledger, sanitizing, and host enclaves.  It reaches the processor
 * only through a table of ENCLS operations, so the same code can sit on the
 * software machine or on real instructions; and its surroundings only through
 * struct epc_port.
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

/* Everything the manager needs from where it lives. All callable from any thread. */
struct epc_port {
	void *ctx;
	void *(*alloc)(void *ctx, size_t size);	/* zeroed; NULL when out of memory */
	void (*free)(void *ctx, void *p);
	/* One whole message; the port never splits it into records. */
	void (*log)(void *ctx, enum epc_log_level level, const char *message);
	uint64_t (*time_ns)(void *ctx);		/* wall clock, for the ledger */
	unsigned int (*node)(void *ctx);	/* NUMA node of the calling thread */
	/* Let others run while the caller waits for a lock; may be NULL. */
	void (*yield)(void *ctx);
};

/*
 * ENCLS as the manager issues it.  Pages are named by physical address;
 * @pageinfo, @sigstruct and @token by pointer.  Every call executes the leaf
 * once and answers what the processor answered.
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
	/* EPCM state for the ledger; may be NULL where it cannot be read. */
	struct isa_epcm_info (*peek)(void *ctx, uint64_t page);
	/*
	 * Map EPC @page where the enclave's page at @la lives, ahead of EADD;
	 * undo with @page's EREMOVE.  @encl is the cookie of sgx_encl_config.
	 * Return 0 or -ENOMEM.  May be NULL: a real processor needs nothing.
	 */
	int (*place)(void *ctx, void *encl, uint64_t page, uint64_t la);
};

/* --- the pool ------------------------------------------------------------ */

struct sgx_epc_pool;
struct sgx_epc_page;

struct sgx_epc_config {
	const struct isa_section *sections;	/* copied */
	size_t nr_sections;			/* > 0 */
	struct epc_port port;			/* copied */
	struct epc_encls_ops ops;		/* copied */
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
 * The allocator is usable meanwhile.
 * @stop: polled for each page; when it becomes true the rest stays unsanitized.
 * Return: number of pages that no pass could clean (0 when stopped early).
 * Source: Linux arch/x86/kernel/cpu/sgx/main.c, __sgx_sanitize_pages().
 */
uint64_t sgx_epc_sanitize(struct sgx_epc_pool *pool, const atomic_bool *stop);

/** sgx_epc_stat_total() - counters of all nodes; exact at a quiet point. */
struct sgx_epc_stat sgx_epc_stat_total(struct sgx_epc_pool *pool);

/** sgx_epc_stat_node() - counters of one node; all zero for a node without EPC. */
struct sgx_epc_stat sgx_epc_stat_node(struct sgx_epc_pool *pool, unsigned int node);

/* Who holds a page: what the ledger says of its last owner. */
struct sgx_epc_owner {
	uint64_t encl_id;	/* 0: none */
	uint64_t client_id;	/* 0: none */
	int32_t pid;		/* 0: unknown */
};

#define SGX_ALLOC_RECLAIM (1u << 0)	/* may evict others; nothing is evictable so far */

/**
 * sgx_alloc_epc_page() - take one free EPC page, nearest node first.
 * @owner: recorded for the ledger; must outlive the allocation; may be NULL.
 * @flags: SGX_ALLOC_RECLAIM or 0.
 * @out: set on success only.
 * Does not run EREMOVE: the page is uninitialized already.
 * Return: 0; -ENOMEM no page is free and none can be evicted.
 * Source: behaviour of Linux sgx_alloc_epc_page().
 */
int sgx_alloc_epc_page(struct sgx_epc_pool *pool, const struct sgx_epc_owner *owner,
		       unsigned int flags, struct sgx_epc_page **out);

/**
 * sgx_free_epc_page() - give back a page that is uninitialized.
 * Runs no EREMOVE.  The page must never have been initialized since it was
 * allocated, or have been EREMOVEd with success by the manager; anything else
 * is a bug in the caller and aborts, in release builds too.
 */
void sgx_free_epc_page(struct sgx_epc_pool *pool, struct sgx_epc_page *page);

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
	struct sgx_epc_owner owner;	/* the last one */
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

/* --- host enclaves ------------------------------------------------------- */

struct sgx_encl;

struct sgx_encl_config {
	struct sgx_epc_owner owner;
	void *cookie;		/* handed to ops.place */
};

/** sgx_encl_create() - an enclave without a SECS.  Return: 0; -ENOMEM. */
int sgx_encl_create(struct sgx_epc_pool *pool, const struct sgx_encl_config *config,
		    struct sgx_encl **out);

/**
 * sgx_encl_ecreate() - allocate the SECS page and run ECREATE.
 * @secs: the 4096-byte source, page aligned as the leaf demands.
 * A failure leaves the enclave as before: it can be tried again.
 * Return: 0; -EINVAL there is a SECS already; -ENOMEM; -EIO ECREATE faulted.
 */
int sgx_encl_ecreate(struct sgx_encl *encl, const struct sgx_secs *secs);

/**
 * sgx_encl_add_page() - allocate a page, EADD, and EEXTEND when @measure.
 * @offset: from the enclave's base, page aligned, inside it.
 * @src: 4096 bytes, page aligned as the leaf demands.
 * Return: 0; -EINVAL no SECS, or @offset out of its range; -EBUSY a page is at
 * that offset; -ENOMEM no EPC or no memory; -EIO EADD or EEXTEND
 * faulted.  The measurement may have changed then: the enclave cannot be
 * initialized as intended any more, but stays releasable.
 */
int sgx_encl_add_page(struct sgx_encl *encl, uint64_t offset, const void *src,
		      const struct sgx_secinfo *secinfo, bool measure);

/**
 * sgx_encl_einit() - run EINIT under the launch-key hash of the signer.
 * An SGX_UNMASKED_EVENT is tried again a few times before it is believed.
 * @sigstruct: page aligned as the leaf demands.
 * @outcome: what EINIT said, also on failure; ISA_DONE when it was not run.
 * Return: 0; -EINVAL no SECS; -EPERM EINIT returned a code; -EIO it faulted.
 */
int sgx_encl_einit(struct sgx_encl *encl, const struct sgx_sigstruct *sigstruct,
		   const uint64_t lepubkeyhash[4], struct isa_outcome *outcome);

/* What the manager records of one page of an enclave. */
struct sgx_encl_page_info {
	uint64_t pa;
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

/** sgx_encl_secs_pa() - physical address of the SECS; ISA_NO_FRAME before ECREATE. */
uint64_t sgx_encl_secs_pa(const struct sgx_encl *encl);

/** sgx_encl_nr_pages() - EPC pages held, the SECS included. */
uint64_t sgx_encl_nr_pages(const struct sgx_encl *encl);

/**
 * sgx_encl_release() - free every page, children first, then the SECS.
 * NULL is fine.  Nothing else may use @encl.  A page whose EREMOVE fails is
 * leaked (see sgx_encl_free_epc_page()).
 */
void sgx_encl_release(struct sgx_encl *encl);

#endif /* SWSGX_EPC_H */
