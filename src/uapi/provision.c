/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SGX_IOC_ENCLAVE_PROVISION: holding /dev/sgx_provision open is the right to
 * the provisioning key.  Useless before CREATE, which sets the mask anew, and
 * after INIT, which has looked at it; neither is an error.
 */
#include <asm/sgx.h>
#include <errno.h>

#include "encl.h"

long uapi_ioc_provision(struct uapi_encl *e, const struct uapi_task *task, uint64_t arg)
{
	struct sgx_enclave_provision provision;

	if (task->copy_from_user(task->ctx, &provision, arg, sizeof(provision)))
		return -EFAULT;

	/* The field has 64 bits, a file descriptor 32: the driver drops the rest. */
	if (!task->is_provision_fd(task->ctx, (uint32_t)provision.fd))
		return -EINVAL;

	e->attributes_mask |= ATTR_PROVISIONKEY;
	return 0;
}
