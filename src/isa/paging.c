/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages on their way out: EREMOVE.
 *
 * Trailing numbers count the checks in the order the manual's Operation
 * section has them.
 */
#include "internal.h"

static struct isa_outcome remove_secs(struct isa_machine *m, struct isa_epcm *e)
{
	struct sgx_secs *secs = isa_epc_page(m, e);

	/* Acquire: a child removed elsewhere is gone before its SECS is. */
	if (atomic_load_explicit(&isa_secs_state(secs)->nr_children, memory_order_acquire))
		return isa_zf(SGX_CHILD_PRESENT);			/* 6 */
	isa_secs_forget(m, isa_epcm_frame(m, e));
	isa_epcm_set(e, EPCM_NO_SECS, 0);				/* 8 */
	return isa_ok();
}

/* The SECS may go as soon as its count says so: last access. */
static struct isa_outcome drop_child(struct isa_machine *m, struct isa_epcm *e)
{
	struct sgx_secs *secs = isa_owner(m, e);

	isa_epcm_set(e, EPCM_NO_SECS, 0);
	if (!atomic_fetch_sub_explicit(&isa_secs_state(secs)->nr_children, 1,
				       memory_order_release))
		isa_bug();
	return isa_ok();
}

static struct isa_outcome remove_child(struct isa_machine *m, struct isa_epcm *e)
{
	if (isa_secs_is_active(m, isa_epcm_secs(e)))
		return isa_zf(SGX_ENCLAVE_ACT);				/* 9 */
	return drop_child(m, e);					/* 10 */
}

/* From check 4 on: the page is held exclusively. */
static struct isa_outcome eremove_entry(struct isa_machine *m, struct isa_epcm *e)
{
	const uint64_t word = isa_epcm_word(e);

	if (!(word & EPCM_VALID))
		return isa_ok();					/* 4 */

	switch ((enum sgx_page_type)((word & EPCM_PT_MASK) >> EPCM_PT_SHIFT)) {
	case PT_SECS:
		return remove_secs(m, e);				/* 6-8 */
	case PT_VA:
		isa_epcm_set(e, EPCM_NO_SECS, 0);			/* 5 */
		return isa_ok();
	case PT_TRIM:
		/* The enclave has agreed that nobody uses it. */
		if (!(word & EPCM_MODIFIED))
			return drop_child(m, e);			/* 5 */
		return remove_child(m, e);				/* 9, 10 */
	case PT_REG:
	case PT_TCS:
	case PT_SS_FIRST:
	case PT_SS_REST:
		return remove_child(m, e);				/* 9, 10 */
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
		return isa_gp();					/* 3 */

	out = eremove_entry(lp->m, e);
	isa_epcm_release_exclusive(e);
	return out;
}
