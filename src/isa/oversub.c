/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Oversubscription: what lets a VMM evict the pages of its guests.  It asks who
 * owns a page (ERDINFO), starts tracking without owning the SECS (ETRACKC),
 * reloads without faulting on a conflict (ELDBC, ELDUC), and tells the guest's
 * SECS of children that are out (EINCVIRTCHILD, EDECVIRTCHILD, ESETCONTEXT).
 *
 * In a guest under "EPC virtualization extensions" a conflict is the VMM's to
 * resolve, so it exits to it.
 *
 * Source: SDM volume 3D, "Intel SGX Oversubscription Extensions"; trailing
 * numbers are the checks of each leaf's Operation.
 */
#include "internal.h"

#define RDINFO_ALIGNMENT 32u
#define CONTEXT_ALIGNMENT 8u
#define QUALIFICATION_ERROR_SHIFT 16

/* --- exits ---------------------------------------------------------------- */

static struct isa_outcome conflict_exit(struct isa_lp *lp, uint32_t qualification, uint64_t la,
					uint64_t pa)
{
	lp->vmexit = (struct isa_vmexit){
		.reason = VMX_EXIT_SGX_CONFLICT,
		.qualification = qualification,
		.guest_linear = la,
		.guest_physical = pa,
	};
	return isa_vmexit(VMX_EXIT_SGX_CONFLICT, qualification);
}

struct isa_outcome isa_page_conflict(struct isa_lp *lp, uint64_t la, const struct isa_epcm *e,
				     struct isa_outcome otherwise)
{
	uint32_t qualification = EPC_PAGE_CONFLICT_EXCEPTION;

	if (!isa_has_epc_virtualization(lp))
		return otherwise;
	if (otherwise.kind == ISA_ERROR)
		qualification = EPC_PAGE_CONFLICT_ERROR |
				otherwise.code << QUALIFICATION_ERROR_SHIFT;
	return conflict_exit(lp, qualification, la,
			     isa_machine_pa(lp->m, isa_epcm_frame(lp->m, e)));
}

static struct isa_outcome tracking_conflict(struct isa_lp *lp, enum sgx_conflict code,
					    struct sgx_secs *secs, struct isa_outcome otherwise)
{
	if (!isa_has_epc_virtualization(lp))
		return otherwise;
	return conflict_exit(lp, code, 0, atomic_load(&isa_secs_state(secs)->enclavecontext));
}

/* --- ETRACKC -------------------------------------------------------------- */

struct isa_outcome isa_track(struct isa_lp *lp, uint64_t secs_frame, struct isa_outcome busy)
{
	struct sgx_secs *secs = isa_epc_page(lp->m, &lp->m->epcm[secs_frame]);
	bool begun;

	if (!isa_secs_try_track(secs))
		return tracking_conflict(lp, TRACKING_RESOURCE_CONFLICT, secs, busy);
	begun = isa_secs_track(lp->m, secs_frame);
	isa_secs_release_track(secs);
	return begun ? isa_ok() : tracking_conflict(lp, TRACKING_REFERENCE_CONFLICT, secs,
						    isa_zf(SGX_PREV_TRK_INCMPL));
}

/* The SECS of the enclave that @e belongs to; ISA_NO_FRAME for a VA page.  @e is held. */
static uint64_t enclave_of(const struct isa_machine *m, const struct isa_epcm *e)
{
	if (isa_pt_is_child(isa_epcm_pt(e)))
		return isa_epcm_secs(e);
	return isa_epcm_is_secs(e) ? isa_epcm_frame(m, e) : ISA_NO_FRAME;
}

/* From check 4 on: the page is held shared. */
static struct isa_outcome etrackc_entry(struct isa_lp *lp, const struct isa_epcm *e)
{
	uint64_t secs_frame;

	if (!isa_epcm_is_valid(e))
		return isa_zf(SGX_PG_INVLD);				/* 4 */
	secs_frame = enclave_of(lp->m, e);
	if (secs_frame == ISA_NO_FRAME)
		return isa_cf(SGX_TRACK_NOT_REQUIRED);			/* 5 */
	return isa_track(lp, secs_frame, isa_zf(SGX_EPC_PAGE_CONFLICT)); /* 6-8 */
}

/**
 * isa_etrackc() - ENCLS[ETRACKC]: begin a tracking cycle of the enclave the page at RCX is of.
 * Source: SDM, ETRACKC, Operation.
 */
struct isa_outcome isa_etrackc(struct isa_lp *lp)
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

	out = etrackc_entry(lp, e);
	isa_epcm_release_shared(e);
	return out;
}

/* --- ELDBC, ELDUC ---------------------------------------------------------- */

/**
 * isa_eldbc() - ENCLS[ELDBC]: ELDB that reports conflicts.
 * Source: SDM, ELDB/ELDU/ELDBC/ELDUC, Operation.
 */
struct isa_outcome isa_eldbc(struct isa_lp *lp)
{
	return isa_eld(lp, EPCM_BLOCKED, isa_zf(SGX_EPC_PAGE_CONFLICT));
}

/** isa_elduc() - ENCLS[ELDUC]: ELDU that reports conflicts. */
struct isa_outcome isa_elduc(struct isa_lp *lp)
{
	return isa_eld(lp, 0, isa_zf(SGX_EPC_PAGE_CONFLICT));
}

/* --- ERDINFO --------------------------------------------------------------- */

static void describe_secs(const struct isa_lp *lp, struct sgx_secs *secs, struct sgx_rdinfo *info)
{
	struct isa_secs_state *state = isa_secs_state(secs);
	const bool virt = atomic_load(&state->nr_virt_children);

	if (atomic_load(&state->nr_children))
		info->status |= RDINFO_CHILDPRESENT;
	if (isa_has_epc_virtualization(lp)) {
		if (virt)
			info->status |= RDINFO_CHILDPRESENT;
		return;
	}
	if (virt)
		info->status |= RDINFO_VIRTCHILDPRESENT;
	info->enclavecontext = atomic_load(&state->enclavecontext);
}

/* @e is valid, and held. */
static struct sgx_rdinfo describe(const struct isa_lp *lp, const struct isa_epcm *e)
{
	const uint64_t word = isa_epcm_word(e);
	struct sgx_rdinfo info = {
		.flags = isa_epcm_secinfo(word) | (word & EPCM_BLOCKED ? RDINFO_BLOCKED : 0),
	};

	if (isa_pt_is_child(isa_epcm_pt(e)))
		info.enclavecontext =
			atomic_load(&isa_secs_state(isa_owner(lp->m, e))->enclavecontext);
	else if (isa_epcm_is_secs(e))
		describe_secs(lp, isa_epc_page(lp->m, e), &info);
	return info;
}

/**
 * isa_erdinfo() - ENCLS[ERDINFO]: what the EPC page at RCX is, to the RDINFO at RBX.
 * RDINFO is written only on success.
 * Source: SDM, ERDINFO, Operation.
 */
struct isa_outcome isa_erdinfo(struct isa_lp *lp)
{
	struct sgx_rdinfo info;
	struct isa_outcome out;
	struct isa_epcm *e;
	uint64_t pa;

	if (!isa_is_aligned(lp->rbx, RDINFO_ALIGNMENT))
		return isa_gp();					/* 1 */
	if (!isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 2 */
	if (!lp->mmu->translate(lp->mmu_ctx, lp->rcx, false, &pa, &out))
		return out;
	if (pa == ISA_NO_FRAME || isa_find_frame(lp->m, pa) == ISA_NO_FRAME)
		return isa_cf(SGX_PG_NONEPC);				/* 3 */
	e = &lp->m->epcm[isa_find_frame(lp->m, pa)];
	if (!isa_epcm_try_shared(e))
		return isa_zf(SGX_EPC_PAGE_CONFLICT);			/* 4 */

	out = isa_cf(SGX_PG_INVLD);					/* 5 */
	if (isa_epcm_is_valid(e)) {
		info = describe(lp, e);
		out = isa_ok();
	}
	isa_epcm_release_shared(e);
	if (isa_is_done(out) && !isa_write(lp, lp->rbx, &info, sizeof(info), &out))
		return out;
	return out;
}

/* --- ENCLV ----------------------------------------------------------------- */

/* Never below 0.  False when it would be. */
static bool add_virt_child(struct isa_secs_state *state, int by)
{
	uint64_t n = atomic_load(&state->nr_virt_children);

	do {
		if (by < 0 && !n)
			return false;
	} while (!atomic_compare_exchange_weak(&state->nr_virt_children, &n, n + (uint64_t)by));
	return true;
}

/* From check 5 on: the page at RBX is held shared. */
static struct isa_outcome virtchild_entry(struct isa_lp *lp, const struct isa_epcm *e,
					  const struct isa_epcm *secs_e, int by)
{
	uint64_t parent;

	if (!isa_epcm_is_valid(e))
		return isa_epf(lp, lp->rbx, true);			/* 5 */
	parent = enclave_of(lp->m, e);
	if (parent == ISA_NO_FRAME)
		return isa_epf(lp, lp->rbx, true);			/* 6 */
	if (parent != isa_epcm_frame(lp->m, secs_e))
		return isa_gp();					/* 7 */
	if (!add_virt_child(isa_secs_state(isa_epc_page(lp->m, secs_e)), by))
		return isa_zf(SGX_INVALID_COUNTER);			/* 8 */
	return isa_ok();						/* 9 */
}

static struct isa_outcome virtchild(struct isa_lp *lp, int by)
{
	struct isa_epcm *e, *secs_e;
	struct isa_outcome out;

	if (!isa_is_aligned(lp->rbx, SGX_PAGE_SIZE) || !isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 1 */
	e = isa_epc_resolve(lp, lp->rbx, true, &out);
	if (!e)
		return out;						/* 2 */
	secs_e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!secs_e)
		return out;						/* 3 */
	if (!isa_epcm_try_shared(e))
		return isa_zf(SGX_EPC_PAGE_CONFLICT);			/* 4 */

	out = virtchild_entry(lp, e, secs_e, by);
	isa_epcm_release_shared(e);
	return out;
}

/**
 * isa_edecvirtchild() - ENCLV[EDECVIRTCHILD]: a child of the SECS at RCX is back.
 * Source: SDM, EDECVIRTCHILD, Operation.
 */
struct isa_outcome isa_edecvirtchild(struct isa_lp *lp)
{
	return virtchild(lp, -1);
}

/**
 * isa_eincvirtchild() - ENCLV[EINCVIRTCHILD]: a child of the SECS at RCX goes out.
 * Source: SDM, EINCVIRTCHILD, Operation.
 */
struct isa_outcome isa_eincvirtchild(struct isa_lp *lp)
{
	return virtchild(lp, 1);
}

/**
 * isa_esetcontext() - ENCLV[ESETCONTEXT]: give the SECS at RCX the context at RDX.
 * Source: SDM, ESETCONTEXT, Operation.
 */
struct isa_outcome isa_esetcontext(struct isa_lp *lp)
{
	struct isa_outcome out;
	struct isa_epcm *e;
	uint64_t context;

	if (!isa_is_aligned(lp->rcx, SGX_PAGE_SIZE))
		return isa_gp();					/* 1 */
	e = isa_epc_resolve(lp, lp->rcx, true, &out);
	if (!e)
		return out;						/* 2 */
	if (!isa_is_aligned(lp->rdx, CONTEXT_ALIGNMENT))
		return isa_gp();					/* 3 */
	if (!isa_read(lp, lp->rdx, &context, sizeof(context), &out))
		return out;						/* 4 */
	if (!isa_epcm_try_shared(e))
		return isa_zf(SGX_EPC_PAGE_CONFLICT);			/* 5 */

	out = isa_epf(lp, lp->rcx, true);				/* 6 */
	if (isa_epcm_is_secs(e)) {
		struct sgx_secs *secs = isa_epc_page(lp->m, e);

		atomic_store(&isa_secs_state(secs)->enclavecontext, context);
		out = isa_ok();						/* 7 */
	}
	isa_epcm_release_shared(e);
	return out;
}
