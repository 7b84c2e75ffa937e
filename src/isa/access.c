/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory accesses against the EPC: what the processor lets through after
 * segmentation and paging have allowed them.  The EPCM can only forbid more.
 *
 * Source: SDM volume 3D, "Access-control Requirements", "Segment-based Access
 * Control", "Page-based Access Control".
 */
#include "internal.h"

static uint8_t rights_of(enum isa_access access)
{
	switch (access) {
	case ISA_READ:
		return SECINFO_R;
	case ISA_WRITE:
		return SECINFO_W;
	case ISA_FETCH:
		return SECINFO_X;
	}
	isa_bug();
}

static struct isa_verdict fault(struct isa_outcome out)
{
	return (struct isa_verdict){ .kind = ISA_ACCESS_FAULTS, .fault = out };
}

/* As any leaf's, with what kind of access it was. */
static struct isa_verdict epcm_fault(const struct isa_lp *lp, enum isa_access access, uint64_t la)
{
	struct isa_outcome out = isa_epf(lp, la, access == ISA_WRITE);

	if (out.vector == X86_PF && access == ISA_FETCH)
		out.error_code |= PFEC_I;
	return fault(out);
}

static struct isa_verdict in_elrange(const struct isa_lp *lp, enum isa_access access, uint64_t la,
				     uint64_t frame)
{
	uint8_t rwx;

	if (frame == ISA_NO_FRAME)
		return epcm_fault(lp, access, la);
	rwx = isa_encl_rwx(lp, &lp->m->epcm[frame], la);
	if (!(rwx & rights_of(access)))
		return epcm_fault(lp, access, la);
	return (struct isa_verdict){ .kind = ISA_ACCESS_EPC, .rwx = rwx, .frame = frame };
}

struct isa_verdict isa_access(const struct isa_lp *lp, enum isa_access_by by,
			      enum isa_access access, uint64_t la, uint64_t pa)
{
	const uint64_t frame = isa_find_frame(lp->m, pa);

	if (by == ISA_BY_INSTRUCTION && lp->secs_frame != ISA_NO_FRAME) {
		if (isa_in_elrange(lp, la))
			return in_elrange(lp, access, la, frame);
		if (access == ISA_FETCH)
			return fault(isa_gp());
	}
	return (struct isa_verdict){
		.kind = frame == ISA_NO_FRAME ? ISA_ACCESS_ORDINARY : ISA_ACCESS_ABORTS,
	};
}
