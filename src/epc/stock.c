/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EPC pages an operation takes before it has the enclave's lock, because taking
 * one may evict pages of any enclave, this one included.  What is needed is only
 * known under the lock, so both are tried in turns; as a stock never shrinks
 * meanwhile, that ends after EPC_STOCK_MAX turns at most.
 */
#include <errno.h>

#include "encl.h"

int epc_stock_fill(struct sgx_encl *encl, struct epc_stock *stock, unsigned int nr)
{
	while (stock->nr < nr) {
		const unsigned int flags =
			SGX_ALLOC_RECLAIM | (stock->keep_last ? SGX_ALLOC_KEEP_LAST : 0);
		const int err = sgx_alloc_epc_page(encl->pool, &encl->owner, flags,
						   &stock->pages[stock->nr]);

		if (err)
			return err;
		stock->nr++;
	}
	return 0;
}

struct sgx_epc_page *epc_stock_take(struct epc_stock *stock)
{
	return stock->pages[--stock->nr];
}

void epc_stock_finish(struct sgx_encl *encl, struct epc_stock *stock)
{
	while (stock->nr)
		sgx_free_epc_page(encl->pool, epc_stock_take(stock));
}

bool epc_encl_can_augment(const struct sgx_encl *encl, uint64_t offset)
{
	return encl->is_initialized && encl->pool->ops.eaug && epc_encl_offset_ok(encl, offset);
}

unsigned int epc_stock_needed(const struct sgx_encl *encl, const struct epc_encl_page *rec,
			      bool augment)
{
	const unsigned int secs = epc_encl_secs(encl) ? 0 : 1;

	if (rec)
		return rec->state == EPC_ENCL_PAGE_EVICTED ? 1 + secs : 0;
	return augment ? 1 + secs + epc_va_is_needed(encl) : 0;
}

int epc_encl_make_ready(struct sgx_encl *encl, struct epc_encl_page *rec, bool augment,
			struct epc_stock *stock)
{
	const bool needed = epc_stock_needed(encl, rec, augment);
	int err = 0;

	if (needed && !epc_encl_secs(encl))
		err = epc_load_secs(encl, epc_stock_take(stock));
	if (!err && !rec && augment && epc_va_is_needed(encl))
		err = epc_va_grow(encl, epc_stock_take(stock), "sgx_encl_fault");
	if (err || !rec)
		return err;
	if (rec->state == EPC_ENCL_PAGE_EVICTED)
		return epc_load_page(encl, rec, epc_stock_take(stock));
	return rec->flags & EPC_ENCL_PAGE_BLOCKED ? epc_load_unblock(encl, rec) : 0;
}

int epc_encl_lock_page(struct sgx_encl *encl, uint64_t offset, bool augment,
		       struct epc_stock *stock, struct epc_encl_page **rec)
{
	unsigned int nr;
	bool make;
	int err;

	for (;;) {
		epc_lock(&encl->lock, &encl->pool->port);
		*rec = epc_record_find(encl, offset);
		make = !*rec && augment && epc_encl_can_augment(encl, offset);
		nr = epc_stock_needed(encl, *rec, make);
		if (nr <= stock->nr)
			break;
		epc_unlock(&encl->lock);
		err = epc_stock_fill(encl, stock, nr);
		if (err)
			return err;
	}
	err = epc_encl_make_ready(encl, *rec, make, stock);
	if (err)
		epc_unlock(&encl->lock);
	return err;
}
