/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ioctls of dynamic memory: restrict permissions, change types and remove
 * pages of an initialized enclave, page after page.  Each may stop anywhere and
 * says in count how far it came.
 */
#include <asm/sgx.h>
#include <errno.h>

#include "encl.h"

/*
 * Programs find out with a zeroed argument, even on an enclave that does not
 * exist, whether there is SGX2: so this comes before the argument is looked at.
 */
static int sgx2_ready(const struct uapi_encl *e)
{
	if (!(e->platform.profile->cpuid_12_0_eax & CPUID_12_0_EAX_SGX2))
		return -ENODEV;
	return uapi_encl_is_initialized(e) ? 0 : -EINVAL;
}

/* What the processor said, as the result field has it: faults are not told. */
static uint64_t result_of(struct isa_outcome out)
{
	return out.kind == ISA_ERROR || out.kind == ISA_INFO ? out.code : 0;
}

/* --- RESTRICT_PERMISSIONS -------------------------------------------------- */

static bool permissions_are_valid(uint64_t permissions)
{
	if (permissions & ~(uint64_t)SECINFO_RWX)
		return false;
	return !(permissions & SECINFO_W) || (permissions & SECINFO_R);
}

static int restrict_pages(struct uapi_encl *e, struct sgx_enclave_restrict_permissions *arg)
{
	struct isa_outcome result;
	int ret = 0;
	uint64_t c;

	for (c = 0; c < arg->length; c += SGX_PAGE_SIZE) {
		ret = sgx_encl_restrict_page(e->encl, arg->offset + c,
					     (uint8_t)arg->permissions, &result);
		if (ret) {
			arg->result = result_of(result);
			break;
		}
	}
	arg->count = c;
	return uapi_restart(ret, c);
}

long uapi_ioc_restrict_permissions(struct uapi_encl *e, const struct uapi_task *task,
				   uint64_t uarg)
{
	struct sgx_enclave_restrict_permissions arg;
	int ret = sgx2_ready(e);

	if (ret)
		return ret;
	if (task->copy_from_user(task->ctx, &arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (!uapi_range_is_valid(e, arg.offset, arg.length) ||
	    !permissions_are_valid(arg.permissions) || arg.result || arg.count)
		return -EINVAL;

	ret = restrict_pages(e, &arg);
	if (task->copy_to_user(task->ctx, uarg, &arg, sizeof(arg)))
		return -EFAULT;
	return ret;
}

/* --- MODIFY_TYPES ----------------------------------------------------------- */

static int modify_pages(struct uapi_encl *e, struct sgx_enclave_modify_types *arg)
{
	struct isa_outcome result;
	int ret = 0;
	uint64_t c;

	for (c = 0; c < arg->length; c += SGX_PAGE_SIZE) {
		ret = sgx_encl_modify_page(e->encl, arg->offset + c, (uint8_t)arg->page_type,
					   &result);
		if (ret) {
			arg->result = result_of(result);
			break;
		}
	}
	arg->count = c;
	return uapi_restart(ret, c);
}

long uapi_ioc_modify_types(struct uapi_encl *e, const struct uapi_task *task, uint64_t uarg)
{
	struct sgx_enclave_modify_types arg;
	int ret = sgx2_ready(e);

	if (ret)
		return ret;
	if (task->copy_from_user(task->ctx, &arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (!uapi_range_is_valid(e, arg.offset, arg.length) ||
	    (arg.page_type != PT_TCS && arg.page_type != PT_TRIM) || arg.result || arg.count)
		return -EINVAL;

	ret = modify_pages(e, &arg);
	if (task->copy_to_user(task->ctx, uarg, &arg, sizeof(arg)))
		return -EFAULT;
	return ret;
}

/* --- REMOVE_PAGES ------------------------------------------------------------ */

static int remove_pages(struct uapi_encl *e, struct sgx_enclave_remove_pages *arg)
{
	int ret = 0;
	uint64_t c;

	for (c = 0; c < arg->length; c += SGX_PAGE_SIZE) {
		ret = sgx_encl_remove_page(e->encl, arg->offset + c);
		if (ret)
			break;
	}
	arg->count = c;
	return uapi_restart(ret, c);
}

long uapi_ioc_remove_pages(struct uapi_encl *e, const struct uapi_task *task, uint64_t uarg)
{
	struct sgx_enclave_remove_pages arg;
	int ret = sgx2_ready(e);

	if (ret)
		return ret;
	if (task->copy_from_user(task->ctx, &arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (!uapi_range_is_valid(e, arg.offset, arg.length) || arg.count)
		return -EINVAL;

	ret = remove_pages(e, &arg);
	if (task->copy_to_user(task->ctx, uarg, &arg, sizeof(arg)))
		return -EFAULT;
	return ret;
}
