/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SGX_IOC_ENCLAVE_CREATE: the SECS, and with it the range and the attributes
 * of the enclave.  A failure leaves the file as it was, to be tried again.
 */
#include <asm/sgx.h>
#include <errno.h>

#include "encl.h"

/* What INIT lets through unless PROVISION adds to it. */
#define ATTRIBUTES_ALLOWED (ATTR_DEBUG | ATTR_MODE64BIT | ATTR_KSS | ATTR_AEXNOTIFY)

static bool is_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

/*
 * Is @secs->size one that ECREATE accepts?  Asked ahead of ECREATE only
 * because nobody can prepare memory for the others.
 */
static bool size_is_supported(const struct isa_profile *profile, const struct sgx_secs *secs)
{
	const bool mode64 = secs->attributes.flags & ATTR_MODE64BIT;
	const unsigned int log2_max = mode64 ? profile->max_size_64 : profile->max_size_32;

	return secs->size >= 2 * SGX_PAGE_SIZE && secs->size <= UINT64_C(1) << log2_max;
}

static int prepare_and_ecreate(struct uapi_encl *e, const struct sgx_secs *secs)
{
	int ret;

	if (!size_is_supported(e->platform.profile, secs))
		return -EIO;

	ret = e->events.prepare(e->events.ctx, secs);
	if (ret)
		return ret;

	ret = sgx_encl_ecreate(e->encl, secs);
	if (ret)
		e->events.create_failed(e->events.ctx);

	return ret;
}

static int create(struct uapi_encl *e, const struct sgx_secs *secs)
{
	int ret;

	if (!is_power_of_two(secs->size))
		return -EINVAL;

	/* The driver's backing file, somewhat larger, would exceed any file. */
	if (secs->size > INT64_MAX)
		return -EINVAL;

	ret = prepare_and_ecreate(e, secs);
	if (ret)
		return ret;

	e->base = secs->baseaddr;
	e->size = secs->size;
	e->attributes = secs->attributes.flags;
	e->attributes_mask = ATTRIBUTES_ALLOWED;

	/* The owner first: whoever finds the enclave created finds all of it. */
	e->events.created(e->events.ctx, secs, sgx_encl_secs_pa(e->encl));

	/* Pairs with uapi_encl_is_created(): the mmap rule sees base and size. */
	atomic_store_explicit(&e->created, true, memory_order_release);
	return 0;
}

long uapi_ioc_create(struct uapi_encl *e, const struct uapi_task *task, uint64_t arg)
{
	/* Aligned as ECREATE wants its source. */
	_Alignas(SGX_PAGE_SIZE) struct sgx_secs secs;
	struct sgx_enclave_create create_arg;

	if (uapi_encl_is_created(e))
		return -EINVAL;

	if (task->copy_from_user(task->ctx, &create_arg, arg, sizeof(create_arg)))
		return -EFAULT;

	if (task->copy_from_user(task->ctx, &secs, create_arg.src, sizeof(secs)))
		return -EFAULT;

	return uapi_restart(create(e, &secs), 0);
}
