/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioctls of /dev/sgx_vepc: there is one.
 */
#include <asm/sgx.h>
#include <errno.h>

#include <swsgx/uapi.h>

long uapi_vepc_ioctl(struct sgx_vepc *vepc, unsigned int cmd, uint64_t arg)
{
	if (cmd != SGX_IOC_VEPC_REMOVE_ALL)
		return -ENOTTY;
	if (arg)
		return -EINVAL;
	return sgx_vepc_remove_all(vepc);
}
