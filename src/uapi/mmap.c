/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rule mmap() and mprotect() of /dev/sgx_enclave obey: a mapping never
 * gives more rights to a page than its SECINFO did when it was added.
 */
#include <errno.h>
#include <sys/mman.h>

#include "encl.h"

static uint8_t prot_to_rwx(int prot)
{
	uint8_t rwx = 0;

	if (prot & PROT_READ)
		rwx |= SECINFO_R;
	if (prot & PROT_WRITE)
		rwx |= SECINFO_W;
	if (prot & PROT_EXEC)
		rwx |= SECINFO_X;

	return rwx;
}

/* Does every page in [@offset, @end) that exists allow @rwx? */
static bool pages_allow(struct sgx_encl *encl, uint64_t offset, uint64_t end, uint8_t rwx)
{
	struct sgx_encl_page_info info;

	for (; sgx_encl_next_page(encl, offset, &offset, &info) && offset < end;
	     offset += SGX_PAGE_SIZE)
		if (rwx & ~info.vm_max_prot)
			return false;

	return true;
}

int uapi_encl_may_map(struct uapi_encl *e, uint64_t start, uint64_t end, int prot,
		      bool read_implies_exec)
{
	const uint8_t rwx = prot_to_rwx(prot);
	const bool initialized = uapi_encl_is_initialized(e);
	uint64_t offset, limit;

	/* A program maps first and creates then: no range to hold it to yet. */
	if (!uapi_encl_is_created(e))
		return read_implies_exec ? -EACCES : 0;

	if (initialized && (start < e->base || end - e->base > e->size))
		return -EACCES;

	/* Readable would become executable behind the back of the rule below. */
	if (read_implies_exec)
		return -EACCES;

	if (!rwx || end <= e->base)
		return 0;

	/* In offsets: base + size may wrap. */
	offset = start < e->base ? 0 : start - e->base;
	limit = end - e->base < e->size ? end - e->base : e->size;

	return pages_allow(e->encl, offset, limit, rwx) ? 0 : -EACCES;
}
