/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A debugger's view of a debug enclave: EDBGRD and EDBGWR, 8 bytes at a time as
 * in 64-bit mode.
 *
 * Trailing numbers count the checks in the order the manual's Operation
 * section has them.
 */
#include "entry.h"
#include "internal.h"

#define WIDTH sizeof(uint64_t)

/* What there is of a TCS without CET. */
#define TCS_LIMIT offsetof(struct sgx_tcs, ocetssa)

/* Bits 2:0 of a version do not tell whether its slot is in use. */
#define VA_SLOT_VERSION (~7ull)

static bool pt_has_data(enum sgx_page_type pt)
{
	return pt == PT_REG || pt == PT_TCS || pt == PT_SS_FIRST || pt == PT_SS_REST;
}

/* A TCS shows its fields to a debugger, who may change only FLAGS. */
static bool tcs_offset_is_legal(uint64_t offset, bool write)
{
	return write ? offset == offsetof(struct sgx_tcs, flags) : offset < TCS_LIMIT;
}

/* Checks 4-8, on an entry held shared. */
static struct isa_outcome check_entry(const struct isa_lp *lp, const struct isa_epcm *e,
				      bool write)
{
	const enum sgx_page_type pt = isa_epcm_pt(e);

	if (!isa_epcm_is_valid(e))
		return isa_epf(lp, lp->rcx, write);			/* 4 */
	if (!pt_has_data(pt) && (write || pt != PT_VA))
		return isa_epf(lp, lp->rcx, write);			/* 5 */
	if (isa_epcm_word(e) & (EPCM_PENDING | EPCM_MODIFIED))
		return isa_zf(SGX_PAGE_NOT_DEBUGGABLE);			/* 6 */
	if (pt == PT_TCS && !tcs_offset_is_legal(lp->rcx & ~SGX_PAGE_MASK, write))
		return isa_gp();					/* 7 */
	if (pt != PT_VA && !(isa_owner(lp->m, e)->attributes.flags & ATTR_DEBUG))
		return isa_gp();					/* 8 */
	return isa_ok();
}

static void transfer(struct isa_lp *lp, const struct isa_epcm *e, bool write)
{
	uint8_t *page = isa_epc_page(lp->m, e);
	uint64_t *data = (void *)(page + (lp->rcx & ~SGX_PAGE_MASK));

	if (write) {
		put64(data, lp->rbx);
		return;
	}
	lp->rbx = fetch64(data);
	if (isa_epcm_pt(e) == PT_VA)
		lp->rbx = lp->rbx & VA_SLOT_VERSION ? UINT64_MAX : 0;
}

static struct isa_outcome access_page(struct isa_lp *lp, bool write)
{
	struct isa_outcome out;
	struct isa_epcm *e;

	if (!isa_is_aligned(lp->rcx, WIDTH))
		return isa_gp();					/* 1 */
	e = isa_epc_resolve(lp, lp->rcx, write, &out);
	if (!e)
		return out;						/* 2 */
	if (!isa_epcm_try_shared(e))
		return isa_gp();					/* 3 */

	out = check_entry(lp, e, write);
	if (isa_is_done(out))
		transfer(lp, e, write);
	isa_epcm_release_shared(e);
	return out;
}

/**
 * isa_edbgrd() - ENCLS[EDBGRD]: read 8 bytes of a debug enclave, or whether a
 * slot of a VA page is in use, into RBX.
 * Source: SDM, EDBGRD, Operation.
 */
struct isa_outcome isa_edbgrd(struct isa_lp *lp)
{
	return access_page(lp, false);
}

/**
 * isa_edbgwr() - ENCLS[EDBGWR]: write RBX to a debug enclave.
 * Source: SDM, EDBGWR, Operation.
 */
struct isa_outcome isa_edbgwr(struct isa_lp *lp)
{
	return access_page(lp, true);
}
