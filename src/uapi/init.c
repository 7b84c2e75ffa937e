/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SGX_IOC_ENCLAVE_INIT: check what the kernel answers for (attributes a
 * program may not have, bits the processor does not know), then leave the
 * verdict to EINIT.
 */
#include <asm/sgx.h>
#include <errno.h>
#include <string.h>

#include "encl.h"

#define VENDOR_INTEL 0x8086u

/* Reserved whatever CPUID says: bits 3, 6, 8, 9 and from 11 up. */
#define ATTRIBUTES_RESERVED \
	(1ull << 3 | ATTR_CET | 1ull << 8 | 1ull << 9 | ~((1ull << 11) - 1))
#define MISC_RESERVED (~MISC_EXINFO)

/*
 * How often the manager is asked while an interrupt stops EINIT.  It makes a
 * burst of attempts each time; between two bursts signals are seen.
 */
#define EINIT_BURSTS 50

/* Does @sigstruct demand a bit that this processor, or this driver, reserves? */
static bool touches_reserved(const struct isa_profile *profile,
			     const struct sgx_sigstruct *sigstruct)
{
	const uint64_t attributes = ~profile->attributes | ATTRIBUTES_RESERVED;
	const uint32_t misc = ~profile->miscselect | MISC_RESERVED;
	const uint64_t xfrm = ~profile->xfrm;

	return (sigstruct->attributes.flags & sigstruct->attributemask.flags & attributes) ||
	       (sigstruct->miscselect & sigstruct->miscmask & misc) ||
	       (sigstruct->attributes.xfrm & sigstruct->attributemask.xfrm & xfrm);
}

/* MRSIGNER, as IA32_SGXLEPUBKEYHASH0..3 take it: four little-endian words. */
static void hash_signer(const struct uapi_platform *platform,
			const struct sgx_sigstruct *sigstruct, uint64_t hash[4])
{
	uint8_t digest[32];

	platform->sha256(sigstruct->modulus, sizeof(sigstruct->modulus), digest);
	memcpy(hash, digest, sizeof(digest));
}

static bool was_interrupted(struct isa_outcome outcome)
{
	return outcome.kind == ISA_ERROR && outcome.code == SGX_UNMASKED_EVENT;
}

/*
 * The driver sleeps between bursts, for the interrupt to be served.  Here none
 * has to be: the next EINIT may follow at once.
 */
static int einit(struct uapi_encl *e, const struct uapi_task *task,
		 const struct sgx_sigstruct *sigstruct)
{
	struct isa_outcome outcome;
	uint64_t hash[4];
	int ret = 0;

	hash_signer(&e->platform, sigstruct, hash);

	for (int burst = 0; burst < EINIT_BURSTS; burst++) {
		ret = sgx_encl_einit(e->encl, sigstruct, hash, &outcome);
		if (!was_interrupted(outcome))
			return ret;

		if (task->signal_pending(task->ctx))
			return -UAPI_ERESTARTSYS;
	}

	return ret;
}

static int init(struct uapi_encl *e, const struct uapi_task *task,
		const struct sgx_sigstruct *sigstruct)
{
	int ret;

	/* A key the program has no right to, such as the provisioning key. */
	if (e->attributes & ~e->attributes_mask)
		return -EACCES;

	if (touches_reserved(e->platform.profile, sigstruct))
		return -EINVAL;

	ret = einit(e, task, sigstruct);
	if (ret)
		return ret;

	e->events.initialized(e->events.ctx);
	atomic_store_explicit(&e->initialized, true, memory_order_release);
	return 0;
}

long uapi_ioc_init(struct uapi_encl *e, const struct uapi_task *task, uint64_t arg)
{
	/* Aligned as EINIT wants it. */
	_Alignas(SGX_PAGE_SIZE) struct sgx_sigstruct sigstruct;
	struct sgx_enclave_init init_arg;

	if (!uapi_encl_is_created(e) || uapi_encl_is_initialized(e))
		return -EINVAL;

	if (task->copy_from_user(task->ctx, &init_arg, arg, sizeof(init_arg)))
		return -EFAULT;

	if (task->copy_from_user(task->ctx, &sigstruct, init_arg.sigstruct, sizeof(sigstruct)))
		return -EFAULT;

	if (sigstruct.vendor && sigstruct.vendor != VENDOR_INTEL)
		return -EINVAL;

	return init(e, task, &sigstruct);
}
