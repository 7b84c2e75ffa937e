/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A debugger's view of a debug enclave: EDBGRD and EDBGWR, 8 bytes at a time in
 * 64-bit mode and 4 otherwise.
 *
 * Trailing numbers count the checks in the order the manual's Operation
 * section has them.
 */
#include "entry.h"
#include "internal.h"

/* What there is of a TCS without CET. */
#define TCS_LIMIT offsetof(struct sgx_tcs, ocetssa)

/* Bits 2:0 of a version do not tell whether its slot is in use. */
#define VA_SLOT_VERSION (~7ull)

static bool is_wide(const struct isa_lp *lp)
{
	return !(lp->mode & ISA_MODE_32);
}

static bool pt_has_data(enum sgx_page_type pt)
{
	return pt == PT_REG || pt == PT_TCS || pt == PT_SS_FIRST || pt == PT_SS_REST;
}

/* A TCS shows its fields to a debugger, who may change only FLAGS, either half. */
static bool tcs_offset_is_legal(uint64_t offset, bool write)
{
	return write ? (offset & ~7ull) == offsetof(struct sgx_tcs, flags) : offset < TCS_LIMIT;
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

static void write_data(const struct isa_lp *lp, void *data)
{
	if (is_wide(lp))
		put64(data, lp->rbx);
	else
		put32(data, (uint32_t)lp->rbx);
}

/* Of a version only whether there is one: all ones or zeros. */
static void read_data(struct isa_lp *lp, const void *data, bool is_version)
{
	const uint64_t ones = is_wide(lp) ? UINT64_MAX : UINT32_MAX;

	lp->rbx = is_wide(lp) ? fetch64(data) : fetch32(data);
	if (is_version)
		lp->rbx = lp->rbx & VA_SLOT_VERSION ? ones : 0;
}

static void transfer(struct isa_lp *lp, const struct isa_epcm *e, bool write)
{
	uint8_t *page = isa_epc_page(lp->m, e);
	void *data = page + (lp->rcx & ~SGX_PAGE_MASK);

	if (write)
		write_data(lp, data);
	else
		read_data(lp, data, isa_epcm_pt(e) == PT_VA);
	/* Who is inside a TCS is nobody's business. */
	if (isa_epcm_pt(e) == PT_TCS && data < (void *)(page + sizeof(uint64_t)))
		lp->rbx &= data == page ? ISA_TCS_ACTIVE : 0;
}

static struct isa_outcome access_page(struct isa_lp *lp, bool write)
{
	struct isa_outcome out;
	struct isa_epcm *e;

	if (!isa_is_aligned(lp->rcx, is_wide(lp) ? sizeof(uint64_t) : sizeof(uint32_t)))
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
 * isa_edbgrd() - ENCLS[EDBGRD]: read 8 bytes (4) of a debug enclave, or whether a
 * slot of a VA page is in use, into RBX (EBX).
 * Source: SDM, EDBGRD, Operation.
 */
struct isa_outcome isa_edbgrd(struct isa_lp *lp)
{
	return access_page(lp, false);
}

/**
 * isa_edbgwr() - ENCLS[EDBGWR]: write RBX (EBX) to a debug enclave.
 * Source: SDM, EDBGWR, Operation.
 */
struct isa_outcome isa_edbgwr(struct isa_lp *lp)
{
	return access_page(lp, true);
}
