/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SGX_IOC_ENCLAVE_ADD_PAGES: copy ordinary memory into new enclave pages, page
 * after page.  It may stop anywhere and says in count how far it came.
 */
#include <asm/sgx.h>
#include <errno.h>
#include <string.h>

#include "encl.h"

/* PENDING, MODIFIED and PR describe pages that live already. */
#define SECINFO_FLAGS_ALLOWED (SECINFO_RWX | SECINFO_PT_MASK)

static bool secinfo_is_valid(const struct sgx_secinfo *secinfo)
{
	static const uint8_t zero[sizeof(secinfo->reserved_8)];
	const uint64_t rwx = secinfo->flags & SECINFO_RWX;
	const uint64_t pt = secinfo->flags & SECINFO_PT_MASK;

	if (pt != SECINFO_PT(PT_REG) && pt != SECINFO_PT(PT_TCS))
		return false;

	if ((rwx & SECINFO_W) && !(rwx & SECINFO_R))
		return false;

	/* The processor sets the rights of a TCS. */
	if (pt == SECINFO_PT(PT_TCS) && rwx)
		return false;

	if (secinfo->flags & ~SECINFO_FLAGS_ALLOWED)
		return false;

	return !memcmp(secinfo->reserved_8, zero, sizeof(zero));
}

/*
 * The source cannot be read: @error.  But the driver takes the EPC page and
 * the offset before it looks at the source, so what fails there comes first.
 */
static int source_error(struct uapi_encl *e, uint64_t offset, int error)
{
	struct sgx_encl_page_info info;
	struct sgx_epc_page *page;
	int ret;

	ret = sgx_alloc_epc_page(e->pool, NULL, SGX_ALLOC_RECLAIM, &page);
	if (ret)
		return ret;
	sgx_free_epc_page(e->pool, page);

	if (sgx_encl_page_at(e->encl, offset, &info))
		return -EBUSY;

	return error;
}

/* The page @done bytes from the start of what @add asks for. */
static int add_page(struct uapi_encl *e, const struct uapi_task *task,
		    const struct sgx_enclave_add_pages *add, uint64_t done,
		    const struct sgx_secinfo *secinfo)
{
	const uint64_t offset = add->offset + done;
	struct sgx_encl_page_info info;
	const void *contents;
	int ret;

	ret = task->source_page(task->ctx, add->src + done, offset, add->length - done,
				&contents);
	if (ret)
		return source_error(e, offset, ret);

	ret = sgx_encl_add_page(e->encl, offset, contents, secinfo,
				add->flags & SGX_PAGE_MEASURE);
	if (ret)
		return ret;

	if (sgx_encl_page_at(e->encl, offset, &info))
		e->events.page_added(e->events.ctx, offset, &info);

	return 0;
}

/* Sets @add->count to the bytes done, whatever the return value. */
static int add_pages(struct uapi_encl *e, const struct uapi_task *task,
		     struct sgx_enclave_add_pages *add, const struct sgx_secinfo *secinfo)
{
	int ret = 0;
	uint64_t c;

	for (c = 0; c < add->length; c += SGX_PAGE_SIZE) {
		if (task->signal_pending(task->ctx)) {
			/* Restarted from the start only when nothing was done. */
			if (!c)
				ret = -UAPI_ERESTARTSYS;
			break;
		}

		ret = add_page(e, task, add, c, secinfo);
		if (ret)
			break;
	}

	add->count = c;
	/* A signal is no error of the pages that were added. */
	return ret == -EINTR && c ? 0 : uapi_restart(ret, c);
}

long uapi_ioc_add_pages(struct uapi_encl *e, const struct uapi_task *task, uint64_t arg)
{
	/* Aligned as EADD wants it. */
	_Alignas(64) struct sgx_secinfo secinfo;
	struct sgx_enclave_add_pages add;
	int ret;

	if (!uapi_encl_is_created(e) || uapi_encl_is_initialized(e))
		return -EINVAL;

	if (task->copy_from_user(task->ctx, &add, arg, sizeof(add)))
		return -EFAULT;

	if ((add.src & ~SGX_PAGE_MASK) || !uapi_range_is_valid(e, add.offset, add.length))
		return -EINVAL;

	if (task->copy_from_user(task->ctx, &secinfo, add.secinfo, sizeof(secinfo)))
		return -EFAULT;

	if (!secinfo_is_valid(&secinfo))
		return -EINVAL;

	ret = add_pages(e, task, &add, &secinfo);

	if (task->copy_to_user(task->ctx, arg, &add, sizeof(add)))
		return -EFAULT;

	return ret;
}
