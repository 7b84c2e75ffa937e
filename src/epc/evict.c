/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing pages of an enclave out: EBLOCK each, one tracking cycle for all, EWB
 * each.  Whatever a page needs outside is there before it is touched, so that
 * after EBLOCK only EWB can fail.  A page it fails for is still valid, but
 * blocked, and nothing but EWB and ELDU ends that: it is marked, tried again like
 * any other victim, and on a fault written out and read back at once.
 */
#include <errno.h>

#include "encl.h"

static void kick(struct sgx_encl *encl)
{
	const struct epc_mm_ops *mm = &encl->pool->mm;

	if (mm->kick)
		mm->kick(mm->ctx, encl->cookie, sgx_encl_secs_pa(encl));
}

static bool etrack(struct sgx_encl *encl)
{
	const struct epc_encls_ops *ops = &encl->pool->ops;

	return isa_is_done(ops->etrack(ops->ctx, sgx_encl_secs_pa(encl)));
}

int epc_encl_track(struct sgx_encl *encl)
{
	/* A cycle that somebody else's failure left open has to end first. */
	if (!etrack(encl)) {
		kick(encl);
		if (!etrack(encl))
			return -EFAULT;
	}
	kick(encl);
	return 0;
}

static void count_failure(struct sgx_encl *encl)
{
	atomic_fetch_add_explicit(&encl->pool->activity.evict_failed, 1, memory_order_relaxed);
}

/* --- one page ---------------------------------------------------------------------- */

/*
 * Did EWB do it?  With an occupied slot it says so, and writes the page out all
 * the same: what it left in the PCMD, which is never all zero, is the evidence.
 */
static bool wrote_out(struct isa_outcome out, const struct sgx_pcmd *pcmd)
{
	uint8_t any = 0;
	size_t i;

	for (i = 0; i < sizeof(pcmd->mac); i++)
		any |= pcmd->mac[i];
	return isa_is_done(out) ||
	       (out.kind == ISA_INFO && out.code == SGX_VA_SLOT_OCCUPIED && any);
}

/* EWB @page.  Return: 0, it is CLEAN; -EAGAIN not tracked; -EIO. */
static int ewb(struct sgx_encl *encl, struct sgx_epc_page *page, struct epc_backing *backing)
{
	struct sgx_epc_pool *pool = encl->pool;
	_Alignas(128) struct sgx_pcmd pcmd = { 0 };
	_Alignas(32) struct sgx_pageinfo pageinfo = {
		.srcpge = (uintptr_t)backing->contents,
		.secinfo_or_pcmd = (uintptr_t)&pcmd,
	};
	struct isa_outcome out;

	if (!epc_evict_begin(pool, page))
		return -EIO;
	out = pool->ops.ewb(pool->ops.ctx, &pageinfo, sgx_epc_page_pa(pool, page),
			    epc_va_slot_pa(encl, backing->slot));
	if (!wrote_out(out, &pcmd)) {
		epc_evict_failed(pool, page);
		return out.kind == ISA_ERROR && out.code == SGX_NOT_TRACKED ? -EAGAIN : -EIO;
	}
	backing->pcmd = pcmd;
	epc_page_cleaned(pool, page);
	return 0;
}

/* EWB a page that was tracked, as far as ETRACK worked. */
static int ewb_tracked(struct sgx_encl *encl, struct sgx_epc_page *page,
		       struct epc_backing *backing)
{
	int err = ewb(encl, page, backing);

	if (err == -EAGAIN && !epc_encl_track(encl))
		err = ewb(encl, page, backing);
	return err ? -EIO : 0;
}

/* Return: false when EBLOCK refused; the page is as before then. */
static bool block(struct sgx_encl *encl, struct epc_encl_page *rec)
{
	const struct epc_encls_ops *ops = &encl->pool->ops;
	struct sgx_epc_page *page = epc_record_page(encl, rec);
	struct isa_outcome out;

	out = ops->eblock(ops->ctx, sgx_epc_page_pa(encl->pool, page));
	if (!isa_is_done(out) && !(out.kind == ISA_INFO && out.code == SGX_BLKSTATE)) {
		count_failure(encl);
		return false;
	}
	rec->flags |= EPC_ENCL_PAGE_BLOCKED;
	return true;
}

int epc_encl_zap(const struct sgx_encl *encl, struct epc_encl_page *const *recs, unsigned int nr)
{
	const struct epc_mm_ops *mm = &encl->pool->mm;
	struct epc_mm_page pages[EPC_MM_MAX_PAGES];
	unsigned int i;

	if (!mm->zap || !nr)
		return 0;
	for (i = 0; i < nr; i++)
		pages[i] = epc_record_mm_page(encl, recs[i]);
	return mm->zap(mm->ctx, encl->cookie, pages, nr);
}

/* Pages that are about to be written out, and what they have outside. */
struct batch {
	struct epc_encl_page *recs[EPC_EVICT_BATCH];
	struct epc_backing *backing[EPC_EVICT_BATCH];
	unsigned int nr;
};

static void add(struct sgx_encl *encl, struct batch *batch, struct epc_encl_page *rec)
{
	struct epc_backing *backing;

	if (epc_page_is_poisoned(epc_record_page(encl, rec))) {
		epc_victims_remove(encl, rec);
		return;
	}
	backing = epc_backing_create(encl);
	if (!backing)
		return;
	batch->recs[batch->nr] = rec;
	batch->backing[batch->nr++] = backing;
}

/* Nobody has access to those that remain in the batch; the others are as before. */
static void close_batch(struct sgx_encl *encl, struct batch *batch)
{
	const bool zapped = !epc_encl_zap(encl, batch->recs, batch->nr);
	unsigned int i, nr = 0;

	for (i = 0; i < batch->nr; i++) {
		if (!zapped || !block(encl, batch->recs[i])) {
			epc_backing_destroy(encl, batch->backing[i]);
			continue;
		}
		batch->recs[nr] = batch->recs[i];
		batch->backing[nr++] = batch->backing[i];
	}
	batch->nr = nr;
}

/* EWB succeeded. */
static void record_as_evicted(struct sgx_encl *encl, struct epc_encl_page *rec,
			      struct epc_backing *backing)
{
	struct epc_activity *activity = &encl->pool->activity;

	epc_encl_page_left(encl, rec);
	rec->state = EPC_ENCL_PAGE_EVICTED;
	rec->backing = backing;
	rec->evicted_at = ++encl->victims.nr_evicted;
	atomic_fetch_add_explicit(&activity->backed, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&activity->evicted, 1, memory_order_relaxed);
}

/* Return: 0, the EPC page of @rec is CLEAN and the caller's; -EIO, @rec stays. */
static int write_out(struct sgx_encl *encl, struct epc_encl_page *rec, struct epc_backing *backing)
{
	struct sgx_epc_page *page = epc_record_page(encl, rec);

	if (ewb_tracked(encl, page, backing)) {
		epc_backing_destroy(encl, backing);
		count_failure(encl);
		return -EIO;
	}
	record_as_evicted(encl, rec, backing);
	return 0;
}

/* --- the SECS ---------------------------------------------------------------------- */

/* Has no EBLOCK and no tracking: without children nobody can be inside. */
static struct sgx_epc_page *evict_secs(struct sgx_encl *encl)
{
	struct sgx_epc_page *page = epc_encl_secs(encl);
	struct epc_backing *backing;

	if (encl->nr_resident || !encl->is_initialized || !page)
		return NULL;
	backing = epc_backing_create(encl);
	if (!backing)
		return NULL;
	if (ewb(encl, page, backing)) {
		epc_backing_destroy(encl, backing);
		count_failure(encl);
		return NULL;
	}
	encl->secs_backing = backing;
	atomic_store_explicit(&encl->secs, NULL, memory_order_release);
	atomic_fetch_sub_explicit(&encl->nr_pages, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&encl->pool->activity.backed, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&encl->pool->activity.evicted, 1, memory_order_relaxed);
	return page;
}

/* --- batches ------------------------------------------------------------------------ */

static bool is_over(const struct epc_moment *moment)
{
	return moment->is_over && moment->is_over(moment->ctx);
}

/* Return: how many of @freed; the SECS follows its last child. */
static unsigned int finish_batch(struct sgx_encl *encl, unsigned int nr,
				 struct sgx_epc_page **freed)
{
	if (!nr)
		return 0;
	freed[nr] = evict_secs(encl);
	return freed[nr] ? nr + 1 : nr;
}

unsigned int epc_evict(struct sgx_encl *encl, struct epc_encl_page *const *recs, unsigned int nr,
		       const struct epc_moment *moment, struct sgx_epc_page **freed)
{
	struct batch batch = { .nr = 0 };
	unsigned int i, nr_freed = 0;

	for (i = 0; i < nr; i++)
		add(encl, &batch, recs[i]);
	close_batch(encl, &batch);
	/* Should it fail, EWB says for which pages that matters. */
	if (batch.nr)
		epc_encl_track(encl);
	for (i = 0; i < batch.nr && !(i && is_over(moment)); i++) {
		struct sgx_epc_page *page = epc_record_page(encl, batch.recs[i]);

		if (!write_out(encl, batch.recs[i], batch.backing[i]))
			freed[nr_freed++] = page;
	}
	for (; i < batch.nr; i++)
		epc_victims_leave(encl, batch.recs[i], batch.backing[i]);
	return finish_batch(encl, nr_freed, freed);
}

unsigned int epc_evict_leaving(struct sgx_encl *encl, unsigned int max,
			       const struct epc_moment *moment, struct sgx_epc_page **freed)
{
	const struct epc_queue *leaving = &encl->victims.leaving;
	unsigned int i, nr_freed = 0;

	for (i = 0; i < max && leaving->nr && !(i && is_over(moment)); i++) {
		struct epc_encl_page *rec = leaving->tail;
		struct sgx_epc_page *page = epc_record_page(encl, rec);

		if (!write_out(encl, rec, epc_victims_stay(encl, rec)))
			freed[nr_freed++] = page;
	}
	return finish_batch(encl, nr_freed, freed);
}

int epc_evict_blocked(struct sgx_encl *encl, struct epc_encl_page *rec)
{
	const bool is_leaving = rec->flags & EPC_ENCL_PAGE_LEAVING;
	struct epc_backing *backing = is_leaving ? epc_victims_stay(encl, rec)
						 : epc_backing_create(encl);

	if (!backing)
		return -ENOMEM;
	if (epc_encl_zap(encl, &rec, 1) || !block(encl, rec)) {
		epc_backing_destroy(encl, backing);
		return -EIO;
	}
	epc_encl_track(encl);
	return write_out(encl, rec, backing);
}
