/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Outcomes in the manual's words, for traces and messages.
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

static const char *exit_name(uint32_t number)
{
	switch (number >> 8) {
	case VMX_EXIT_ENCLS: return "exit ENCLS";
	case VMX_EXIT_ENCLV: return "exit ENCLV";
	}
	switch ((enum sgx_conflict)(number & 0xff)) {
	case TRACKING_RESOURCE_CONFLICT: return "exit TRACKING_RESOURCE_CONFLICT";
	case TRACKING_REFERENCE_CONFLICT: return "exit TRACKING_REFERENCE_CONFLICT";
	case EPC_PAGE_CONFLICT_EXCEPTION: return "exit EPC_PAGE_CONFLICT_EXCEPTION";
	case EPC_PAGE_CONFLICT_ERROR: return "exit EPC_PAGE_CONFLICT_ERROR";
	}
	return "?";
}

uint32_t isa_result(struct isa_outcome out)
{
	switch (out.kind) {
	case ISA_DONE:
		return ISA_RESULT(ISA_DONE, 0);
	case ISA_ERROR:
	case ISA_INFO:
		return ISA_RESULT(out.kind, out.code);
	case ISA_FAULT:
		if (out.vector == X86_PF)
			return ISA_RESULT(ISA_FAULT, X86_PF | (out.error_code & PFEC_SGX));
		return ISA_RESULT(ISA_FAULT, out.vector);
	case ISA_VMEXIT:
		return ISA_RESULT(ISA_VMEXIT, (uint32_t)out.vector << 8 | (out.code & 0xff));
	}
	isa_bug();
}

const char *isa_result_name(uint32_t result)
{
	const uint32_t number = result & 0xffff;

	switch (isa_result_kind(result)) {
	case ISA_DONE:
		return "done";
	case ISA_ERROR:
	case ISA_INFO:
		return isa_error_name(number);
	case ISA_FAULT:
		return number & PFEC_SGX ? "#PF(SGX)" : isa_vector_name((uint8_t)number);
	case ISA_VMEXIT:
		return exit_name(number);
	}
	return "?";
}
