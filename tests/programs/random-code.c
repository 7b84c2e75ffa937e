/* SPDX-License-Identifier: BSD-3-Clause */
#include "random-code.h"

#include <string.h>

#include "enclave/op.h"

#define RSP 4
#define RDI 7
#define MAX_INSN 24

struct writer {
	uint8_t *at;
	uint64_t seed;
	bool avx;
};

static uint32_t draw(struct writer *w, uint32_t n)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return (uint32_t)(w->seed >> 32) % n;
}

static void put(struct writer *w, const void *bytes, size_t n)
{
	memcpy(w->at, bytes, n);
	w->at += n;
}

static void put32(struct writer *w, uint32_t value)
{
	put(w, &value, sizeof(value));
}

#define PUT(w, ...) put(w, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* op r64, r/m64 with two registers. */
static void put_rr(struct writer *w, uint8_t opcode, unsigned int reg, unsigned int rm)
{
	PUT(w, 0x48 | (reg >> 3) << 2 | rm >> 3, opcode, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* mov between a register and a field of the operation, which RDI points to. */
static void put_field(struct writer *w, uint8_t opcode, unsigned int reg, uint32_t offset)
{
	PUT(w, 0x48 | (reg >> 3) << 2, opcode, 0x80 | (reg & 7) << 3 | RDI);
	put32(w, offset);
}

/* The same for a vector register: movups or vmovups. */
static void put_vec_field(struct writer *w, uint8_t opcode, unsigned int reg, uint32_t offset)
{
	if (w->avx)
		PUT(w, 0xc5, (reg & 8 ? 0x7c : 0xfc), opcode);
	else if (reg & 8)
		PUT(w, 0x44, 0x0f, opcode);
	else
		PUT(w, 0x0f, opcode);
	PUT(w, 0x80 | (reg & 7) << 3 | RDI);
	put32(w, offset);
}

static void put_prologue(struct writer *w)
{
	/* push rbx, rbp, r12 to r15, rdi; the counter */
	PUT(w, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x57);
	PUT(w, 0xff, 0x77, OP_VALUE);
	/* fninit; fldpi; fldl2e; fldln2; fld1 */
	PUT(w, 0xdb, 0xe3, 0xd9, 0xeb, 0xd9, 0xea, 0xd9, 0xed, 0xd9, 0xe8);
	for (unsigned int i = 0; i < 16; i++)
		put_vec_field(w, 0x10, i, OP_VEC_SET + 32 * i);
	/* push the flags; popfq */
	PUT(w, 0xff, 0xb7);
	put32(w, OP_SET + 8 * R_RFLAGS);
	PUT(w, 0x9d);
	for (unsigned int i = 0; i < 16; i++)
		if (i != RSP && i != RDI)
			put_field(w, 0x8b, i, OP_SET + 8 * i);
	put_field(w, 0x8b, RDI, OP_SET + 8 * RDI);
}

static void put_epilogue(struct writer *w)
{
	/* push rdi; mov 16(%rsp), %rdi: moves change no flag */
	PUT(w, 0x57, 0x48, 0x8b, 0x7c, 0x24, 0x10);
	for (unsigned int i = 0; i < 16; i++)
		if (i != RSP && i != RDI)
			put_field(w, 0x89, i, OP_GOT + 8 * i);
	/* popq the old rdi; pushfq; popq */
	PUT(w, 0x8f, 0x87);
	put32(w, OP_GOT + 8 * RDI);
	PUT(w, 0x9c, 0x8f, 0x87);
	put32(w, OP_GOT + 8 * R_RFLAGS);
	for (unsigned int i = 0; i < 16; i++)
		put_vec_field(w, 0x11, i, OP_VEC_GOT + 32 * i);
	for (unsigned int i = 0; i < 4; i++) {	/* fstpl */
		PUT(w, 0xdd, 0x9f);
		put32(w, OP_PAD + 8 * i);
	}
	if (w->avx)
		PUT(w, 0xc5, 0xf8, 0x77);	/* vzeroupper */
	PUT(w, 0x48, 0x83, 0xc4, 0x10);		/* add $16, %rsp */
	PUT(w, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

/* Any but RSP. */
static unsigned int draw_reg(struct writer *w)
{
	const unsigned int reg = draw(w, 15);

	return reg < RSP ? reg : reg + 1;
}

static void put_general(struct writer *w)
{
	static const uint8_t alu[] = { 0x03, 0x0b, 0x13, 0x1b, 0x23, 0x2b, 0x33, 0x3b, 0x8b, 0x85 };
	/* none that looks at OF */
	static const uint8_t conditions[] = { 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
	const unsigned int a = draw_reg(w), b = draw_reg(w);
	const uint8_t cc = conditions[draw(w, sizeof(conditions))];

	switch (draw(w, 8)) {
	case 0:					/* imul b, a; test a, a */
		PUT(w, 0x48 | (a >> 3) << 2 | b >> 3, 0x0f, 0xaf, 0xc0 | (a & 7) << 3 | (b & 7));
		put_rr(w, 0x85, a, a);
		break;
	case 1:					/* rol $n, a */
		PUT(w, 0x48 | a >> 3, 0xc1, 0xc0 | (a & 7), 1 + draw(w, 63));
		break;
	case 2:					/* cmovcc b, a */
		PUT(w, 0x48 | (a >> 3) << 2 | b >> 3, 0x0f, 0x40 | cc,
		    0xc0 | (a & 7) << 3 | (b & 7));
		break;
	case 3:					/* setcc a */
		PUT(w, 0x40 | a >> 3, 0x0f, 0x90 | cc, 0xc0 | (a & 7));
		break;
	case 4:					/* lea n(a, b), a */
		PUT(w, 0x48 | (a >> 3) << 2 | (b >> 3) << 1 | a >> 3, 0x8d,
		    0x84 | (a & 7) << 3, (b & 7) << 3 | (a & 7));
		put32(w, draw(w, UINT32_MAX));
		break;
	case 5:					/* bswap a */
		PUT(w, 0x48 | a >> 3, 0x0f, 0xc8 | (a & 7));
		break;
	default:
		put_rr(w, alu[draw(w, sizeof(alu))], a, b);
		break;
	}
}

/* On the stack: a push and a pop, or a store below it and a load. */
static void put_stack(struct writer *w)
{
	const unsigned int a = draw_reg(w), b = draw_reg(w);
	const uint8_t below = (uint8_t)-(8 + 8 * draw(w, 15));

	if (draw(w, 2)) {
		PUT(w, 0x40 | a >> 3, 0x50 | (a & 7));
		put_general(w);
		PUT(w, 0x40 | b >> 3, 0x58 | (b & 7));
		return;
	}
	PUT(w, 0x48 | (a >> 3) << 2, 0x89, 0x44 | (a & 7) << 3, 0x24, below);
	put_general(w);
	PUT(w, 0x48 | (b >> 3) << 2, 0x8b, 0x44 | (b & 7) << 3, 0x24, below);
}

static void put_vector(struct writer *w)
{
	/* paddb, paddd, paddq, psubd, pxor, pmuludq, punpcklbw, por */
	static const uint8_t opcodes[] = { 0xfc, 0xfe, 0xd4, 0xfa, 0xef, 0xf4, 0x60, 0xeb };
	const uint8_t opcode = opcodes[draw(w, sizeof(opcodes))];
	const unsigned int a = draw(w, 16), b = draw(w, 16), c = draw(w, 16);

	if (w->avx)
		PUT(w, 0xc4, (a & 8 ? 0 : 0x80) | 0x40 | (b & 8 ? 0 : 0x20) | 1,
		    (~c & 15) << 3 | 4 | 1, opcode);
	else
		PUT(w, 0x66, 0x40 | (a >> 3) << 2 | b >> 3, 0x0f, opcode);
	PUT(w, 0xc0 | (a & 7) << 3 | (b & 7));
}

/* Between both kinds: movq, and a conversion. */
static void put_mixed(struct writer *w)
{
	const unsigned int a = draw_reg(w), v = draw(w, 16);

	switch (draw(w, 3)) {
	case 0:					/* movq v, a */
		PUT(w, 0x66, 0x48 | (v >> 3) << 2 | a >> 3, 0x0f, 0x7e,
		    0xc0 | (v & 7) << 3 | (a & 7));
		break;
	case 1:					/* pinsrw $n, a, v: keeps the rest of it */
		PUT(w, 0x66, 0x40 | (v >> 3) << 2 | a >> 3, 0x0f, 0xc4,
		    0xc0 | (v & 7) << 3 | (a & 7), (uint8_t)draw(w, 8));
		break;
	default:				/* cvtsi2sd a, v */
		PUT(w, 0xf2, 0x48 | (v >> 3) << 2 | a >> 3, 0x0f, 0x2a,
		    0xc0 | (v & 7) << 3 | (a & 7));
		break;
	}
}

static void put_x87(struct writer *w)
{
	const uint8_t i = 1 + (uint8_t)draw(w, 3);

	switch (draw(w, 4)) {
	case 0:
		PUT(w, 0xd9, 0xc8 | i);		/* fxch */
		break;
	case 1:
		PUT(w, 0xd9, 0xe0);		/* fchs */
		break;
	default:				/* fadd; fsin: it stays small */
		PUT(w, 0xd8, 0xc0 | i, 0xd9, 0xfe);
		break;
	}
}

static void put_random(struct writer *w)
{
	const uint32_t kind = draw(w, 64);

	if (kind == 0)
		put_x87(w);
	else if (kind < 6)
		put_mixed(w);
	else if (kind < 12)
		put_stack(w);
	else if (kind < 30)
		put_vector(w);
	else
		put_general(w);
}

size_t random_code(uint8_t *code, size_t size, unsigned int nr_insns, bool avx, uint64_t seed)
{
	struct writer w = { code, seed, avx };
	const uint8_t *loop;

	if (size < 1200 + (size_t)nr_insns * MAX_INSN / 4)
		return 0;
	put_prologue(&w);
	loop = w.at;
	for (unsigned int i = 0; i < nr_insns; i++) {
		if ((size_t)(w.at - code) + 600 > size)
			return 0;
		put_random(&w);
	}
	PUT(&w, 0x48, 0xff, 0x0c, 0x24);	/* decq (%rsp) */
	PUT(&w, 0x0f, 0x85);			/* jnz */
	put32(&w, (uint32_t)(loop - (w.at + 4)));
	put_epilogue(&w);
	return (size_t)(w.at - code);
}
