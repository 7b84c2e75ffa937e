/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What test programs ask of the test enclave, and where things lie in it.
 * Shared by the enclave's C, its assembly and the programs.
 */
#ifndef TEST_ENCLAVE_OP_H
#define TEST_ENCLAVE_OP_H

/* The flat image: code, data, a page that is read-only, a page to fault on. */
#define ENCL_CODE_OFFSET 0x0000
#define ENCL_DATA_OFFSET 0x3000
#define ENCL_RODATA_OFFSET 0x5000
#define ENCL_PROBE_OFFSET 0x6000
#define ENCL_IMAGE_SIZE 0x7000

/*
 * One block a thread, made at run time: a stack page for each SSA frame below
 * the TCS, and the frames above it.
 */
#define ENCL_THREAD_OFFSET 0x7000
#define ENCL_THREAD_SIZE 0x8000
#define ENCL_THREAD_TCS 0x4000
#define ENCL_THREAD_SSA 0x5000
#define ENCL_MAX_SSA 3

/* In place of an operation: leave at once, by an ENCLU that is not replaced */
#define OP_LEAVE_BY_TRAP 1

/* Kinds of operation */
#define OP_NOP 0
#define OP_PUT 1		/* value into enclave memory */
#define OP_GET 2		/* result out of it */
#define OP_DIVIDE 3		/* #DE */
#define OP_UD2 4		/* #UD */
#define OP_NON_CANONICAL 5	/* #GP */
#define OP_READ 6		/* result = the byte at addr */
#define OP_WRITE 7		/* the byte at addr = value */
#define OP_INT3 8		/* #BP */
#define OP_SPIN 9		/* started = 1, then until flag */
#define OP_JUMP 10		/* to addr */
#define OP_SYSCALL 11		/* getpid(), which must not happen */
#define OP_CPUID 12		/* #UD */
#define OP_COMPUTE 13		/* result = value rounds of a fixed recurrence */
#define OP_BASES 14		/* FS and GS base = value, touch the probe, read them */
#define OP_EREPORT 15		/* addr: TARGETINFO, value: REPORTDATA, addr2: REPORT */
#define OP_EGETKEY 16		/* addr: KEYREQUEST, addr2: key; result RAX, result2 ZF */
#define OP_REGS_PROBE 17	/* set all GPRs, touch the probe, report them */
#define OP_REGS_SPIN 18		/* set all GPRs, count down from value, report them */
#define OP_XMM_PROBE 19
#define OP_XMM_SPIN 20
#define OP_YMM_PROBE 21
#define OP_YMM_SPIN 22
#define OP_EXIT_REGS 23		/* leave with all GPRs but RAX, RBX, RSP, RBP set */

#define OP_SWEEP 24		/* count on each of value pages from addr on; result = the sum */
#define OP_EVERIFYREPORT2 25	/* addr: REPORTMACSTRUCT; result RAX, result2 ZF */
#define OP_EDECCSSA 26
#define OP_SCATTER 29		/* value times, count on one of addr2 pages from addr on, drawn from
				 * result, which moves on */
#define OP_CALL2 28		/* the code at value, likewise */
#define OP_CALL 27		/* the code at addr, as a C function of the operation */

/* What runtimes do inside */
#define OP_COPY 40		/* value bytes from addr to addr2, either may be inside */
#define OP_COPY_UD2 41		/* the same, then #UD */
#define OP_X87_DIVIDE 42	/* #MF */
#define OP_SSE_DIVIDE 43	/* #XM */
#define OP_UNALIGNED 44		/* #AC */
#define OP_RDRAND 45		/* result, result2: the carry flag */

/* Offsets in struct test_op for the assembly; asserted below */
#define OP_KIND 0
#define OP_VALUE 16
#define OP_RESULT2 32
#define OP_ENTRY 64
#define OP_SET 208
#define OP_GOT 344
#define OP_PAD 480
#define OP_VEC_SET 512
#define OP_VEC_GOT 1024

/* Indices into entry, set and got, in the order of GPRSGX */
#define R_RAX 0
#define R_RCX 1
#define R_RDX 2
#define R_RBX 3
#define R_RSP 4
#define R_RBP 5
#define R_RSI 6
#define R_RDI 7
#define R_R8 8
#define R_R9 9
#define R_R10 10
#define R_R11 11
#define R_R12 12
#define R_R13 13
#define R_R14 14
#define R_R15 15
#define R_RFLAGS 16
#define NR_REGS 17
#define R_FSBASE 16
#define R_GSBASE 17
#define NR_ENTRY 18

#ifndef __ASSEMBLER__
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct test_op - one operation, in the program's memory, its address in RDI.
 * @entry: general registers and FS and GS bases as the enclave found them.
 * @set: what the operations that set registers put into them.
 * @got: what was in them afterwards.
 * @pad: the four x87 registers of random code.
 * @vec_set: likewise for vector registers, 16 or 32 bytes of each.
 */
struct test_op {
	uint64_t kind;
	uint64_t addr;
	uint64_t value;
	uint64_t result;
	uint64_t result2;
	volatile uint64_t flag;
	volatile uint64_t started;
	uint64_t addr2;
	uint64_t entry[NR_ENTRY];
	uint64_t set[NR_REGS];
	uint64_t got[NR_REGS];
	uint64_t pad[4];
	uint8_t vec_set[16][32];
	uint8_t vec_got[16][32];
};

static_assert(offsetof(struct test_op, value) == OP_VALUE, "OP_VALUE");
static_assert(offsetof(struct test_op, result2) == OP_RESULT2, "OP_RESULT2");
static_assert(offsetof(struct test_op, entry) == OP_ENTRY, "OP_ENTRY");
static_assert(offsetof(struct test_op, set) == OP_SET, "OP_SET");
static_assert(offsetof(struct test_op, got) == OP_GOT, "OP_GOT");
static_assert(offsetof(struct test_op, pad) == OP_PAD, "OP_PAD");
static_assert(offsetof(struct test_op, vec_set) == OP_VEC_SET, "OP_VEC_SET");
static_assert(offsetof(struct test_op, vec_got) == OP_VEC_GOT, "OP_VEC_GOT");

/* The recurrence of OP_COMPUTE; the program runs it too, to compare. */
static inline uint64_t op_compute(uint64_t rounds)
{
	uint64_t x = 88172645463325252ull;

	for (uint64_t i = 0; i < rounds; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x;
}
#endif /* __ASSEMBLER__ */

#endif /* TEST_ENCLAVE_OP_H */
