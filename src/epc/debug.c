/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A debugger's view of an enclave: EDBGRD and EDBGWR move eight bytes at a time,
 * so what is asked for at any alignment is read, and modified, by that measure.
 */
#include <errno.h>
#include <string.h>

#include "encl.h"

#define WORD sizeof(uint64_t)

/* @n bytes of the eight at @addr, from byte @skip on. */
static bool access_word(struct sgx_encl *encl, uint64_t addr, size_t skip, uint8_t *buf, size_t n,
			bool write)
{
	const struct epc_encls_ops *ops = &encl->pool->ops;
	uint64_t word = 0;

	/* What is written whole need not be read, and a TCS may forbid it. */
	if (!write || n < WORD) {
		if (!isa_is_done(ops->edbgrd(ops->ctx, addr, &word)))
			return false;
	}
	if (!write) {
		memcpy(buf, (uint8_t *)&word + skip, n);
		return true;
	}
	memcpy((uint8_t *)&word + skip, buf, n);
	return isa_is_done(ops->edbgwr(ops->ctx, addr, word));
}

static int access_page(struct sgx_encl *encl, uint64_t pa, size_t from, uint8_t *buf, size_t len,
		       bool write)
{
	while (len) {
		const size_t skip = from % WORD;
		const size_t n = len < WORD - skip ? len : WORD - skip;

		if (!access_word(encl, pa + from - skip, skip, buf, n, write))
			return -EIO;
		from += n;
		buf += n;
		len -= n;
	}
	return 0;
}

static bool is_debuggable(const struct sgx_encl *encl)
{
	const struct epc_encls_ops *ops = &encl->pool->ops;

	return encl->is_debug && ops->edbgrd && ops->edbgwr;
}

int sgx_encl_access(struct sgx_encl *encl, uint64_t offset, void *buf, size_t len, bool write)
{
	const size_t from = offset & ~SGX_PAGE_MASK;
	struct epc_stock stock = { .nr = 0 };
	struct epc_encl_page *rec;
	int err;

	if (len > SGX_PAGE_SIZE - from)
		return -EFAULT;
	err = epc_encl_lock_page(encl, offset & SGX_PAGE_MASK, false, &stock, &rec);
	if (!err) {
		err = -EFAULT;
		if (rec && is_debuggable(encl))
			err = access_page(encl, sgx_epc_page_pa(encl->pool, epc_record_page(encl, rec)),
					  from, buf, len, write);
		epc_unlock(&encl->lock);
	}
	epc_stock_finish(encl, &stock);
	return err;
}
