/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an EPC page is used for and that it stops being used: EPA, EBLOCK,
 * ETRACK and EREMOVE.  EWB and its reversal are in evict.c.
 *
 * Trailing numbers count the checks in the order the manual's Operation
 * section has them.
 */
#include "internal.h"

/* --- EPA ------------------------------------------------------------------ */

/**
 * isa_epa() - ENCLS[EPA]: make a version array of the page at RCX.
 * Source: SDM, EPA, Operation.
 */
struct isa_outcome isa_epa(struct isa_lp *lp)
{
	struct isa_outcome out = isa_ok();
	struct isa_epcm *e;

	if (lp->rbx != PT_VA || !isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 1 */
	e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!e)
		return out;						/* 2 */
	if (!isa_epcm_try_exclusive(e))
		return isa_page_conflict(lp, lp->rcx, e, isa_gp());	/* 3 */
	if (isa_epcm_is_valid(e)) {
		out = isa_epf(lp, lp->rcx, true);			/* 4 */
	} else {
		memset(isa_epc_page(lp->m, e), 0, SGX_PAGE_SIZE);
		isa_epcm_set(e, EPCM_NO_SECS, EPCM_VALID | EPCM_PT(PT_VA));
	}
	isa_epcm_release_exclusive(e);
	return out;
}

/* --- EBLOCK --------------------------------------------------------------- */

/*
 * Steps 7 and 8.  BLOCKED first: whoever enters once the epoch is read loads no
 * translation of the page any more.
 */
static struct isa_outcome block(struct isa_machine *m, struct isa_epcm *e)
{
	struct sgx_secs *secs = isa_owner(m, e);

	if (isa_secs_is_tracking(secs))
		return isa_zf(SGX_ENTRYEPOCH_LOCKED);
	if (atomic_fetch_or(&e->word, EPCM_BLOCKED) & EPCM_BLOCKED)
		return isa_cf(SGX_BLKSTATE);				/* 7 */
	isa_epcm_stamp(e, isa_secs_epoch(secs));			/* 8 */
	return isa_ok();
}

/* From check 4 on: the page is held shared. */
static struct isa_outcome eblock_entry(struct isa_machine *m, struct isa_epcm *e)
{
	if (!isa_epcm_is_valid(e))
		return isa_zf(SGX_PG_INVLD);				/* 4 */
	if (isa_epcm_pt(e) == PT_SECS)
		return isa_cf(SGX_PG_IS_SECS);				/* 5 */
	if (!isa_pt_is_child(isa_epcm_pt(e)))
		return isa_cf(SGX_NOTBLOCKABLE);			/* 6 */
	return block(m, e);						/* 7, 8 */
}

/**
 * isa_eblock() - ENCLS[EBLOCK]: no new translations to the page at RCX.
 * Source: SDM, EBLOCK, Operation.
 */
struct isa_outcome isa_eblock(struct isa_lp *lp)
{
	struct isa_outcome out;
	struct isa_epcm *e;

	if (!isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 1 */
	e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!e)
		return out;						/* 2 */
	if (!isa_epcm_try_shared(e))
		return isa_zf(SGX_EPC_PAGE_CONFLICT);			/* 3 */

	out = eblock_entry(lp->m, e);
	isa_epcm_release_shared(e);
	return out;
}

/* --- ETRACK --------------------------------------------------------------- */

/* From check 4 on: the SECS is held shared. */
static struct isa_outcome etrack_entry(struct isa_lp *lp, struct isa_epcm *e)
{
	if (!isa_epcm_is_secs(e))
		return isa_epf(lp, lp->rcx, true);			/* 4, 5 */
	return isa_track(lp, isa_epcm_frame(lp->m, e), isa_gp());	/* 3, 6, 7 */
}

/**
 * isa_etrack() - ENCLS[ETRACK]: begin a tracking cycle of the enclave at RCX.
 * Source: SDM, ETRACK, Operation.
 */
struct isa_outcome isa_etrack(struct isa_lp *lp)
{
	struct isa_outcome out;
	struct isa_epcm *e;

	if (!isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 1 */
	e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!e)
		return out;						/* 2 */
	if (!isa_epcm_try_shared(e))
		return isa_gp();					/* 3 */

	out = etrack_entry(lp, e);
	isa_epcm_release_shared(e);
	return out;
}

/* --- EREMOVE -------------------------------------------------------------- */

static struct isa_outcome remove_secs(const struct isa_lp *lp, struct isa_epcm *e)
{
	struct isa_machine *m = lp->m;

	if (isa_has_children(lp, isa_epc_page(m, e)))
		return isa_zf(SGX_CHILD_PRESENT);			/* 6, 7 */
	isa_secs_forget(m, isa_epcm_frame(m, e));
	isa_epcm_set(e, EPCM_NO_SECS, 0);				/* 8 */
	return isa_ok();
}

/* 10, and 5 for what the enclave has given up itself. */
static struct isa_outcome remove_child(struct isa_machine *m, struct isa_epcm *e)
{
	const uint32_t owner = isa_epcm_secs(e);

	isa_epcm_set(e, EPCM_NO_SECS, 0);
	isa_secs_drop_child(m, owner);
	return isa_ok();
}

static struct isa_outcome remove_inactive_child(struct isa_machine *m, struct isa_epcm *e)
{
	if (isa_secs_is_active(m, isa_epcm_secs(e)))
		return isa_zf(SGX_ENCLAVE_ACT);				/* 9 */
	return remove_child(m, e);					/* 10 */
}

/* From check 4 on: the page is held exclusively. */
static struct isa_outcome eremove_entry(const struct isa_lp *lp, struct isa_epcm *e)
{
	struct isa_machine *m = lp->m;
	const uint64_t word = isa_epcm_word(e);

	if (!(word & EPCM_VALID))
		return isa_ok();					/* 4 */

	switch ((enum sgx_page_type)((word & EPCM_PT_MASK) >> EPCM_PT_SHIFT)) {
	case PT_VA:
		isa_epcm_set(e, EPCM_NO_SECS, 0);			/* 5 */
		return isa_ok();
	case PT_SECS:
		return remove_secs(lp, e);				/* 6-8 */
	case PT_TRIM:
		if (!(word & EPCM_MODIFIED))
			return remove_child(m, e);			/* 5 */
		return remove_inactive_child(m, e);			/* 9, 10 */
	case PT_REG:
	case PT_TCS:
	case PT_SS_FIRST:
	case PT_SS_REST:
		return remove_inactive_child(m, e);			/* 9, 10 */
	}
	isa_bug();
}

/**
 * isa_eremove() - ENCLS[EREMOVE]: free the EPC page at RCX.
 * Source: SDM, EREMOVE, Operation.
 */
struct isa_outcome isa_eremove(struct isa_lp *lp)
{
	struct isa_outcome out;
	struct isa_epcm *e;

	if (!isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 1 */
	e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!e)
		return out;						/* 2 */
	if (!isa_epcm_try_exclusive(e))
		return isa_page_conflict(lp, lp->rcx, e, isa_gp());	/* 3 */

	out = eremove_entry(lp, e);
	isa_epcm_release_exclusive(e);
	return out;
}
