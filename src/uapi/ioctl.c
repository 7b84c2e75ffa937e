/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one door every ioctl of /dev/sgx_enclave comes through: one at a time
 * per enclave, and which number means what.
 */
#include <asm/sgx.h>
#include <errno.h>

#include "encl.h"

/*
 * Programs find out with a zeroed argument whether there is SGX2, so the
 * answer must not depend on the argument.  The manager has no SGX2 leaves: on
 * a processor that has them this is a driver from before they were supported.
 */
static long sgx2_ioctl(const struct uapi_encl *e)
{
	if (e->platform.profile->cpuid_12_0_eax & CPUID_12_0_EAX_SGX2)
		return -ENOTTY;

	return -ENODEV;
}

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
	case SGX_IOC_ENCLAVE_MODIFY_TYPES:
	case SGX_IOC_ENCLAVE_REMOVE_PAGES:
		return sgx2_ioctl(e);
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
