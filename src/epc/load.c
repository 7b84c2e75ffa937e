/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bringing pages of an enclave back: ELDU.  When it fails the page stays outside,
 * with everything ELDU needs: whether the contents are lost is for the next try to
 * say.
 */
#include <errno.h>

#include "encl.h"

/* Return: 0, what was outside is given back; -EIO, @page is not the caller's any more. */
static int eldu(struct sgx_encl *encl, struct epc_backing *backing, struct sgx_epc_page *page,
		uint64_t la, uint64_t secs, const char *site)
{
	struct sgx_epc_pool *pool = encl->pool;
	_Alignas(128) struct sgx_pcmd pcmd = backing->pcmd;
	_Alignas(32) struct sgx_pageinfo pageinfo = {
		.linaddr = la,
		.srcpge = (uintptr_t)backing->contents,
		.secinfo_or_pcmd = (uintptr_t)&pcmd,
		.secs = secs,
	};

	sgx_epc_page_mark_initialized(pool, page);
	if (!isa_is_done(pool->ops.eldu(pool->ops.ctx, &pageinfo, sgx_epc_page_pa(pool, page),
					epc_va_slot_pa(encl, backing->slot)))) {
		sgx_encl_free_epc_page(pool, page, site);
		return -EIO;
	}
	epc_backing_destroy(encl, backing);
	atomic_fetch_sub_explicit(&pool->activity.backed, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&pool->activity.reloaded, 1, memory_order_relaxed);
	return 0;
}

int epc_load_secs(struct sgx_encl *encl, struct sgx_epc_page *page)
{
	const struct epc_mm_ops *mm = &encl->pool->mm;

	if (eldu(encl, encl->secs_backing, page, 0, 0, __func__))
		return -EIO;
	encl->secs_backing = NULL;
	atomic_store_explicit(&encl->secs, page, memory_order_release);
	atomic_fetch_add_explicit(&encl->nr_pages, 1, memory_order_relaxed);
	if (mm->secs_changed)
		mm->secs_changed(mm->ctx, encl->cookie, sgx_encl_secs_pa(encl));
	return 0;
}

int epc_load_page(struct sgx_encl *encl, struct epc_encl_page *rec, struct sgx_epc_page *page)
{
	const struct epc_mm_ops *mm = &encl->pool->mm;
	const uint64_t pa = sgx_epc_page_pa(encl->pool, page);
	const uint64_t la = epc_record_la(encl, rec);
	const uint64_t evicted_at = rec->evicted_at;

	if (eldu(encl, rec->backing, page, la, sgx_encl_secs_pa(encl), __func__))
		return -EIO;
	epc_encl_page_arrived(encl, rec, page, evicted_at);
	if (mm->changed)
		mm->changed(mm->ctx, encl->cookie, la, pa);
	return 0;
}

int epc_load_unblock(struct sgx_encl *encl, struct epc_encl_page *rec)
{
	struct sgx_epc_page *page = epc_record_page(encl, rec);
	int err = epc_evict_blocked(encl, rec);

	return err ? err : epc_load_page(encl, rec, page);
}
