/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An enclave's pages after EINIT, the kernel's half: EAUG adds one, EMODPR
 * restricts one, EMODT retypes one.  None takes effect for the enclave before
 * its own EACCEPT, which is in accept.c.
 *
 * Trailing numbers count the checks in the order the manual's Operation
 * section has them.
 */
#include "internal.h"

#define NOT_ACCEPTED (EPCM_PENDING | EPCM_MODIFIED)

/* --- EAUG ---------------------------------------------------------------- */

static void eaug_commit(struct isa_machine *m, struct isa_epcm *e, struct isa_epcm *secs_e,
			uint64_t linaddr)
{
	memset(isa_epc_page(m, e), 0, SGX_PAGE_SIZE);
	isa_secs_add_child(isa_epc_page(m, secs_e));
	isa_epcm_set(e, (uint32_t)isa_epcm_frame(m, secs_e),
		     linaddr | EPCM_VALID | EPCM_PENDING | EPCM_PT(PT_REG) |
			     EPCM_RWX(SECINFO_R | SECINFO_W));
}

/* From check 13 on: the SECS is held shared. */
static struct isa_outcome eaug_with_secs(struct isa_lp *lp, struct isa_epcm *e,
					 struct isa_epcm *secs_e,
					 const struct sgx_pageinfo *pageinfo)
{
	struct sgx_secs *secs;

	if (!isa_epcm_is_secs(secs_e))
		return isa_epf(lp, pageinfo->secs, true);		/* 13 */
	secs = isa_epc_page(lp->m, secs_e);
	if (!isa_secs_is_initialized(secs))
		return isa_gp();					/* 14 */
	if (pageinfo->linaddr - secs->baseaddr >= secs->size)
		return isa_gp();					/* 15 */

	eaug_commit(lp->m, e, secs_e, pageinfo->linaddr);
	return isa_ok();
}

/* From check 9 on: the page is held exclusively. */
static struct isa_outcome eaug_entry(struct isa_lp *lp, struct isa_epcm *e,
				     struct isa_epcm *secs_e, const struct sgx_pageinfo *pageinfo)
{
	struct isa_outcome out;

	if (isa_epcm_is_valid(e))
		return isa_epf(lp, lp->rcx, true);			/* 9 */
	/* A SECINFO asks for a shadow stack (11, 16), and no profile has CET. */
	if (pageinfo->secinfo_or_pcmd)
		return isa_gp();					/* 10 */
	if (!isa_epcm_try_shared(secs_e))
		return isa_gp();					/* 12 */
	out = eaug_with_secs(lp, e, secs_e, pageinfo);
	isa_epcm_release_shared(secs_e);
	return out;
}

/**
 * isa_eaug() - ENCLS[EAUG]: add a zeroed page, pending its EACCEPT.
 * Source: SDM, EAUG, Operation.
 */
struct isa_outcome isa_eaug(struct isa_lp *lp)
{
	struct isa_epcm *e, *secs_e;
	struct sgx_pageinfo pageinfo;
	struct isa_outcome out;

	if (!isa_is_aligned(lp->rbx, PAGEINFO_ALIGNMENT))
		return isa_gp();					/* 1 */
	if (!isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 2 */
	e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!e)
		return out;						/* 3 */
	if (!isa_read(lp, lp->rbx, &pageinfo, sizeof(pageinfo), &out))
		return out;
	if (!isa_is_aligned(pageinfo.secinfo_or_pcmd, SECINFO_ALIGNMENT))
		return isa_gp();					/* 4 */
	if (!isa_is_aligned(pageinfo.secs | pageinfo.linaddr, SGX_PAGE_SIZE))
		return isa_gp();					/* 5 */
	if (pageinfo.srcpge)
		return isa_gp();					/* 6 */
	secs_e = isa_epc_resolve(lp, pageinfo.secs, true, &out);
	if (!secs_e)
		return out;						/* 7 */
	if (!isa_epcm_try_exclusive(e))
		return isa_page_conflict(lp, lp->rcx, e, isa_gp());	/* 8 */

	out = eaug_entry(lp, e, secs_e, &pageinfo);
	isa_epcm_release_exclusive(e);
	return out;
}

/* --- EMODPR -------------------------------------------------------------- */

/* From check 7 on: the page is held shared, and by the sgx2 lock. */
static struct isa_outcome emodpr_locked(struct isa_lp *lp, struct isa_epcm *e, uint64_t rwx)
{
	struct sgx_secs *secs;

	if (isa_epcm_word(e) & NOT_ACCEPTED)
		return isa_zf(SGX_PAGE_NOT_MODIFIABLE);			/* 7 */
	if (isa_epcm_pt(e) != PT_REG)
		return isa_epf(lp, lp->rcx, true);			/* 8 */
	secs = isa_owner(lp->m, e);
	if (!isa_secs_is_initialized(secs))
		return isa_gp();					/* 9 */

	isa_epcm_update(e, EPCM_RWX(~rwx), EPCM_PR);
	isa_epcm_stamp(e, isa_secs_epoch(secs));
	return isa_ok();
}

/* From check 5 on: the page is held shared. */
static struct isa_outcome emodpr_entry(struct isa_lp *lp, struct isa_epcm *e, uint64_t rwx)
{
	struct isa_outcome out;

	if (!isa_epcm_is_valid(e))
		return isa_epf(lp, lp->rcx, true);			/* 5 */
	if (!isa_epcm_try_sgx2(e))
		return isa_zf(SGX_EPC_PAGE_CONFLICT);			/* 6 */
	out = emodpr_locked(lp, e, rwx);
	isa_epcm_release_sgx2(e);
	return out;
}

/**
 * isa_emodpr() - ENCLS[EMODPR]: take permissions of a regular page away.
 * Source: SDM, EMODPR, Operation.
 */
struct isa_outcome isa_emodpr(struct isa_lp *lp)
{
	struct sgx_secinfo secinfo;
	struct isa_outcome out;
	struct isa_epcm *e;

	if (!isa_is_aligned(lp->rbx, SECINFO_ALIGNMENT) || !isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 1 */
	e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!e)
		return out;						/* 2 */
	if (!isa_read(lp, lp->rbx, &secinfo, sizeof(secinfo), &out))
		return out;
	if (!isa_secinfo_is_clean(&secinfo, SECINFO_KNOWN) ||
	    (secinfo.flags & (SECINFO_R | SECINFO_W)) == SECINFO_W)
		return isa_gp();					/* 3 */
	if (!isa_epcm_try_shared(e))
		return isa_gp();					/* 4 */

	out = emodpr_entry(lp, e, secinfo.flags & SECINFO_RWX);
	isa_epcm_release_shared(e);
	return out;
}

/* --- EMODT --------------------------------------------------------------- */

static bool pt_can_become(enum sgx_page_type from, enum sgx_page_type to)
{
	if (from == PT_REG)
		return true;
	return to == PT_TRIM && (from == PT_TCS || from == PT_SS_FIRST || from == PT_SS_REST);
}

/* From check 8 on: the page is held exclusively, and by the sgx2 lock. */
static struct isa_outcome emodt_locked(struct isa_lp *lp, struct isa_epcm *e,
				       enum sgx_page_type pt)
{
	struct sgx_secs *secs;

	if (!pt_can_become(isa_epcm_pt(e), pt))
		return isa_epf(lp, lp->rcx, true);			/* 8 */
	if (isa_epcm_word(e) & NOT_ACCEPTED)
		return isa_zf(SGX_PAGE_NOT_MODIFIABLE);			/* 9 */
	secs = isa_owner(lp->m, e);
	if (!isa_secs_is_initialized(secs))
		return isa_gp();					/* 10 */

	isa_epcm_update(e, EPCM_PT_MASK | EPCM_RWX(SECINFO_RWX) | EPCM_PR,
			EPCM_PT(pt) | EPCM_MODIFIED);
	isa_epcm_stamp(e, isa_secs_epoch(secs));
	return isa_ok();
}

/* From check 6 on: the page is held exclusively. */
static struct isa_outcome emodt_entry(struct isa_lp *lp, struct isa_epcm *e, enum sgx_page_type pt)
{
	struct isa_outcome out;

	if (!isa_epcm_is_valid(e))
		return isa_epf(lp, lp->rcx, true);			/* 6 */
	if (!isa_epcm_try_sgx2(e))
		return isa_zf(SGX_EPC_PAGE_CONFLICT);			/* 7 */
	out = emodt_locked(lp, e, pt);
	isa_epcm_release_sgx2(e);
	return out;
}

/**
 * isa_emodt() - ENCLS[EMODT]: make a TCS of a regular page, or trim a page.
 * Source: SDM, EMODT, Operation.
 */
struct isa_outcome isa_emodt(struct isa_lp *lp)
{
	struct sgx_secinfo secinfo;
	struct isa_outcome out;
	enum sgx_page_type pt;
	struct isa_epcm *e;

	if (!isa_is_aligned(lp->rbx, SECINFO_ALIGNMENT))
		return isa_gp();					/* 1 */
	if (!isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 2 */
	e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!e)
		return out;						/* 3 */
	if (!isa_read(lp, lp->rbx, &secinfo, sizeof(secinfo), &out))
		return out;
	pt = isa_secinfo_pt(&secinfo);
	if (!isa_secinfo_is_clean(&secinfo, SECINFO_KNOWN) || (pt != PT_TCS && pt != PT_TRIM))
		return isa_gp();					/* 4 */
	if (!isa_epcm_try_exclusive(e))
		return isa_page_conflict(lp, lp->rcx, e,
					 isa_zf(SGX_EPC_PAGE_CONFLICT)); /* 5 */

	out = emodt_entry(lp, e, pt);
	isa_epcm_release_exclusive(e);
	return out;
}
