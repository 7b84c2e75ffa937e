/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a linear address to an EPC page: what every leaf does with its operands
 * before it does anything else.
 */
#include "internal.h"

__attribute__((cold))
struct isa_outcome isa_epf(const struct isa_lp *lp, uint64_t la, bool write)
{
	if (!(lp->m->config.profile->cpuid_12_0_eax & CPUID_12_0_EAX_SGX2))
		return isa_gp();
	return (struct isa_outcome){
		.kind = ISA_FAULT,
		.vector = X86_PF,
		.error_code = PFEC_P | PFEC_SGX | (write ? PFEC_W : 0u) |
			      (lp->cpl == 3 ? PFEC_U : 0u),
		.address = la,
	};
}

bool isa_is_zero(const void *p, size_t n)
{
	const uint8_t *bytes = p;

	/* All bytes equal their neighbour and the first one is 0. */
	return !n || (!bytes[0] && !memcmp(bytes, bytes + 1, n - 1));
}

bool isa_in_elrange(const struct isa_lp *lp, uint64_t la)
{
	const struct sgx_secs *secs = isa_epc_page(lp->m, &lp->m->epcm[lp->secs_frame]);

	return la - secs->baseaddr < secs->size;
}

uint8_t isa_encl_rwx(const struct isa_lp *lp, const struct isa_epcm *e, uint64_t la)
{
	const uint64_t good = (la & SGX_PAGE_MASK) | EPCM_VALID | EPCM_PT(PT_REG);
	const uint64_t free = EPCM_RWX(SECINFO_RWX) | EPCM_PR;
	uint64_t word;
	uint32_t secs;

	/* The owner that goes with the word: the page may be changing hands. */
	do {
		word = isa_epcm_word(e);
		secs = isa_epcm_secs(e);
		atomic_thread_fence(memory_order_acquire);
	} while (word != isa_epcm_word(e));

	if ((word & ~free) != good || secs != lp->secs_frame)
		return 0;						/* c-e */
	return (uint8_t)(word >> EPCM_RWX_SHIFT & SECINFO_RWX);
}

bool isa_encl_may_access(const struct isa_lp *lp, const struct isa_epcm *e, uint64_t la,
			 uint64_t perm)
{
	return isa_encl_rwx(lp, e, la) & perm;
}

void isa_encl_read(const struct isa_lp *lp, const struct isa_epcm *e, uint64_t la, void *dst,
		   size_t n)
{
	const uint8_t *page = isa_epc_page(lp->m, e);

	memcpy(dst, page + (la & ~SGX_PAGE_MASK), n);
}

void *isa_encl_operand(struct isa_lp *lp, uint64_t la, uint64_t perm, struct isa_outcome *out)
{
	const bool write = perm == SECINFO_W;
	struct isa_epcm *e;

	if (!isa_in_elrange(lp, la)) {
		*out = isa_gp();					/* a */
		return NULL;
	}
	e = isa_epc_resolve(lp, la, write, out);
	if (!e)
		return NULL;						/* b */
	if (!isa_encl_may_access(lp, e, la, perm)) {
		*out = isa_epf(lp, la, write);
		return NULL;
	}
	return (uint8_t *)isa_epc_page(lp->m, e) + (la & ~SGX_PAGE_MASK);
}
