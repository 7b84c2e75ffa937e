/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Building an enclave: ECREATE, EADD and EEXTEND.  EINIT is in init.c.
 *
 * Trailing numbers count the checks in the order the manual's Operation
 * section has them.  A leaf copies its operands first and checks the copies.
 */
#include "internal.h"

#define MIN_ENCLAVE_SIZE (2 * SGX_PAGE_SIZE)

/* State bits would be measured, and no leaf can have set them yet. */
#define SECINFO_OF_A_NEW_PAGE (SECINFO_RWX | SECINFO_PT_MASK)

/* --- ECREATE ------------------------------------------------------------- */

static bool secs_reserved_is_zero(const struct sgx_secs *secs)
{
	return isa_is_zero(secs->reserved_33, sizeof(secs->reserved_33)) &&
	       isa_is_zero(secs->reserved_96, sizeof(secs->reserved_96)) &&
	       isa_is_zero(secs->reserved_160, sizeof(secs->reserved_160)) &&
	       isa_is_zero(secs->reserved_262, sizeof(secs->reserved_262));
}

static bool ssa_frame_is_large_enough(const struct isa_machine *m, const struct sgx_secs *secs)
{
	const uint64_t misc = secs->miscselect & (MISC_EXINFO | MISC_CPINFO) ?
				      sizeof(struct sgx_exinfo) : 0;

	return (uint64_t)secs->ssaframesize * SGX_PAGE_SIZE >=
	       isa_xsave_size(m, secs->attributes.xfrm) + sizeof(struct sgx_gprsgx) + misc;
}

static bool range_is_legal(const struct isa_machine *m, const struct sgx_secs *secs)
{
	const struct isa_profile *profile = m->config.profile;
	const bool mode64 = secs->attributes.flags & ATTR_MODE64BIT;
	const uint8_t max_size = mode64 ? profile->max_size_64 : profile->max_size_32;

	if (mode64 ? !isa_is_canonical(secs->baseaddr) : secs->baseaddr >> 32)
		return false;						/* 14 */
	if (secs->size >> max_size)
		return false;						/* 15 */
	if (secs->size < MIN_ENCLAVE_SIZE || (secs->size & (secs->size - 1)))
		return false;						/* 16 */
	return isa_is_aligned(secs->baseaddr, secs->size);		/* 17 */
}

/* Checks 9-20 of ECREATE, on the processor's own copy. */
static bool secs_is_legal(const struct isa_machine *m, const struct sgx_secs *secs)
{
	const struct sgx_attributes *attributes = &secs->attributes;

	if ((attributes->xfrm & XFRM_X87_SSE) != XFRM_X87_SSE)
		return false;						/* 9 */
	if (!isa_xfrm_is_legal(m, attributes->xfrm))
		return false;						/* 10 */
	/* No profile has CET, so nothing of it may be asked for. */
	if (secs->cet_attributes || secs->cet_leg_bitmap_offset)
		return false;						/* 11 */
	if (secs->miscselect & ~m->config.profile->miscselect)
		return false;						/* 12 */
	if (!ssa_frame_is_large_enough(m, secs))
		return false;						/* 13 */
	if (!range_is_legal(m, secs))
		return false;						/* 14-17 */
	if (attributes->flags & ~m->config.profile->attributes)
		return false;						/* 18 */
	if (!secs_reserved_is_zero(secs))
		return false;						/* 19 */
	return (attributes->flags & ATTR_KSS) ||
	       (isa_is_zero(secs->configid, sizeof(secs->configid)) &&
		!secs->configsvn);					/* 20 */
}

static void ecreate_commit(struct isa_machine *m, struct isa_epcm *e, struct sgx_secs *secs)
{
	memset(secs->mrsigner, 0, sizeof(secs->mrsigner));
	secs->isvprodid = 0;
	secs->isvsvn = 0;
	isa_secs_reset(m, isa_epcm_frame(m, e), secs);
	isa_measure_ecreate(secs);
	isa_secs_forget(m, isa_epcm_frame(m, e));
	isa_epcm_set(e, EPCM_NO_SECS, EPCM_VALID | EPCM_PT(PT_SECS));
}

/* @e is held exclusively. */
static struct isa_outcome ecreate_entry(struct isa_lp *lp, struct isa_epcm *e, uint64_t srcpge)
{
	struct sgx_secs *secs = isa_epc_page(lp->m, e);
	struct isa_outcome out;

	if (isa_epcm_is_valid(e))
		return isa_epf(lp, lp->rcx, true);			/* 8 */
	if (!isa_read(lp, srcpge, secs, SGX_PAGE_SIZE, &out))
		return out;
	if (!secs_is_legal(lp->m, secs))
		return isa_gp();					/* 9-20 */

	ecreate_commit(lp->m, e, secs);
	return isa_ok();
}

/**
 * isa_ecreate() - ENCLS[ECREATE]: make a SECS of the page at RCX.
 * Source: SDM, ECREATE, Operation.
 */
struct isa_outcome isa_ecreate(struct isa_lp *lp)
{
	struct sgx_pageinfo pageinfo;
	struct sgx_secinfo secinfo;
	struct isa_outcome out;
	struct isa_epcm *e;

	if (!isa_is_aligned(lp->rbx, PAGEINFO_ALIGNMENT))
		return isa_gp();					/* 1 */
	if (!isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 2 */
	e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!e)
		return out;						/* 3 */
	if (!isa_read(lp, lp->rbx, &pageinfo, sizeof(pageinfo), &out))
		return out;
	if (!isa_is_aligned(pageinfo.srcpge, SGX_PAGE_SIZE) ||
	    !isa_is_aligned(pageinfo.secinfo_or_pcmd, SECINFO_ALIGNMENT))
		return isa_gp();					/* 4 */
	if (pageinfo.linaddr || pageinfo.secs)
		return isa_gp();					/* 5 */
	if (!isa_read(lp, pageinfo.secinfo_or_pcmd, &secinfo, sizeof(secinfo), &out))
		return out;
	if (!isa_secinfo_is_clean(&secinfo, SECINFO_OF_A_NEW_PAGE) ||
	    isa_secinfo_pt(&secinfo) != PT_SECS)
		return isa_gp();					/* 6 */
	if (!isa_epcm_try_exclusive(e))
		return isa_page_conflict(lp, lp->rcx, e, isa_gp());	/* 7 */

	out = ecreate_entry(lp, e, pageinfo.srcpge);
	isa_epcm_release_exclusive(e);
	return out;
}

/* --- EADD ---------------------------------------------------------------- */

bool isa_tcs_is_legal(const struct isa_machine *m, const struct sgx_secs *secs,
		      const struct sgx_tcs *tcs)
{
	const uint64_t known =
		TCS_DBGOPTIN | (isa_has_attribute(m, ATTR_AEXNOTIFY) ? TCS_AEXNOTIFY : 0);

	/* Without CET the fields from OCETSSA on are reserved. */
	if ((tcs->flags & ~known) ||
	    !isa_is_zero(&tcs->ocetssa, sizeof(*tcs) - offsetof(struct sgx_tcs, ocetssa)))
		return false;						/* 12, 14 */
	return (secs->attributes.flags & ATTR_MODE64BIT) ||
	       ((tcs->fslimit & tcs->gslimit & 0xfff) == 0xfff);	/* 13 */
}

static bool pt_can_be_added(enum sgx_page_type pt)
{
	return pt == PT_REG || pt == PT_TCS;
}

/* Where the leaf has arrived: both entries resolved and locked. */
struct eadd {
	struct isa_epcm *e;		/* destination, exclusive */
	struct isa_epcm *secs_e;	/* shared */
	struct sgx_pageinfo pageinfo;
	struct sgx_secinfo secinfo;
};

static void eadd_commit(struct isa_machine *m, struct eadd *a, struct sgx_secs *secs, void *page)
{
	const enum sgx_page_type pt = isa_secinfo_pt(&a->secinfo);
	const uint64_t linaddr = a->pageinfo.linaddr;

	if (pt == PT_TCS) {
		struct sgx_tcs *tcs = page;

		a->secinfo.flags &= ~SECINFO_RWX;
		tcs->flags &= ~TCS_DBGOPTIN;
		tcs->cssa = 0;
		tcs->aep = 0;
		tcs->state = 0;
	}
	isa_measure_eadd(secs, linaddr - secs->baseaddr, &a->secinfo);
	isa_secs_add_child(secs);
	isa_epcm_set(a->e, (uint32_t)isa_epcm_frame(m, a->secs_e),
		     linaddr | EPCM_VALID | EPCM_PT(pt) | EPCM_RWX(a->secinfo.flags));
}

/* From check 11 on: the SECS is held shared. */
static struct isa_outcome eadd_with_secs(struct isa_lp *lp, struct eadd *a)
{
	const enum sgx_page_type pt = isa_secinfo_pt(&a->secinfo);
	const uint64_t linaddr = a->pageinfo.linaddr;
	struct isa_outcome out = isa_ok();
	struct sgx_secs *secs;
	void *page;

	if (!isa_epcm_is_secs(a->secs_e))
		return isa_epf(lp, a->pageinfo.secs, true);		/* 11 */
	secs = isa_epc_page(lp->m, a->secs_e);
	page = isa_epc_page(lp->m, a->e);
	if (!isa_read(lp, a->pageinfo.srcpge, page, SGX_PAGE_SIZE, &out))
		return out;
	if (pt == PT_TCS && !isa_tcs_is_legal(lp->m, secs, page))
		return isa_gp();					/* 12-14 */
	if (pt == PT_REG && (a->secinfo.flags & (SECINFO_R | SECINFO_W)) == SECINFO_W)
		return isa_gp();					/* 15 */
	if (linaddr - secs->baseaddr >= secs->size)
		return isa_gp();					/* 17 */
	if (!isa_epcm_try_build(a->secs_e))
		return isa_gp();					/* 18 */

	if (atomic_load_explicit(&isa_secs_state(secs)->initialized, memory_order_relaxed))
		out = isa_gp();						/* 19 */
	else
		eadd_commit(lp->m, a, secs, page);
	isa_epcm_release_build(a->secs_e);
	return out;
}

/* From check 9 on: the destination is held exclusively. */
static struct isa_outcome eadd_entry(struct isa_lp *lp, struct eadd *a)
{
	struct isa_outcome out;

	if (isa_epcm_is_valid(a->e))
		return isa_epf(lp, lp->rcx, true);			/* 9 */
	if (!isa_epcm_try_shared(a->secs_e))
		return isa_gp();					/* 10 */
	out = eadd_with_secs(lp, a);
	isa_epcm_release_shared(a->secs_e);
	return out;
}

/**
 * isa_eadd() - ENCLS[EADD]: add and measure an initial page.
 * Source: SDM, EADD, Operation.
 */
struct isa_outcome isa_eadd(struct isa_lp *lp)
{
	struct isa_outcome out;
	struct eadd a;

	if (!isa_is_aligned(lp->rbx, PAGEINFO_ALIGNMENT))
		return isa_gp();					/* 1 */
	if (!isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 2 */
	a.e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!a.e)
		return out;						/* 3 */
	if (!isa_read(lp, lp->rbx, &a.pageinfo, sizeof(a.pageinfo), &out))
		return out;
	if (!isa_is_aligned(a.pageinfo.srcpge | a.pageinfo.secs | a.pageinfo.linaddr,
			    SGX_PAGE_SIZE) ||
	    !isa_is_aligned(a.pageinfo.secinfo_or_pcmd, SECINFO_ALIGNMENT))
		return isa_gp();					/* 4 */
	a.secs_e = isa_epc_resolve(lp, a.pageinfo.secs, true, &out);
	if (!a.secs_e)
		return out;						/* 5 */
	if (!isa_read(lp, a.pageinfo.secinfo_or_pcmd, &a.secinfo, sizeof(a.secinfo), &out))
		return out;
	/* 6; PT_SS_* need CET (7, 16), which no profile has. */
	if (!isa_secinfo_is_clean(&a.secinfo, SECINFO_OF_A_NEW_PAGE) ||
	    !pt_can_be_added(isa_secinfo_pt(&a.secinfo)))
		return isa_gp();
	if (!isa_epcm_try_exclusive(a.e))
		return isa_page_conflict(lp, lp->rcx, a.e, isa_gp());	/* 8 */

	out = eadd_entry(lp, &a);
	isa_epcm_release_exclusive(a.e);
	return out;
}

/* --- EEXTEND ------------------------------------------------------------- */

/* From check 6 on: the page of the chunk is held shared. */
static struct isa_outcome eextend_entry(struct isa_lp *lp, struct isa_epcm *secs_e,
					struct isa_epcm *e)
{
	struct isa_machine *m = lp->m;
	struct sgx_secs *secs;
	bool initialized;

	if (!isa_epcm_is_valid(e))
		return isa_epf(lp, lp->rcx, false);			/* 6 */
	if (!pt_can_be_added(isa_epcm_pt(e)))
		return isa_epf(lp, lp->rcx, false);			/* 7 */
	if (isa_epcm_secs(e) != isa_epcm_frame(m, secs_e))
		return isa_gp();					/* 8 */
	if (!isa_epcm_try_build(secs_e))
		return isa_gp();					/* 9 */

	/* The child is held, so its SECS cannot go away. */
	secs = isa_epc_page(m, secs_e);
	initialized = atomic_load_explicit(&isa_secs_state(secs)->initialized,
					   memory_order_relaxed);
	if (!initialized) {
		const uint64_t in_page = lp->rcx & ~SGX_PAGE_MASK;
		const uint8_t *page = isa_epc_page(m, e);

		isa_measure_eextend(secs, isa_epcm_enclaveaddress(e) - secs->baseaddr + in_page,
				    page + in_page, ISA_CHUNK_SIZE);
	}
	isa_epcm_release_build(secs_e);
	return initialized ? isa_gp() : isa_ok();			/* 9 */
}

/**
 * isa_eextend() - ENCLS[EEXTEND]: measure 256 bytes of a page.
 * Source: SDM, EEXTEND, Operation.
 */
struct isa_outcome isa_eextend(struct isa_lp *lp)
{
	struct isa_outcome out, result;
	struct isa_epcm *secs_e, *e;

	if (!isa_is_aligned(lp->rbx, SGX_PAGE_SIZE))
		return isa_gp();					/* 1 */
	secs_e = isa_epc_resolve(lp, lp->rbx, true, &out);
	if (!secs_e)
		return out;						/* 2 */
	if (!isa_is_aligned(lp->rcx, ISA_CHUNK_SIZE))
		return isa_gp();					/* 3 */
	e = isa_epc_resolve(lp, lp->rcx, false, &out);
	if (!e)
		return out;						/* 4 */
	if (!isa_epcm_try_shared(e))
		return isa_gp();					/* 5 */

	result = eextend_entry(lp, secs_e, e);
	isa_epcm_release_shared(e);
	return result;
}
