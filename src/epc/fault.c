/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An access to a page that is not there: reload it, or make it with EAUG.  Who
 * comes second finds the page of who came first, under the same lock, so no
 * thread is told that there is no page because another one just made it.
 */
#include <errno.h>

#include "encl.h"

static struct isa_outcome eaug(struct sgx_encl *encl, uint64_t la, uint64_t pa)
{
	const struct epc_encls_ops *ops = &encl->pool->ops;
	_Alignas(32) struct sgx_pageinfo pageinfo = {
		.linaddr = la,
		.secs = sgx_encl_secs_pa(encl),
	};

	return ops->eaug(ops->ctx, &pageinfo, pa);
}

/* Make @page the page at @offset.  On failure it is still the caller's. */
static int augment(struct sgx_encl *encl, uint64_t offset, struct sgx_epc_page *page,
		   struct epc_encl_page **out)
{
	const struct epc_mm_ops *mm = &encl->pool->mm;
	const uint64_t pa = sgx_epc_page_pa(encl->pool, page);
	const uint64_t la = encl->base + offset;
	struct epc_encl_page *rec;

	rec = epc_record_reserve(encl, offset);
	if (!rec || (mm->place && mm->place(mm->ctx, encl->cookie, pa, la)))
		return -ENOMEM;
	sgx_epc_page_mark_initialized(encl->pool, page);
	if (!isa_is_done(eaug(encl, la, pa)))
		return -EIO;

	/* Its permissions in the EPCM are the enclave's business. */
	epc_encl_page_new(encl, offset, rec, page, PT_REG, SECINFO_RWX);
	atomic_fetch_add_explicit(&encl->pool->activity.augmented, 1, memory_order_relaxed);
	if (mm->changed)
		mm->changed(mm->ctx, encl->cookie, la, pa);
	*out = rec;
	return 0;
}

/* There is no page at @offset: make one if that can be. */
static int augment_locked(struct sgx_encl *encl, uint64_t offset, struct epc_stock *stock,
			  struct epc_encl_page **rec)
{
	struct sgx_epc_page *page;
	int err;

	if (!epc_encl_can_augment(encl, offset))
		return -EFAULT;
	page = epc_stock_take(stock);
	err = augment(encl, offset, page, rec);
	if (err) {
		sgx_encl_free_epc_page(encl->pool, page, "sgx_encl_fault");
		epc_va_shrink(encl);
	}
	return err;
}

/* @prot: what the access needs. */
static int map(struct sgx_encl *encl, const struct epc_encl_page *rec, uint8_t prot, void *by)
{
	const struct epc_mm_ops *mm = &encl->pool->mm;
	const struct epc_mm_page page = epc_record_mm_page(encl, rec);

	if (prot & ~rec->prot)
		return -EACCES;
	return mm->map ? mm->map(mm->ctx, encl->cookie, by, &page) : 0;
}

static int fault_locked(struct sgx_encl *encl, uint64_t offset, uint8_t prot, void *by,
			struct epc_encl_page *rec, struct epc_stock *stock,
			struct sgx_encl_page_info *out)
{
	int err = 0;

	if (!rec)
		err = augment_locked(encl, offset, stock, &rec);
	if (!err)
		err = map(encl, rec, prot, by);
	if (!err)
		*out = epc_encl_page_info(encl, rec);
	return err;
}

int sgx_encl_fault(struct sgx_encl *encl, uint64_t offset, uint8_t prot, void *by,
		   struct sgx_encl_page_info *out)
{
	struct epc_stock stock = { .keep_last = prot };
	struct epc_encl_page *rec;
	int err;

	err = epc_encl_lock_page(encl, offset, true, &stock, &rec);
	if (!err) {
		err = fault_locked(encl, offset, prot, by, rec, &stock, out);
		epc_unlock(&encl->lock);
	}
	epc_stock_finish(encl, &stock);
	return err;
}

/* --- before it is asked for ------------------------------------------------------- */

/* Called with the lock held.  NULL: nothing is to be brought back at @offset. */
static struct epc_encl_page *find_outside(const struct sgx_encl *encl, uint64_t offset)
{
	struct epc_encl_page *rec = NULL;

	if (epc_encl_offset_ok(encl, offset) && epc_encl_secs(encl))
		rec = epc_record_find(encl, offset);
	return rec && rec->state == EPC_ENCL_PAGE_EVICTED ? rec : NULL;
}

static bool is_outside(struct sgx_encl *encl, uint64_t offset)
{
	bool found;

	epc_lock(&encl->lock, &encl->pool->port);
	found = find_outside(encl, offset);
	epc_unlock(&encl->lock);
	return found;
}

bool sgx_encl_load_ahead(struct sgx_encl *encl, uint64_t offset)
{
	struct epc_encl_page *rec;
	struct sgx_epc_page *page;
	bool loaded = false;

	if (!epc_nr_listed(encl->pool) || !is_outside(encl, offset) ||
	    sgx_alloc_epc_page(encl->pool, &encl->owner, 0, &page))
		return false;
	epc_lock(&encl->lock, &encl->pool->port);
	rec = find_outside(encl, offset);
	if (rec)
		loaded = !epc_load_page(encl, rec, page);
	epc_unlock(&encl->lock);
	if (!rec)
		sgx_free_epc_page(encl->pool, page);
	return loaded;
}

/* --- several pages at once ------------------------------------------------------- */

/* Pages a caller wants together. */
struct wanted {
	const uint64_t *offsets;
	size_t nr;
};

static unsigned int needed_for_all(struct sgx_encl *encl, const struct wanted *wanted)
{
	unsigned int nr = 0;
	size_t i;

	for (i = 0; i < wanted->nr; i++)
		nr += epc_stock_needed(encl, epc_record_find(encl, wanted->offsets[i]),
				       epc_encl_can_augment(encl, wanted->offsets[i]));
	return nr;
}

/* Lock @encl with enough in stock for all; without, when EPC is too short. */
static void lock_stocked(struct sgx_encl *encl, const struct wanted *wanted,
			 struct epc_stock *stock)
{
	bool more = true;
	unsigned int nr;

	for (;;) {
		epc_lock(&encl->lock, &encl->pool->port);
		nr = needed_for_all(encl, wanted);
		if (nr <= stock->nr || !more)
			return;
		epc_unlock(&encl->lock);
		more = !epc_stock_fill(encl, stock, nr);
	}
}

/* Have the page at @offset.  Return: its address, ISA_NO_FRAME when it cannot be had. */
static uint64_t have_page(struct sgx_encl *encl, uint64_t offset, struct epc_stock *stock)
{
	struct epc_encl_page *rec = epc_record_find(encl, offset);
	const bool augment = !rec && epc_encl_can_augment(encl, offset);

	/* Nobody's access: whoever makes one faults, and has it mapped. */
	if (epc_stock_needed(encl, rec, augment) > stock->nr ||
	    epc_encl_make_ready(encl, rec, augment, stock) ||
	    (!rec && augment_locked(encl, offset, stock, &rec)))
		return ISA_NO_FRAME;
	return sgx_epc_page_pa(encl->pool, epc_record_page(encl, rec));
}

void sgx_encl_run(struct sgx_encl *encl, const uint64_t *offsets, size_t n,
		  void (*fn)(void *ctx, const uint64_t *pages), void *ctx)
{
	const struct wanted wanted = { offsets, n };
	struct epc_stock stock = { .nr = 0 };
	uint64_t pages[EPC_MAX_OPERANDS];
	size_t i;

	lock_stocked(encl, &wanted, &stock);
	for (i = 0; i < n; i++)
		pages[i] = have_page(encl, offsets[i], &stock);
	fn(ctx, pages);
	epc_unlock(&encl->lock);
	epc_stock_finish(encl, &stock);
}
