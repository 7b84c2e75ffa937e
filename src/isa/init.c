/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EINIT: verify who signed an enclave and what it measured, and let it run.
 *
 * Trailing numbers count the checks in the order the manual's Operation
 * section has them.
 */
#include "internal.h"

#define SIGSTRUCT_ALIGNMENT 4096u
#define EINITTOKEN_ALIGNMENT 512u
#define EINITTOKEN_VALID 1u
#define VENDOR_INTEL 0x8086u

/* Attributes only the launch-key signer may give: it can launch others. */
#define CONTROLLED_ATTRIBUTES ATTR_EINITTOKEN_KEY

/* Operands and what was computed from them. */
struct einit {
	struct sgx_sigstruct sig;
	struct sgx_einittoken token;
	uint8_t mrsigner[32];
	uint8_t mrenclave[32];
	bool signer_may_launch;		/* MRSIGNER is the launch-key hash */
};

static bool sigstruct_is_well_formed(const struct sgx_sigstruct *sig)
{
	static const uint8_t header[16] = { 0x06, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 0x01 };
	static const uint8_t header2[16] = {
		0x01, 0x01, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 0x01,
	};

	if (memcmp(sig->header, header, sizeof(header)) ||
	    memcmp(sig->header2, header2, sizeof(header2)))
		return false;
	if ((sig->vendor && sig->vendor != VENDOR_INTEL) || sig->exponent != 3)
		return false;
	/* No profile has CET, so its two bytes count as reserved. */
	return isa_is_zero(sig->reserved_44, sizeof(sig->reserved_44)) &&
	       !sig->cet_attributes && !sig->cet_attributes_mask &&
	       isa_is_zero(sig->reserved_910, sizeof(sig->reserved_910)) &&
	       isa_is_zero(sig->reserved_992, sizeof(sig->reserved_992)) &&
	       isa_is_zero(sig->reserved_1028, sizeof(sig->reserved_1028));
}

static bool token_reserved_is_zero(const struct sgx_einittoken *token)
{
	/* Without CET, CET_MASKED_ATTRIBUTES_LE is reserved. */
	return !(token->valid & ~EINITTOKEN_VALID) &&
	       isa_is_zero(token->reserved_4, sizeof(token->reserved_4)) &&
	       isa_is_zero(token->reserved_96, sizeof(token->reserved_96)) &&
	       isa_is_zero(token->reserved_160, sizeof(token->reserved_160)) &&
	       !token->cet_masked_attributes_le &&
	       isa_is_zero(token->reserved_213, sizeof(token->reserved_213));
}

static bool attributes_match(const struct sgx_attributes *a, const struct sgx_attributes *b,
			     const struct sgx_attributes *mask)
{
	return !((a->flags ^ b->flags) & mask->flags) && !((a->xfrm ^ b->xfrm) & mask->xfrm);
}

static bool token_mac_is_right(const struct isa_lp *lp, const struct sgx_einittoken *token)
{
	uint8_t hash[32], mac[16];

	memcpy(hash, lp->lepubkeyhash, sizeof(hash));
	isa_einittoken_mac(lp->m, token, hash, mac);
	return isa_memeq(mac, token->mac, sizeof(mac));
}

/* Checks 17-22: a token was passed. */
static struct isa_outcome check_token(const struct isa_lp *lp, const struct einit *in,
				      const struct sgx_secs *secs)
{
	const struct sgx_einittoken *token = &in->token;

	if ((token->maskedattributesle.flags & ATTR_DEBUG) &&
	    !(secs->attributes.flags & ATTR_DEBUG))
		return isa_zf(SGX_INVALID_EINITTOKEN);			/* 17 */
	if (!token_reserved_is_zero(token))
		return isa_zf(SGX_INVALID_EINITTOKEN);			/* 18 */
	if (!isa_cpusvn_is_supported(lp->m, token->cpusvnle))
		return isa_zf(SGX_INVALID_CPUSVN);			/* 19 */
	if (!token_mac_is_right(lp, token))
		return isa_zf(SGX_INVALID_EINITTOKEN);			/* 20 */
	if (memcmp(token->mrenclave, in->mrenclave, sizeof(in->mrenclave)) ||
	    memcmp(token->mrsigner, in->mrsigner, sizeof(in->mrsigner)))
		return isa_zf(SGX_INVALID_MEASUREMENT);			/* 21 */
	if (memcmp(&token->attributes, &secs->attributes, sizeof(token->attributes)))
		return isa_zf(SGX_INVALID_ATTRIBUTE);			/* 22 */
	return isa_ok();
}

/* Checks 11-22: measurement, attributes, launch control. */
static struct isa_outcome check_identity(const struct isa_lp *lp, struct einit *in,
					 struct sgx_secs *secs)
{
	const struct sgx_sigstruct *sig = &in->sig;

	isa_measure_final(secs, in->mrenclave);
	if (memcmp(in->mrenclave, sig->enclavehash, sizeof(in->mrenclave)))
		return isa_zf(SGX_INVALID_MEASUREMENT);			/* 11 */
	if ((secs->attributes.flags & CONTROLLED_ATTRIBUTES) && !in->signer_may_launch)
		return isa_zf(SGX_INVALID_ATTRIBUTE);			/* 12 */
	if (!attributes_match(&secs->attributes, &sig->attributes, &sig->attributemask))
		return isa_zf(SGX_INVALID_ATTRIBUTE);			/* 13 */
	if ((secs->miscselect ^ sig->miscselect) & sig->miscmask)
		return isa_zf(SGX_INVALID_ATTRIBUTE);			/* 14 */
	/* 15 needs CET, which no profile has. */
	if (!(in->token.valid & EINITTOKEN_VALID))
		return in->signer_may_launch ? isa_ok()
					     : isa_zf(SGX_INVALID_EINITTOKEN); /* 16 */
	return check_token(lp, in, secs);
}

static void einit_commit(struct isa_lp *lp, const struct isa_epcm *e, const struct einit *in,
			 struct sgx_secs *secs)
{
	struct isa_secs_state *state = isa_secs_state(secs);

	memcpy(secs->mrenclave, in->mrenclave, sizeof(secs->mrenclave));
	memcpy(secs->mrsigner, in->mrsigner, sizeof(secs->mrsigner));
	secs->isvprodid = in->sig.isvprodid;
	secs->isvsvn = in->sig.isvsvn;
	memcpy(state->isvfamilyid, in->sig.isvfamilyid, sizeof(state->isvfamilyid));
	memcpy(state->isvextprodid, in->sig.isvextprodid, sizeof(state->isvextprodid));
	secs->attributes.flags |= ATTR_INIT;
	atomic_store_explicit(&state->initialized, 1, memory_order_release);
	isa_secs_publish_init(lp->m, e, secs);
}

/* From check 8 on: the SECS is held shared. */
static struct isa_outcome einit_entry(struct isa_lp *lp, struct isa_epcm *e, struct einit *in)
{
	struct isa_outcome out;
	struct sgx_secs *secs;

	if (!isa_epcm_is_secs(e))
		return isa_epf(lp, lp->rcx, true);			/* 8 */
	secs = isa_epc_page(lp->m, e);
	if (!(secs->attributes.flags & ATTR_KSS) &&
	    !(isa_is_zero(in->sig.isvfamilyid, sizeof(in->sig.isvfamilyid)) &&
	      isa_is_zero(in->sig.isvextprodid, sizeof(in->sig.isvextprodid))))
		return isa_zf(SGX_INVALID_SIG_STRUCT);			/* 9 */
	if (!isa_epcm_try_build(e))
		return isa_gp();					/* 10 */

	if (atomic_load_explicit(&isa_secs_state(secs)->initialized, memory_order_relaxed))
		out = isa_gp();						/* 10 */
	else
		out = check_identity(lp, in, secs);			/* 11-22 */
	if (isa_is_done(out))
		einit_commit(lp, e, in, secs);
	isa_epcm_release_build(e);
	return out;
}

/**
 * isa_einit() - ENCLS[EINIT]: verify SIGSTRUCT at RBX and initialize the enclave at RCX.
 * On an error code the SECS is unchanged and EINIT can be tried again.
 * SGX_UNMASKED_EVENT (5) cannot happen: no event interrupts a leaf here.
 * Source: SDM, EINIT, Operation.
 */
struct isa_outcome isa_einit(struct isa_lp *lp)
{
	struct isa_outcome out;
	struct isa_epcm *e;
	struct einit in;

	if (!isa_is_aligned(lp->rbx, SIGSTRUCT_ALIGNMENT) ||
	    !isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 1 */
	if (!isa_is_aligned(lp->rdx, EINITTOKEN_ALIGNMENT))
		return isa_gp();					/* 2 */
	e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!e)
		return out;						/* 3 */
	if (!isa_read(lp, lp->rbx, &in.sig, sizeof(in.sig), &out) ||
	    !isa_read(lp, lp->rdx, &in.token, sizeof(in.token), &out))
		return out;
	if (!sigstruct_is_well_formed(&in.sig))
		return isa_zf(SGX_INVALID_SIG_STRUCT);			/* 4 */
	if (!isa_rsa3072_verify(&in.sig))
		return isa_zf(SGX_INVALID_SIGNATURE);			/* 6 */
	isa_sha256(in.sig.modulus, sizeof(in.sig.modulus), in.mrsigner);
	in.signer_may_launch = !memcmp(in.mrsigner, lp->lepubkeyhash, sizeof(in.mrsigner));
	if (!isa_epcm_try_shared(e))
		return isa_gp();					/* 7 */

	out = einit_entry(lp, e, &in);
	isa_epcm_release_shared(e);
	return out;
}
