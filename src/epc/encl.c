/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Host enclaves: building them page by page, and the one way their pages go
 * back.  Whatever ECREATE or EADD has been tried on counts as initialized until
 * EREMOVE says otherwise: on failure too, as nothing here has to know how far a
 * failed leaf got.
 */
#include <errno.h>

#include "encl.h"

#define EEXTEND_SIZE 256u
/* A pending interrupt makes EINIT give up; how often to try before saying so. */
#define EINIT_TRIES 20

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

/* --- life ------------------------------------------------------------------ */

void epc_encl_get(struct sgx_encl *encl)
{
	atomic_fetch_add_explicit(&encl->refs, 1, memory_order_relaxed);
}

void epc_encl_put(struct sgx_encl *encl)
{
	if (atomic_fetch_sub_explicit(&encl->refs, 1, memory_order_acq_rel) == 1)
		epc_free(&encl->pool->port, encl);
}

static void enlist(struct sgx_encl *encl)
{
	struct epc_encls *encls = &encl->pool->encls;

	epc_lock(&encls->lock, &encl->pool->port);
	encl->id = ++encls->last_id;
	encl->next = encls->first;
	if (encl->next)
		encl->next->prev = encl;
	encls->first = encl;
	epc_unlock(&encls->lock);
}

static void delist(struct sgx_encl *encl)
{
	struct epc_encls *encls = &encl->pool->encls;

	epc_lock(&encls->lock, &encl->pool->port);
	if (encl->prev)
		encl->prev->next = encl->next;
	else
		encls->first = encl->next;
	if (encl->next)
		encl->next->prev = encl->prev;
	epc_unlock(&encls->lock);
}

int sgx_encl_create(struct sgx_epc_pool *pool, const struct sgx_encl_config *config,
		    struct sgx_encl **out)
{
	struct sgx_encl *encl;
	int err;

	encl = epc_alloc(&pool->port, sizeof(*encl));
	if (!encl)
		return -ENOMEM;
	err = sgx_epc_usage_get(pool);
	if (err) {
		epc_free(&pool->port, encl);
		return err;
	}
	encl->pool = pool;
	encl->owner = config->owner;
	encl->cookie = config->cookie;
	encl->pages.more_words = sizeof(struct epc_encl_page) / sizeof(uint64_t) - 1;
	atomic_init(&encl->refs, 1);
	enlist(encl);
	atomic_fetch_add_explicit(&pool->activity.enclaves, 1, memory_order_relaxed);
	*out = encl;
	return 0;
}

static void release_page(void *ctx, uint64_t *entry)
{
	const struct epc_encl_page *rec = (struct epc_encl_page *)entry;
	struct sgx_encl *encl = ctx;

	if (rec->state == EPC_ENCL_PAGE_EVICTED) {
		epc_backing_destroy(encl, rec->backing);
		atomic_fetch_sub_explicit(&encl->pool->activity.backed, 1, memory_order_relaxed);
		return;
	}
	sgx_encl_free_epc_page(encl->pool, epc_record_page(encl, rec), "sgx_encl_release");
}

static void release_secs(struct sgx_encl *encl)
{
	struct sgx_epc_page *secs = epc_encl_secs(encl);

	if (secs)
		sgx_encl_free_epc_page(encl->pool, secs, "sgx_encl_release");
	if (encl->secs_backing) {
		epc_backing_destroy(encl, encl->secs_backing);
		atomic_fetch_sub_explicit(&encl->pool->activity.backed, 1, memory_order_relaxed);
	}
	atomic_store_explicit(&encl->secs, NULL, memory_order_release);
}

void sgx_encl_release(struct sgx_encl *encl)
{
	struct sgx_epc_pool *pool;

	if (!encl)
		return;
	pool = encl->pool;
	delist(encl);

	/* A reclaimer that chose this enclave before leaves it alone, and need not wait. */
	epc_lock(&encl->lock, &pool->port);
	encl->is_released = true;
	epc_unlock(&encl->lock);
	/* Children first: EREMOVE of a SECS that has any fails. */
	while (encl->victims.leaving.nr)
		epc_backing_destroy(encl, epc_victims_stay(encl, encl->victims.leaving.tail));
	epc_pt_for_each(&encl->pages, release_page, encl);
	release_secs(encl);
	epc_va_finish(encl, __func__);
	epc_pt_finish(&encl->pages, &pool->port);

	atomic_fetch_sub_explicit(&pool->activity.enclaves, 1, memory_order_relaxed);
	epc_encl_put(encl);
	sgx_epc_usage_put(pool);
}

/* --- pages -------------------------------------------------------------------- */

void epc_encl_page_arrived(struct sgx_encl *encl, struct epc_encl_page *rec,
			   const struct sgx_epc_page *page, uint64_t evicted_at)
{
	encl->nr_resident++;
	rec->state = EPC_ENCL_PAGE_RESIDENT;
	rec->flags = 0;
	rec->page = epc_page_index(encl->pool, page);
	atomic_fetch_add_explicit(&encl->nr_pages, 1, memory_order_relaxed);
	epc_victims_add(encl, rec, evicted_at);
}

void epc_encl_page_new(struct sgx_encl *encl, uint64_t offset, struct epc_encl_page *rec,
		       const struct sgx_epc_page *page, uint8_t type, uint8_t prot)
{
	rec->nr = offset >> SGX_PAGE_SHIFT;
	rec->type = type;
	rec->prot = prot;
	encl->nr_records++;
	epc_encl_page_arrived(encl, rec, page, 0);
}

void epc_encl_page_gone(struct sgx_encl *encl, struct epc_encl_page *rec)
{
	epc_encl_page_left(encl, rec);
	*rec = (struct epc_encl_page){ .state = EPC_ENCL_PAGE_NONE };
	encl->nr_records--;
}

void epc_encl_page_left(struct sgx_encl *encl, struct epc_encl_page *rec)
{
	epc_victims_remove(encl, rec);
	rec->flags = 0;
	encl->nr_resident--;
	atomic_fetch_sub_explicit(&encl->nr_pages, 1, memory_order_relaxed);
}

bool epc_encl_offset_ok(const struct sgx_encl *encl, uint64_t offset)
{
	return !(offset & ~SGX_PAGE_MASK) && offset < encl->size;
}

struct sgx_encl_page_info epc_encl_page_info(const struct sgx_encl *encl,
					     const struct epc_encl_page *rec)
{
	const bool resident = rec->state == EPC_ENCL_PAGE_RESIDENT;

	return (struct sgx_encl_page_info){
		.pa = resident ? sgx_epc_page_pa(encl->pool, epc_record_page(encl, rec))
			       : ISA_NO_FRAME,
		.type = rec->type,
		.vm_max_prot = rec->prot,
	};
}

/* --- building ------------------------------------------------------------- */

/* A VA page first: it is easier to give back than a SECS. */
static int ecreate_locked(struct sgx_encl *encl, const struct sgx_secs *secs,
			  struct epc_stock *stock)
{
	const struct epc_encls_ops *ops = &encl->pool->ops;
	_Alignas(64) struct sgx_secinfo secinfo = { .flags = SECINFO_PT(PT_SECS) };
	_Alignas(32) struct sgx_pageinfo pageinfo = {
		.srcpge = (uintptr_t)secs,
		.secinfo_or_pcmd = (uintptr_t)&secinfo,
	};
	struct sgx_epc_page *page;
	int err;

	if (epc_va_is_needed(encl)) {
		err = epc_va_grow(encl, epc_stock_take(stock), "sgx_encl_ecreate");
		if (err)
			return err == -EIO ? -EFAULT : err;
	}
	page = epc_stock_take(stock);
	sgx_epc_page_mark_initialized(encl->pool, page);
	if (!isa_is_done(ops->ecreate(ops->ctx, &pageinfo, sgx_epc_page_pa(encl->pool, page)))) {
		sgx_encl_free_epc_page(encl->pool, page, "sgx_encl_ecreate");
		epc_va_finish(encl, "sgx_encl_ecreate");
		return -EIO;
	}
	encl->base = secs->baseaddr;
	encl->size = secs->size;
	encl->is_debug = secs->attributes.flags & ATTR_DEBUG;
	atomic_fetch_add_explicit(&encl->nr_pages, 1, memory_order_relaxed);
	atomic_store_explicit(&encl->secs, page, memory_order_release);
	return 0;
}

/* Is there a SECS, in EPC or outside? */
static bool has_secs(const struct sgx_encl *encl)
{
	return epc_encl_secs(encl) || encl->secs_backing;
}

int sgx_encl_ecreate(struct sgx_encl *encl, const struct sgx_secs *secs)
{
	struct sgx_epc_pool *pool = encl->pool;
	const struct epc_mm_ops *mm = &pool->mm;
	struct epc_stock stock = { .nr = 0 };
	bool exists;
	int err;

	err = epc_may_create(pool);
	if (err)
		return err;
	/* Known before a page is taken, so that a full EPC does not hide it. */
	epc_lock(&encl->lock, &pool->port);
	exists = has_secs(encl);
	epc_unlock(&encl->lock);
	if (exists)
		return -EINVAL;

	err = epc_stock_fill(encl, &stock, epc_pool_can_page(pool) ? 2 : 1);
	if (!err) {
		epc_lock(&encl->lock, &pool->port);
		err = has_secs(encl) ? -EINVAL : ecreate_locked(encl, secs, &stock);
		if (!err && mm->secs_changed)
			mm->secs_changed(mm->ctx, encl->cookie, sgx_encl_secs_pa(encl));
		epc_unlock(&encl->lock);
	}
	epc_stock_finish(encl, &stock);
	return err;
}

static int eextend_page(struct sgx_encl *encl, uint64_t offset)
{
	const struct epc_encl_page *rec = epc_record_find(encl, offset);
	const uint64_t pa = sgx_epc_page_pa(encl->pool, epc_record_page(encl, rec));
	const struct epc_encls_ops *ops = &encl->pool->ops;
	const uint64_t secs = sgx_encl_secs_pa(encl);
	uint64_t off;

	for (off = 0; off < SGX_PAGE_SIZE; off += EEXTEND_SIZE) {
		if (!isa_is_done(ops->eextend(ops->ctx, secs, pa + off)))
			return -EIO;
	}
	return 0;
}

/* SECINFO of a TCS has no permissions, but debuggers map it. */
static uint8_t prot_of(uint64_t secinfo_flags, uint8_t type)
{
	return type == PT_TCS ? SECINFO_R | SECINFO_W : secinfo_flags & SECINFO_RWX;
}

/*
 * Place and EADD a page.  Its record is found first: EADD changes the measurement
 * and cannot be undone, so nothing may fail between it and the record that lets
 * release find the page.
 */
static int eadd(struct sgx_encl *encl, uint64_t offset, const void *src,
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
	struct epc_encl_page *rec;
	uint8_t type;
	int err;

	rec = epc_record_reserve(encl, offset);
	if (!rec)
		return -ENOMEM;
	if (rec->state != EPC_ENCL_PAGE_NONE)
		return -EBUSY;
	if (mm->place) {
		err = mm->place(mm->ctx, encl->cookie, pa, pageinfo.linaddr);
		if (err)
			return err;
	}

	sgx_epc_page_mark_initialized(encl->pool, page);
	if (!isa_is_done(ops->eadd(ops->ctx, &pageinfo, pa)))
		return -EIO;

	type = (uint8_t)((copy.flags & SECINFO_PT_MASK) >> SECINFO_PT_SHIFT);
	epc_encl_page_new(encl, offset, rec, page, type, prot_of(copy.flags, type));
	return 0;
}

static int add_page_locked(struct sgx_encl *encl, uint64_t offset, const void *src,
			   const struct sgx_secinfo *secinfo, struct epc_stock *stock)
{
	struct sgx_epc_page *page;
	int err;

	if (epc_va_is_needed(encl)) {
		err = epc_va_grow(encl, epc_stock_take(stock), "sgx_encl_add_page");
		if (err)
			return err == -EIO ? -EFAULT : err;
	}
	page = epc_stock_take(stock);
	err = eadd(encl, offset, src, secinfo, page);
	if (err) {
		sgx_encl_free_epc_page(encl->pool, page, "sgx_encl_add_page");
		epc_va_shrink(encl);
	}
	return err;
}

/* Lock @encl, not initialized yet, with what one page more needs in @stock. */
static int lock_to_add(struct sgx_encl *encl, uint64_t offset, struct epc_stock *stock)
{
	int err;

	for (;;) {
		epc_lock(&encl->lock, &encl->pool->port);
		if (encl->is_initialized || !epc_encl_secs(encl) ||
		    !epc_encl_offset_ok(encl, offset)) {
			epc_unlock(&encl->lock);
			return -EINVAL;
		}
		if (stock->nr > epc_va_is_needed(encl))
			return 0;
		epc_unlock(&encl->lock);
		err = epc_stock_fill(encl, stock, stock->nr + 1);
		if (err)
			return err;
	}
}

int sgx_encl_add_page(struct sgx_encl *encl, uint64_t offset, const void *src,
		      const struct sgx_secinfo *secinfo, bool measure)
{
	struct epc_stock stock = { .nr = 0 };
	int err;

	err = lock_to_add(encl, offset, &stock);
	if (!err) {
		err = add_page_locked(encl, offset, src, secinfo, &stock);
		/* The page is the enclave's from EADD on, measured or not. */
		if (!err && measure)
			err = eextend_page(encl, offset);
		epc_unlock(&encl->lock);
	}
	epc_stock_finish(encl, &stock);
	return err;
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
	bool ready;

	*outcome = (struct isa_outcome){ .kind = ISA_DONE };
	epc_lock(&encl->lock, &encl->pool->port);
	ready = epc_encl_secs(encl) && !encl->is_initialized;
	if (ready) {
		*outcome = einit_locked(encl, sigstruct, lepubkeyhash);
		encl->is_initialized = isa_is_done(*outcome);
	}
	epc_unlock(&encl->lock);

	if (!ready)
		return -EINVAL;
	if (outcome->kind == ISA_FAULT)
		return -EIO;
	return isa_is_done(*outcome) ? 0 : -EPERM;
}

/* --- looking -------------------------------------------------------------- */

bool sgx_encl_page_at(struct sgx_encl *encl, uint64_t offset, struct sgx_encl_page_info *out)
{
	const struct epc_encl_page *rec;

	epc_lock(&encl->lock, &encl->pool->port);
	rec = epc_record_find(encl, offset);
	if (rec)
		*out = epc_encl_page_info(encl, rec);
	epc_unlock(&encl->lock);
	return rec;
}

bool sgx_encl_next_page(struct sgx_encl *encl, uint64_t offset, uint64_t *found,
			struct sgx_encl_page_info *out)
{
	const struct epc_encl_page *rec;
	uint64_t nr = offset >> SGX_PAGE_SHIFT;

	/* A page that @offset lies inside of starts before it. */
	if (offset & ~SGX_PAGE_MASK)
		nr++;

	epc_lock(&encl->lock, &encl->pool->port);
	rec = (struct epc_encl_page *)epc_pt_next(&encl->pages, &nr);
	if (rec) {
		*found = nr << SGX_PAGE_SHIFT;
		*out = epc_encl_page_info(encl, rec);
	}
	epc_unlock(&encl->lock);
	return rec;
}

uint64_t sgx_encl_secs_pa(const struct sgx_encl *encl)
{
	const struct sgx_epc_page *secs = epc_encl_secs(encl);

	return secs ? sgx_epc_page_pa(encl->pool, secs) : ISA_NO_FRAME;
}

uint64_t sgx_encl_nr_pages(const struct sgx_encl *encl)
{
	return atomic_load_explicit(&encl->nr_pages, memory_order_relaxed);
}
