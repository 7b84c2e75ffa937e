/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Outcomes and leaves in the manual's words, for traces and messages.
 */
#include "internal.h"

const char *isa_error_name(uint32_t code)
{
	switch (code) {
#define ERR(name, value) case value: return #name;
#include <swsgx/errors.def>
#undef ERR
	}
	return "?";
}

const char *isa_vector_name(uint8_t vector)
{
	switch (vector) {
	case X86_DE: return "#DE";
	case X86_DB: return "#DB";
	case X86_BP: return "#BP";
	case X86_BR: return "#BR";
	case X86_UD: return "#UD";
	case X86_NM: return "#NM";
	case X86_SS: return "#SS";
	case X86_GP: return "#GP";
	case X86_PF: return "#PF";
	case X86_MF: return "#MF";
	case X86_AC: return "#AC";
	case X86_XM: return "#XM";
	case X86_CP: return "#CP";
	}
	return "?";
}

const char *isa_leaf_name(enum isa_class class, uint32_t leaf)
{
#define LEAF(class_, nr, name, ...)				\
	if (class == ISA_##class_ && leaf == (nr))		\
		return #name;
#include <swsgx/leaves.def>
#undef LEAF
	return NULL;
}
