/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An enclave's pages after EINIT, the enclave's half: EACCEPT and EACCEPTCOPY
 * agree to what the kernel did (dynamic.c), EMODPE extends what a page allows.
 *
 * The manual lets EACCEPTCOPY and EMODPE run without the base lock: no page
 * leaves an enclave that has a processor inside.  Who is inside is the
 * program's word here, so the pages they change or copy are held shared for
 * as long as they do.
 *
 * Trailing numbers count the checks in the order the manual's Operation
 * section has them.
 */
#include "internal.h"

static bool is_own(const struct isa_lp *lp, const struct isa_epcm *e)
{
	return isa_epcm_is_valid(e) && isa_epcm_secs(e) == lp->secs_frame;
}

/* The target of all three: shared, and by the sgx2 lock. */
static bool try_target(struct isa_epcm *e)
{
	if (!isa_epcm_try_shared(e))
		return false;
	if (isa_epcm_try_sgx2(e))
		return true;
	isa_epcm_release_shared(e);
	return false;
}

static void release_target(struct isa_epcm *e)
{
	isa_epcm_release_sgx2(e);
	isa_epcm_release_shared(e);
}

/* --- EACCEPT ------------------------------------------------------------- */

/* Which changes there are to accept. */
static bool request_is_legal(const struct sgx_secinfo *secinfo)
{
	const bool pr = secinfo->flags & SECINFO_PR;

	switch (secinfo->flags & (SECINFO_PT_MASK | SECINFO_PENDING | SECINFO_MODIFIED)) {
	case SECINFO_PT(PT_REG) | SECINFO_PENDING:
		return true;
	case SECINFO_PT(PT_REG):
		return pr;
	case SECINFO_PT(PT_TCS) | SECINFO_MODIFIED:
	case SECINFO_PT(PT_TRIM) | SECINFO_MODIFIED:
		return !pr;
	}
	return false;		/* PT_SS_* need CET, which no profile has */
}

static bool is_acceptable(const struct isa_lp *lp, const struct isa_epcm *e)
{
	return is_own(lp, e) && !(isa_epcm_word(e) & EPCM_BLOCKED) &&
	       isa_pt_is_child(isa_epcm_pt(e));
}

/* Is the page what the enclave takes it for?  PR is not compared. */
static bool matches(const struct isa_epcm *e, uint64_t la, const struct sgx_secinfo *secinfo)
{
	const uint64_t compared = SGX_PAGE_MASK | EPCM_PENDING | EPCM_MODIFIED |
				  EPCM_RWX(SECINFO_RWX) | EPCM_PT_MASK;
	uint64_t want = la | EPCM_RWX(secinfo->flags) | EPCM_PT(isa_secinfo_pt(secinfo));

	if (secinfo->flags & SECINFO_PENDING)
		want |= EPCM_PENDING;
	if (secinfo->flags & SECINFO_MODIFIED)
		want |= EPCM_MODIFIED;
	return (isa_epcm_word(e) & compared) == want;
}

/* One without frames is, if none is in use: nobody can enter it, and programs make them. */
static bool frames_are_acceptable(const struct sgx_tcs *tcs)
{
	return !tcs->cssa || tcs->cssa < tcs->nssa;
}

static bool tcs_is_acceptable(const struct isa_machine *m, const struct isa_epcm *e)
{
	const struct sgx_tcs *tcs = isa_epc_page(m, e);

	return isa_tcs_is_legal(m, isa_owner(m, e), tcs) && !(tcs->flags & TCS_DBGOPTIN) &&
	       frames_are_acceptable(tcs) && !tcs->aep && !tcs->state;
}

/* From check 8 on: the page is held. */
static struct isa_outcome eaccept_locked(struct isa_lp *lp, struct isa_epcm *e,
					 const struct sgx_secinfo *secinfo)
{
	if (!is_own(lp, e))
		return isa_epf(lp, lp->rcx, false);			/* 8 */
	if (!matches(e, lp->rcx, secinfo))
		return isa_zf(SGX_PAGE_ATTRIBUTES_MISMATCH);		/* 9 */
	if (!isa_is_tracked(lp->m, e))
		return isa_zf(SGX_NOT_TRACKED);				/* 10 */
	if (isa_secinfo_pt(secinfo) == PT_TCS && !tcs_is_acceptable(lp->m, e))
		return isa_gp();					/* 11 */

	isa_epcm_update(e, EPCM_PENDING | EPCM_MODIFIED | EPCM_PR, 0);
	return isa_ok();
}

/**
 * isa_eaccept() - ENCLU[EACCEPT]: agree to EAUG, EMODPR or EMODT of a page.
 * Source: SDM, EACCEPT, Operation.
 */
struct isa_outcome isa_eaccept(struct isa_lp *lp)
{
	struct sgx_secinfo secinfo;
	struct isa_outcome out;
	struct isa_epcm *e;
	const void *in;

	if (!isa_is_aligned(lp->rbx, SECINFO_ALIGNMENT))
		return isa_gp();					/* 1 */
	in = isa_encl_operand(lp, lp->rbx, SECINFO_R, &out);
	if (!in)
		return out;						/* 1 */
	memcpy(&secinfo, in, sizeof(secinfo));
	if (!isa_secinfo_is_clean(&secinfo, SECINFO_KNOWN))
		return isa_gp();					/* 2 */
	if (!isa_is_aligned(lp->rcx, SGX_PAGE_SIZE) || !isa_in_elrange(lp, lp->rcx))
		return isa_gp();					/* 3 */
	e = isa_epc_resolve(lp, lp->rcx, false, &out);
	if (!e)
		return out;						/* 4 */
	if (!request_is_legal(&secinfo))
		return isa_gp();					/* 5 */
	if (!is_acceptable(lp, e))
		return isa_epf(lp, lp->rcx, false);			/* 6 */
	if (!try_target(e))
		return isa_gp();					/* 7 */

	out = eaccept_locked(lp, e, &secinfo);
	release_target(e);
	return out;
}

/* --- EMODPE -------------------------------------------------------------- */

/* Checks 7 and 9; @refused are the states the page may not be in. */
static bool is_extendable(const struct isa_lp *lp, const struct isa_epcm *e, uint64_t refused)
{
	return is_own(lp, e) && !(isa_epcm_word(e) & refused) && isa_epcm_pt(e) == PT_REG;
}

/* From check 9 on: the page is held. */
static struct isa_outcome emodpe_locked(struct isa_lp *lp, struct isa_epcm *e,
					const struct sgx_secinfo *secinfo)
{
	const uint64_t rwx = secinfo->flags & SECINFO_RWX;

	if (!is_extendable(lp, e, EPCM_PENDING | EPCM_MODIFIED) ||
	    isa_epcm_enclaveaddress(e) != lp->rcx)
		return isa_epf(lp, lp->rcx, false);			/* 9 */
	if (!(isa_epcm_word(e) & EPCM_RWX(SECINFO_R)) &&
	    (rwx & (SECINFO_R | SECINFO_W)) == SECINFO_W)
		return isa_gp();					/* 10 */

	isa_epcm_update(e, 0, EPCM_RWX(rwx));
	return isa_ok();
}

/**
 * isa_emodpe() - ENCLU[EMODPE]: extend the permissions of a page.
 * Source: SDM, EMODPE, Operation.
 */
struct isa_outcome isa_emodpe(struct isa_lp *lp)
{
	struct isa_epcm *secinfo_e, *e;
	struct sgx_secinfo secinfo;
	struct isa_outcome out;

	if (!isa_is_aligned(lp->rbx, SECINFO_ALIGNMENT))
		return isa_gp();					/* 1 */
	if (!isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 2 */
	if (!isa_in_elrange(lp, lp->rbx) || !isa_in_elrange(lp, lp->rcx))
		return isa_gp();					/* 3 */
	secinfo_e = isa_epc_resolve(lp, lp->rbx, false, &out);
	if (!secinfo_e)
		return out;						/* 4 */
	e = isa_epc_resolve(lp, lp->rcx, false, &out);
	if (!e)
		return out;						/* 4 */
	if (!isa_encl_may_access(lp, secinfo_e, lp->rbx, SECINFO_R))
		return isa_epf(lp, lp->rbx, false);			/* 5 */
	isa_encl_read(lp, secinfo_e, lp->rbx, &secinfo, sizeof(secinfo));
	if (!isa_secinfo_is_clean(&secinfo, SECINFO_KNOWN))
		return isa_gp();					/* 6 */
	if (!is_extendable(lp, e, EPCM_PENDING | EPCM_MODIFIED | EPCM_BLOCKED))
		return isa_epf(lp, lp->rcx, false);			/* 7 */
	if (!try_target(e))
		return isa_gp();					/* 8 */

	out = emodpe_locked(lp, e, &secinfo);
	release_target(e);
	return out;
}

/* --- EACCEPTCOPY --------------------------------------------------------- */

/* Checks 7 and the same in 9. */
static bool can_be_filled(const struct isa_lp *lp, const struct isa_epcm *e)
{
	const uint64_t state = EPCM_PENDING | EPCM_MODIFIED | EPCM_BLOCKED;

	return is_own(lp, e) && (isa_epcm_word(e) & state) == EPCM_PENDING &&
	       isa_epcm_pt(e) == PT_REG;
}

/* From check 9 on: the destination is held, the source is held shared. */
static struct isa_outcome eacceptcopy_locked(struct isa_lp *lp, struct isa_epcm *e,
					     struct isa_epcm *src_e, uint64_t rwx)
{
	const uint64_t word = isa_epcm_word(e);

	if (!can_be_filled(lp, e) || isa_epcm_enclaveaddress(e) != lp->rcx ||
	    (word & EPCM_RWX(SECINFO_RWX)) != EPCM_RWX(SECINFO_R | SECINFO_W))
		return isa_zf(SGX_PAGE_ATTRIBUTES_MISMATCH);		/* 9 */
	if (!isa_encl_may_access(lp, src_e, lp->rdx, SECINFO_R))
		return isa_epf(lp, lp->rdx, false);			/* 6 again: it is held now */

	memcpy(isa_epc_page(lp->m, e), isa_epc_page(lp->m, src_e), SGX_PAGE_SIZE);
	isa_epcm_update(e, EPCM_PENDING | EPCM_RWX(SECINFO_RWX), EPCM_RWX(rwx));
	return isa_ok();
}

/* From check 8 on. */
static struct isa_outcome eacceptcopy_pages(struct isa_lp *lp, struct isa_epcm *e,
					    struct isa_epcm *src_e, uint64_t rwx)
{
	struct isa_outcome out;

	if (!isa_epcm_try_shared(src_e))
		return isa_gp();
	if (!try_target(e)) {
		isa_epcm_release_shared(src_e);
		return isa_gp();					/* 8 */
	}
	out = eacceptcopy_locked(lp, e, src_e, rwx);
	release_target(e);
	isa_epcm_release_shared(src_e);
	return out;
}

/* Checks 1-3; the entries of SECINFO, destination and source in @e. */
static bool resolve_all(struct isa_lp *lp, struct isa_epcm *e[3], struct isa_outcome *out)
{
	const uint64_t la[3] = { lp->rbx, lp->rcx, lp->rdx };

	*out = isa_gp();
	if (!isa_is_aligned(la[0], SECINFO_ALIGNMENT) ||
	    !isa_is_aligned(la[1] | la[2], SGX_PAGE_SIZE))
		return false;						/* 1 */
	for (int i = 0; i < 3; i++)
		if (!isa_in_elrange(lp, la[i]))
			return false;					/* 2 */
	for (int i = 0; i < 3; i++) {
		e[i] = isa_epc_resolve(lp, la[i], i == 1, out);
		if (!e[i])
			return false;					/* 3 */
	}
	return true;
}

/**
 * isa_eacceptcopy() - ENCLU[EACCEPTCOPY]: fill a pending page from another one.
 * Source: SDM, EACCEPTCOPY, Operation.
 */
struct isa_outcome isa_eacceptcopy(struct isa_lp *lp)
{
	struct sgx_secinfo secinfo;
	struct isa_epcm *e[3];
	struct isa_outcome out;

	if (!resolve_all(lp, e, &out))
		return out;						/* 1-3 */
	if (!isa_encl_may_access(lp, e[0], lp->rbx, SECINFO_R))
		return isa_epf(lp, lp->rbx, false);			/* 4 */
	isa_encl_read(lp, e[0], lp->rbx, &secinfo, sizeof(secinfo));
	if (!isa_secinfo_is_clean(&secinfo, SECINFO_KNOWN) || isa_secinfo_pt(&secinfo) != PT_REG ||
	    (secinfo.flags & (SECINFO_R | SECINFO_W)) == SECINFO_W)
		return isa_gp();					/* 5 */
	if (!isa_encl_may_access(lp, e[2], lp->rdx, SECINFO_R))
		return isa_epf(lp, lp->rdx, false);			/* 6 */
	if (!can_be_filled(lp, e[1]))
		return isa_zf(SGX_PAGE_ATTRIBUTES_MISMATCH);		/* 7 */
	return eacceptcopy_pages(lp, e[1], e[2], secinfo.flags & SECINFO_RWX);
}
