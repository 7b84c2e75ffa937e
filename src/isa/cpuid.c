/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What CPUID says about SGX: the feature bits of leaf 7 and all of leaf 12H.
 *
 * Source: SDM, CPUID; volume 3D, "Enumeration of SGX".
 */
#include "internal.h"

#define LEAF_SGX 0x12u
#define SUBLEAF_EPC 2u		/* the first section's */

/* Bits 31:12 of an address or size go to one register, 51:32 to the next. */
static uint32_t low_half(uint64_t x)
{
	return (uint32_t)(x & 0xfffff000);
}

static uint32_t high_half(uint64_t x)
{
	return (uint32_t)(x >> 32 & 0xfffff);
}

static struct isa_cpuid section(const struct isa_machine *m, uint32_t i)
{
	const struct isa_section *s;
	uint64_t size;

	if (i >= m->config.nr_sections)
		return (struct isa_cpuid){ 0 };		/* type 0: the end */
	s = &m->sections[i];
	size = s->nr_pages << SGX_PAGE_SHIFT;
	return (struct isa_cpuid){
		.eax = low_half(s->pa) | CPUID_12_EAX_TYPE_EPC,
		.ebx = high_half(s->pa),
		.ecx = low_half(size) | CPUID_12_ECX_CONFIDENTIAL_INTEGRAL,
		.edx = high_half(size),
	};
}

static struct isa_cpuid leaf_sgx(const struct isa_machine *m, uint32_t subleaf)
{
	const struct isa_profile *p = m->config.profile;

	switch (subleaf) {
	case 0:
		return (struct isa_cpuid){
			.eax = p->cpuid_12_0_eax,
			.ebx = p->miscselect,
			.edx = (uint32_t)p->max_size_64 << 8 | p->max_size_32,
		};
	case 1:
		return (struct isa_cpuid){
			.eax = (uint32_t)p->attributes,
			.ebx = (uint32_t)(p->attributes >> 32),
			.ecx = (uint32_t)m->xfrm,
			.edx = (uint32_t)(m->xfrm >> 32),
		};
	default:
		return section(m, subleaf - SUBLEAF_EPC);
	}
}

static uint32_t with(uint32_t reg, uint32_t bit, bool set)
{
	return set ? reg | bit : reg & ~bit;
}

void isa_cpuid(const struct isa_machine *m, uint32_t leaf, uint32_t subleaf, struct isa_cpuid *regs)
{
	if (leaf == 0) {
		if (regs->eax < LEAF_SGX)
			regs->eax = LEAF_SGX;
	} else if (leaf == 7 && subleaf == 0) {
		regs->ebx |= CPUID_7_0_EBX_SGX;
		regs->ecx = with(regs->ecx, CPUID_7_0_ECX_SGX_LC,
				 m->config.profile->launch_control);
		regs->edx &= ~CPUID_7_0_EDX_SGX_KEYS;
	} else if (leaf == LEAF_SGX) {
		*regs = leaf_sgx(m, subleaf);
	}
}
