/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Instructions that are #UD inside an enclave, and of which the processor says
 * #GP to an ordinary program: INT n, I/O, RDPMC, and what loads or stores system
 * registers.
 *
 * Source: SDM volume 3D, "Illegal Instructions inside an enclave".
 */
#include "client.h"

static bool is_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:	/* segment */
	case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3:
		return true;
	default:
		return (byte & 0xf0) == 0x40;					/* REX */
	}
}

/* Opcodes behind 0x0f. */
static bool is_illegal_two_byte(uint8_t opcode, uint8_t modrm)
{
	const unsigned int reg = modrm >> 3 & 7;

	switch (opcode) {
	case 0x00:			/* SLDT, STR */
		return reg < 2;
	case 0x01:			/* SGDT, SIDT, SMSW; not XGETBV and its like */
		return reg == 4 || (reg < 2 && modrm < 0xc0);
	case 0x33:			/* RDPMC */
	case 0x37:			/* GETSEC */
	case 0xb2: case 0xb4: case 0xb5: /* LSS, LFS, LGS */
	case 0xa1: case 0xa9:		/* POP FS, POP GS */
		return true;
	default:
		return false;
	}
}

static bool is_illegal_one_byte(uint8_t opcode)
{
	switch (opcode) {
	case 0x6c: case 0x6d: case 0x6e: case 0x6f:	/* INS, OUTS */
	case 0xe4: case 0xe5: case 0xe6: case 0xe7:	/* IN, OUT */
	case 0xec: case 0xed: case 0xee: case 0xef:
	case 0x8e:					/* MOV to a segment register */
	case 0xca: case 0xcb:				/* far RET */
	case 0xcd:					/* INT n */
	case 0xcf:					/* IRET */
		return true;
	default:
		return false;
	}
}

bool client_is_illegal_inside(const uint8_t *code, size_t size)
{
	size_t i = 0;

	while (i < size && is_prefix(code[i]))
		i++;
	if (i == size)
		return false;
	if (code[i] != 0x0f)
		return is_illegal_one_byte(code[i]);
	return size - i >= 3 && is_illegal_two_byte(code[i + 1], code[i + 2]);
}
