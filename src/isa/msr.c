/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The model-specific registers of SGX.
 *
 * There is no step between power-on and an activated EPC here, so what firmware
 * may do "before activation" is allowed while IA32_FEATURE_CONTROL is unlocked.
 *
 * Source: SDM volume 4, "Model-Specific Registers"; volume 3D, "Launch Control".
 */
#include "internal.h"

/* Bits of IA32_FEATURE_CONTROL that belong to others: VMX, SENTER, LMCE. */
#define FEATURE_CONTROL_FOREIGN (6ull | 0xff00ull | 1ull << 20)
#define FEATURE_ACTIVATION_ACTIVE 1u

static uint64_t feature_control_bits(const struct isa_machine *m)
{
	uint64_t bits = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_SGX_ENABLE | FEATURE_CONTROL_FOREIGN;

	if (m->config.profile->launch_control)
		bits |= FEATURE_CONTROL_SGX_LC_ENABLE;
	return bits;
}

static bool is_locked(const struct isa_lp *lp)
{
	return lp->feature_control & FEATURE_CONTROL_LOCK;
}

static bool is_lepubkeyhash(uint32_t msr)
{
	return msr >= MSR_SGXLEPUBKEYHASH0 && msr <= MSR_SGXLEPUBKEYHASH3;
}

static struct isa_outcome write_feature_control(struct isa_lp *lp, uint64_t value)
{
	if (is_locked(lp) || (value & ~feature_control_bits(lp->m)))
		return isa_gp();
	lp->feature_control = value;
	return isa_ok();
}

static struct isa_outcome write_lepubkeyhash(struct isa_lp *lp, unsigned int i, uint64_t value)
{
	if (!lp->m->config.profile->launch_control)
		return isa_gp();
	if (is_locked(lp) && !(lp->feature_control & FEATURE_CONTROL_SGX_LC_ENABLE))
		return isa_gp();
	lp->lepubkeyhash[i] = value;
	return isa_ok();
}

struct isa_outcome isa_wrmsr(struct isa_lp *lp, uint32_t msr, uint64_t value)
{
	if (is_lepubkeyhash(msr))
		return write_lepubkeyhash(lp, msr - MSR_SGXLEPUBKEYHASH0, value);

	switch (msr) {
	case MSR_FEATURE_CONTROL:
		return write_feature_control(lp, value);
	case MSR_SGXOWNEREPOCH0:
	case MSR_SGXOWNEREPOCH1:
		/* Keys must not change under running enclaves. */
		if (!is_locked(lp))
			atomic_store_explicit(&lp->m->owner_epoch[msr - MSR_SGXOWNEREPOCH0], value,
					      memory_order_relaxed);
		return isa_ok();
	default:
		return isa_gp();
	}
}

struct isa_outcome isa_rdmsr(const struct isa_lp *lp, uint32_t msr, uint64_t *value)
{
	if (is_lepubkeyhash(msr)) {
		if (!lp->m->config.profile->launch_control)
			return isa_gp();
		*value = lp->lepubkeyhash[msr - MSR_SGXLEPUBKEYHASH0];
		return isa_ok();
	}

	switch (msr) {
	case MSR_FEATURE_CONTROL:
		*value = lp->feature_control;
		return isa_ok();
	case MSR_FEATURE_ACTIVATION:
		*value = FEATURE_ACTIVATION_ACTIVE;
		return isa_ok();
	case MSR_SGX_SVN_STATUS:
		*value = atomic_load_explicit(&lp->m->svn_is_locked, memory_order_relaxed) ?
				 SGX_SVN_STATUS_LOCK : 0;
		return isa_ok();
	default:
		return isa_gp();
	}
}

void isa_msr_reset(struct isa_lp *lp)
{
	/* What the hash MSRs hold on parts that lock to Intel's signer. */
	static const uint64_t hash[4] = {
		0xa6053e051270b7ac, 0x6cfbe8ba8b3b413d,
		0xc4916d99f2b3735d, 0xd4f8c05909f9bb3b,
	};

	lp->feature_control = 0;
	memcpy(lp->lepubkeyhash, hash, sizeof(lp->lepubkeyhash));
}

void isa_wrmsr_lepubkeyhash(struct isa_lp *lp, const uint64_t hash[4])
{
	for (unsigned int i = 0; i < 4; i++)
		write_lepubkeyhash(lp, i, hash[i]);
}
