/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The instruction decoder: a library that is loaded only when there is something
 * to decode, into programs that may have one of their own.
 */
#include <dlfcn.h>

#include <Zydis/Zydis.h>

#include "decode.h"

#define DECODER_SO "libZydis.so.4.0"

static struct {
	ZydisDecoder decoder;
	ZyanStatus (*decode)(const ZydisDecoder *decoder, ZydisDecoderContext *context,
			     const void *buffer, ZyanUSize length,
			     ZydisDecodedInstruction *instruction);
	ZyanStatus (*operands)(const ZydisDecoder *decoder, const ZydisDecoderContext *context,
			       const ZydisDecodedInstruction *instruction,
			       ZydisDecodedOperand *operands, ZyanU8 nr);
	bool tried, ready;
} zydis;

bool decoder_load(void)
{
	ZyanStatus (*init)(ZydisDecoder *, ZydisMachineMode, ZydisStackWidth);
	void *lib;

	if (zydis.tried)
		return zydis.ready;
	zydis.tried = true;
	lib = dlopen(DECODER_SO, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return false;
	*(void **)&init = dlsym(lib, "ZydisDecoderInit");
	*(void **)&zydis.decode = dlsym(lib, "ZydisDecoderDecodeInstruction");
	*(void **)&zydis.operands = dlsym(lib, "ZydisDecoderDecodeOperands");
	zydis.ready = init && zydis.decode && zydis.operands &&
		      ZYAN_SUCCESS(init(&zydis.decoder, ZYDIS_MACHINE_MODE_LONG_64,
					ZYDIS_STACK_WIDTH_64));
	return zydis.ready;
}

/* Nothing that runs falls through these. */
static bool is_end(const ZydisDecodedInstruction *insn)
{
	return insn->meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
	       insn->meta.category == ZYDIS_CATEGORY_RET ||
	       insn->mnemonic == ZYDIS_MNEMONIC_UD2 || insn->mnemonic == ZYDIS_MNEMONIC_INT3;
}

static bool is_branch(const ZydisDecodedInstruction *insn)
{
	switch (insn->meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_INTERRUPT:
		return true;
	default:
		return insn->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
	}
}

bool decoder_decode(const uint8_t *code, size_t size, struct decoded *out)
{
	ZydisDecodedInstruction insn;

	if (!ZYAN_SUCCESS(zydis.decode(&zydis.decoder, NULL, code, size, &insn)))
		return false;
	*out = (struct decoded){
		.length = insn.length,
		.privileged = insn.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED,
		.end = is_end(&insn),
		.branch = is_branch(&insn),
		.relative = insn.attributes & ZYDIS_ATTRIB_IS_RELATIVE,
	};
	if (out->relative && out->branch)
		out->target = insn.length + insn.raw.imm[0].value.s;
	else if (out->relative && insn.raw.disp.size == 32)
		out->disp_offset = insn.raw.disp.offset;
	return true;
}

/* --- instructions that only compute ------------------------------------------------ */

static bool may_be_plain(const ZydisDecodedInstruction *insn)
{
	switch (insn->meta.category) {
	case ZYDIS_CATEGORY_BINARY:
		return insn->mnemonic != ZYDIS_MNEMONIC_DIV && insn->mnemonic != ZYDIS_MNEMONIC_IDIV;
	case ZYDIS_CATEGORY_FLAGOP:
		return insn->mnemonic == ZYDIS_MNEMONIC_CLC || insn->mnemonic == ZYDIS_MNEMONIC_STC ||
		       insn->mnemonic == ZYDIS_MNEMONIC_CMC || insn->mnemonic == ZYDIS_MNEMONIC_CLD;
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_NOP:
		return true;
	default:
		return false;
	}
}

static bool is_rax(ZydisRegister reg)
{
	return reg == ZYDIS_REGISTER_RAX || reg == ZYDIS_REGISTER_EAX ||
	       reg == ZYDIS_REGISTER_AX || reg == ZYDIS_REGISTER_AH || reg == ZYDIS_REGISTER_AL;
}

/* Zydis numbers general registers and flags without gaps. */
static bool is_plain_register(ZydisRegister reg)
{
	return (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_R15) ||
	       (reg >= ZYDIS_REGISTER_FLAGS && reg <= ZYDIS_REGISTER_RFLAGS);
}

static bool is_plain_operand(const ZydisDecodedOperand *op)
{
	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return true;
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && is_plain_register(op->reg.value) &&
	       !(is_rax(op->reg.value) && (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE));
}

bool decoder_is_plain(const uint8_t *code, size_t size, uint8_t *length)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecoderContext context;
	ZydisDecodedInstruction insn;

	if (!ZYAN_SUCCESS(zydis.decode(&zydis.decoder, &context, code, size, &insn)) ||
	    !may_be_plain(&insn) || (insn.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) ||
	    !ZYAN_SUCCESS(zydis.operands(&zydis.decoder, &context, &insn, operands,
					 insn.operand_count)))
		return false;
	for (unsigned int i = 0; i < insn.operand_count; i++)
		if (!is_plain_operand(&operands[i]))
			return false;
	*length = insn.length;
	return true;
}
