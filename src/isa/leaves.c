/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leaves.def as a table, for whoever shows, traces, injects or counts leaves.
 */
#include "internal.h"

/* The words of the last columns of leaves.def. */
#define DONE ISA_RESULT(ISA_DONE, 0)
#define GP ISA_RESULT(ISA_FAULT, X86_GP)
#define UD ISA_RESULT(ISA_FAULT, X86_UD)
#define PF ISA_RESULT(ISA_FAULT, X86_PF)
#define EPF ISA_RESULT(ISA_FAULT, X86_PF | PFEC_SGX)
#define ZF(code) ISA_RESULT(ISA_ERROR, code)
#define CF(code) ISA_RESULT(ISA_INFO, code)
#define EXIT(code) ISA_RESULT(ISA_VMEXIT, VMX_EXIT_SGX_CONFLICT << 8 | (code))

enum reports { FAULT, STATUS };

#define LEAF(class_, nr, name_, handler, gate_, rbx, rcx, rdx, reports, ...)		\
	{										\
		.class = ISA_##class_,							\
		.number = nr,								\
		.name = #name_,								\
		.gate = #gate_,								\
		.gate_bit = CPUID_12_0_EAX_##gate_,					\
		.operand = { #rbx, #rcx, #rdx },					\
		.reports_status = reports == STATUS,					\
		.results = (const uint32_t[]){ __VA_ARGS__ },				\
		.nr_results = sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t), \
	},

static const struct isa_leaf_info leaves[] = {
#include <swsgx/leaves.def>
};
#undef LEAF

#define NR_LEAVES (sizeof(leaves) / sizeof(leaves[0]))

const struct isa_leaf_info *isa_leaf_at(size_t i)
{
	return i < NR_LEAVES ? &leaves[i] : NULL;
}

const struct isa_leaf_info *isa_leaf_find(const char *name)
{
	for (size_t i = 0; i < NR_LEAVES; i++)
		if (!strcmp(leaves[i].name, name))
			return &leaves[i];
	return NULL;
}

const char *isa_leaf_name(enum isa_class class, uint32_t leaf)
{
	for (size_t i = 0; i < NR_LEAVES; i++)
		if (leaves[i].class == class && leaves[i].number == leaf)
			return leaves[i].name;
	return NULL;
}

const char *isa_class_name(enum isa_class class)
{
	switch (class) {
	case ISA_ENCLS: return "ENCLS";
	case ISA_ENCLU: return "ENCLU";
	case ISA_ENCLV: return "ENCLV";
	}
	return "?";
}
