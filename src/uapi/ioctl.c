/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one door every ioctl of /dev/sgx_enclave comes through: one at a time
 * per enclave, and which number means what.
 */
#include <asm/sgx.h>
#include <errno.h>

#include "encl.h"

static long dispatch(struct uapi_encl *e, const struct uapi_task *task, unsigned int cmd,
		     uint64_t arg)
{
	switch (cmd) {
	case SGX_IOC_ENCLAVE_CREATE:
		return uapi_ioc_create(e, task, arg);
	case SGX_IOC_ENCLAVE_ADD_PAGES:
		return uapi_ioc_add_pages(e, task, arg);
	case SGX_IOC_ENCLAVE_INIT:
		return uapi_ioc_init(e, task, arg);
	case SGX_IOC_ENCLAVE_PROVISION:
		return uapi_ioc_provision(e, task, arg);
	case SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS:
		return uapi_ioc_restrict_permissions(e, task, arg);
	case SGX_IOC_ENCLAVE_MODIFY_TYPES:
		return uapi_ioc_modify_types(e, task, arg);
	case SGX_IOC_ENCLAVE_REMOVE_PAGES:
		return uapi_ioc_remove_pages(e, task, arg);
	default:
		return -ENOTTY;
	}
}

long uapi_encl_ioctl(struct uapi_encl *e, const struct uapi_task *task, unsigned int cmd,
		     uint64_t arg)
{
	long ret;

	/* Before @cmd is looked at: an unknown command is refused busy, too. */
	if (atomic_exchange_explicit(&e->busy, true, memory_order_acquire))
		return -EBUSY;

	ret = dispatch(e, task, cmd, arg);

	/* Pairs with the exchange: the next ioctl sees all this one wrote. */
	atomic_store_explicit(&e->busy, false, memory_order_release);
	return ret;
}
