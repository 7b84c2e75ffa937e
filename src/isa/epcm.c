/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The EPCM as seen from outside the architecture: a leak ledger, a debugger
 * and the entry code want to know what an entry says without running a leaf.
 */
#include "internal.h"

struct isa_epcm_info isa_epcm_peek(const struct isa_machine *m, uint64_t frame)
{
	const struct isa_epcm *e = &m->epcm[frame];
	uint64_t word = isa_epcm_word(e);
	uint32_t secs = isa_epcm_secs(e);

	return (struct isa_epcm_info){
		.valid = word & EPCM_VALID,
		.pt = (word & EPCM_PT_MASK) >> EPCM_PT_SHIFT,
		.rwx = (word >> EPCM_RWX_SHIFT) & SECINFO_RWX,
		.blocked = word & EPCM_BLOCKED,
		.pending = word & EPCM_PENDING,
		.modified = word & EPCM_MODIFIED,
		.pr = word & EPCM_PR,
		.enclaveaddress = word & SGX_PAGE_MASK,
		.secs_frame = secs == EPCM_NO_SECS ? ISA_NO_FRAME : secs,
	};
}
