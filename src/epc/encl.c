/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Host enclaves: building them page by page, and the one way their pages go
 * back.  Whatever ECREATE or EADD has been tried on counts as initialized until
 * EREMOVE says otherwise: on failure too, as nothing here has to know how far a
 * failed leaf got.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"
#include "page-table.h"

#define EEXTEND_SIZE 256u
/* A pending interrupt makes EINIT give up; how often to try before saying so. */
#define EINIT_TRIES 20

struct sgx_encl {
	struct sgx_epc_pool *pool;
	struct sgx_epc_owner owner;	/* its pages point here */
	void *cookie;

	struct epc_lock lock;		/* building; all below */
	uint64_t base, size;		/* valid once there is a SECS */
	struct epc_page_table pages;	/* offset >> 12 to an entry, see below */

	/* Written under the lock, read without it. */
	_Atomic(struct sgx_epc_page *) secs;	/* NULL before ECREATE */
	_Atomic uint64_t nr_pages;
};

/* --- entries of the page table -------------------------------------------- */

#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_PROT_SHIFT 40
#define ENTRY_TYPE_SHIFT 32

static uint64_t entry_make(const struct sgx_encl *encl, const struct sgx_epc_page *page,
			   uint64_t secinfo_flags)
{
	const uint64_t type = (secinfo_flags & SECINFO_PT_MASK) >> SECINFO_PT_SHIFT;
	uint64_t prot = secinfo_flags & SECINFO_RWX;

	/* SECINFO of a TCS has no permissions, but debuggers map it. */
	if (type == PT_TCS)
		prot = SECINFO_R | SECINFO_W;
	return ENTRY_PRESENT | prot << ENTRY_PROT_SHIFT | type << ENTRY_TYPE_SHIFT |
	       epc_page_index(encl->pool, page);
}

static struct sgx_epc_page *entry_page(const struct sgx_encl *encl, uint64_t entry)
{
	return &encl->pool->pages[(uint32_t)entry];
}

static struct sgx_encl_page_info entry_info(const struct sgx_encl *encl, uint64_t entry)
{
	return (struct sgx_encl_page_info){
		.pa = sgx_epc_page_pa(encl->pool, entry_page(encl, entry)),
		.type = (uint8_t)(entry >> ENTRY_TYPE_SHIFT),
		.vm_max_prot = (uint8_t)(entry >> ENTRY_PROT_SHIFT),
	};
}

/* --- freeing -------------------------------------------------------------- */

bool sgx_encl_free_epc_page(struct sgx_epc_pool *pool, struct sgx_epc_page *page,
			    const char *site)
{
	struct isa_outcome result;

	/* A page somebody else may have by now must not even see EREMOVE. */
	if (!epc_page_is_allocated(page))
		epc_bug(pool, page, __func__);

	result = pool->ops.eremove(pool->ops.ctx, sgx_epc_page_pa(pool, page));
	if (!isa_is_done(result)) {
		epc_page_leak(pool, page, result, site);
		return false;
	}
	epc_page_cleaned(pool, page);
	sgx_free_epc_page(pool, page);
	return true;
}

static void release_entry(void *ctx, uint64_t entry)
{
	struct sgx_encl *encl = ctx;

	sgx_encl_free_epc_page(encl->pool, entry_page(encl, entry), "sgx_encl_release");
}

void sgx_encl_release(struct sgx_encl *encl)
{
	struct sgx_epc_page *secs;
	struct sgx_epc_pool *pool;

	if (!encl)
		return;
	pool = encl->pool;
	secs = atomic_load_explicit(&encl->secs, memory_order_acquire);

	/* Children first: EREMOVE of a SECS that has any fails. */
	epc_pt_for_each(&encl->pages, release_entry, encl);
	if (secs)
		sgx_encl_free_epc_page(pool, secs, __func__);

	epc_pt_finish(&encl->pages, &pool->port);
	epc_free(&pool->port, encl);
}

/* --- building ------------------------------------------------------------- */

int sgx_encl_create(struct sgx_epc_pool *pool, const struct sgx_encl_config *config,
		    struct sgx_encl **out)
{
	struct sgx_encl *encl = epc_alloc(&pool->port, sizeof(*encl));

	if (!encl)
		return -ENOMEM;
	encl->pool = pool;
	encl->owner = config->owner;
	encl->cookie = config->cookie;
	*out = encl;
	return 0;
}

static int ecreate_locked(struct sgx_encl *encl, const struct sgx_secs *secs,
			  struct sgx_epc_page *page)
{
	const struct epc_encls_ops *ops = &encl->pool->ops;
	_Alignas(64) struct sgx_secinfo secinfo = { .flags = SECINFO_PT(PT_SECS) };
	_Alignas(32) struct sgx_pageinfo pageinfo = {
		.srcpge = (uintptr_t)secs,
		.secinfo_or_pcmd = (uintptr_t)&secinfo,
	};

	if (atomic_load_explicit(&encl->secs, memory_order_relaxed))
		return -EINVAL;

	sgx_epc_page_mark_initialized(encl->pool, page);
	if (!isa_is_done(ops->ecreate(ops->ctx, &pageinfo, sgx_epc_page_pa(encl->pool, page))))
		return -EIO;

	encl->base = secs->baseaddr;
	encl->size = secs->size;
	atomic_store_explicit(&encl->nr_pages, 1, memory_order_relaxed);
	atomic_store_explicit(&encl->secs, page, memory_order_release);
	return 0;
}

int sgx_encl_ecreate(struct sgx_encl *encl, const struct sgx_secs *secs)
{
	struct sgx_epc_pool *pool = encl->pool;
	struct sgx_epc_page *page;
	int err;

	/* Known before a page is taken, so that a full EPC does not hide it. */
	if (sgx_encl_secs_pa(encl) != ISA_NO_FRAME)
		return -EINVAL;

	err = epc_may_create(pool);
	if (!err)
		err = sgx_alloc_epc_page(pool, &encl->owner, SGX_ALLOC_RECLAIM, &page);
	if (err)
		return err;

	epc_lock(&encl->lock, &pool->port);
	err = ecreate_locked(encl, secs, page);
	epc_unlock(&encl->lock);

	if (err)
		sgx_encl_free_epc_page(pool, page, __func__);
	return err;
}

static int eextend_page(struct sgx_encl *encl, const struct sgx_epc_page *page)
{
	const struct epc_encls_ops *ops = &encl->pool->ops;
	const uint64_t secs = sgx_encl_secs_pa(encl);
	const uint64_t pa = sgx_epc_page_pa(encl->pool, page);
	uint64_t off;

	for (off = 0; off < SGX_PAGE_SIZE; off += EEXTEND_SIZE) {
		if (!isa_is_done(ops->eextend(ops->ctx, secs, pa + off)))
			return -EIO;
	}
	return 0;
}

/*
 * Place and EADD @page.  Its slot in the table is found first: EADD changes the
 * measurement and cannot be undone, so nothing may fail between it and the
 * record that lets release find the page.
 */
static int eadd_locked(struct sgx_encl *encl, uint64_t offset, const void *src,
		       const struct sgx_secinfo *secinfo, struct sgx_epc_page *page)
{
	const struct epc_encls_ops *ops = &encl->pool->ops;
	const struct epc_mm_ops *mm = &encl->pool->mm;
	const uint64_t pa = sgx_epc_page_pa(encl->pool, page);
	_Alignas(64) struct sgx_secinfo copy = *secinfo;
	_Alignas(32) struct sgx_pageinfo pageinfo = {
		.linaddr = encl->base + offset,
		.srcpge = (uintptr_t)src,
		.secinfo_or_pcmd = (uintptr_t)&copy,
		.secs = sgx_encl_secs_pa(encl),
	};
	uint64_t *slot;
	int err;

	slot = epc_pt_reserve(&encl->pages, &encl->pool->port, offset >> SGX_PAGE_SHIFT);
	if (!slot)
		return -ENOMEM;
	if (*slot)
		return -EBUSY;
	if (mm->place) {
		err = mm->place(mm->ctx, encl->cookie, pa, pageinfo.linaddr);
		if (err)
			return err;
	}

	sgx_epc_page_mark_initialized(encl->pool, page);
	if (!isa_is_done(ops->eadd(ops->ctx, &pageinfo, pa)))
		return -EIO;

	*slot = entry_make(encl, page, copy.flags);
	atomic_fetch_add_explicit(&encl->nr_pages, 1, memory_order_relaxed);
	return 0;
}

static bool offset_is_valid(const struct sgx_encl *encl, uint64_t offset)
{
	return sgx_encl_secs_pa(encl) != ISA_NO_FRAME && !(offset & ~SGX_PAGE_MASK) &&
	       offset < encl->size;
}

int sgx_encl_add_page(struct sgx_encl *encl, uint64_t offset, const void *src,
		      const struct sgx_secinfo *secinfo, bool measure)
{
	struct sgx_epc_pool *pool = encl->pool;
	struct sgx_epc_page *page;
	int err, measured = 0;

	if (!offset_is_valid(encl, offset))
		return -EINVAL;

	err = sgx_alloc_epc_page(pool, &encl->owner, SGX_ALLOC_RECLAIM, &page);
	if (err)
		return err;

	epc_lock(&encl->lock, &pool->port);
	err = eadd_locked(encl, offset, src, secinfo, page);
	/* The page is the enclave's from EADD on, measured or not. */
	if (!err && measure)
		measured = eextend_page(encl, page);
	epc_unlock(&encl->lock);

	if (err) {
		sgx_encl_free_epc_page(pool, page, __func__);
		return err;
	}
	return measured;
}

/* EINIT, again while nothing but an interrupt got in its way. */
static struct isa_outcome einit_locked(struct sgx_encl *encl,
				       const struct sgx_sigstruct *sigstruct,
				       const uint64_t lepubkeyhash[4])
{
	/* Not valid, hence all zero: the launch-key hash decides. */
	static const _Alignas(512) struct sgx_einittoken token;
	const struct epc_encls_ops *ops = &encl->pool->ops;
	const uint64_t secs = sgx_encl_secs_pa(encl);
	struct isa_outcome out;
	unsigned int tries = 0;

	do {
		out = ops->einit(ops->ctx, sigstruct, &token, secs, lepubkeyhash);
	} while (out.kind == ISA_ERROR && out.code == SGX_UNMASKED_EVENT &&
		 ++tries < EINIT_TRIES);
	return out;
}

int sgx_encl_einit(struct sgx_encl *encl, const struct sgx_sigstruct *sigstruct,
		   const uint64_t lepubkeyhash[4], struct isa_outcome *outcome)
{
	*outcome = (struct isa_outcome){ .kind = ISA_DONE };
	if (sgx_encl_secs_pa(encl) == ISA_NO_FRAME)
		return -EINVAL;

	epc_lock(&encl->lock, &encl->pool->port);
	*outcome = einit_locked(encl, sigstruct, lepubkeyhash);
	epc_unlock(&encl->lock);

	if (outcome->kind == ISA_FAULT)
		return -EIO;
	return isa_is_done(*outcome) ? 0 : -EPERM;
}

/* --- looking -------------------------------------------------------------- */

bool sgx_encl_page_at(struct sgx_encl *encl, uint64_t offset, struct sgx_encl_page_info *out)
{
	uint64_t entry;

	epc_lock(&encl->lock, &encl->pool->port);
	entry = epc_pt_find(&encl->pages, offset >> SGX_PAGE_SHIFT);
	epc_unlock(&encl->lock);

	if (!entry)
		return false;
	*out = entry_info(encl, entry);
	return true;
}

bool sgx_encl_next_page(struct sgx_encl *encl, uint64_t offset, uint64_t *found,
			struct sgx_encl_page_info *out)
{
	uint64_t nr = offset >> SGX_PAGE_SHIFT;
	uint64_t entry;

	/* A page that @offset lies inside of starts before it. */
	if (offset & ~SGX_PAGE_MASK)
		nr++;

	epc_lock(&encl->lock, &encl->pool->port);
	entry = epc_pt_next(&encl->pages, &nr);
	epc_unlock(&encl->lock);

	if (!entry)
		return false;
	*found = nr << SGX_PAGE_SHIFT;
	*out = entry_info(encl, entry);
	return true;
}

uint64_t sgx_encl_secs_pa(const struct sgx_encl *encl)
{
	const struct sgx_epc_page *secs =
		atomic_load_explicit(&encl->secs, memory_order_acquire);

	return secs ? sgx_epc_page_pa(encl->pool, secs) : ISA_NO_FRAME;
}

uint64_t sgx_encl_nr_pages(const struct sgx_encl *encl)
{
	return atomic_load_explicit(&encl->nr_pages, memory_order_relaxed);
}
