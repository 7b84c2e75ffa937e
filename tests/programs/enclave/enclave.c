/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The test enclave does what its caller asks, faults included.  It trusts the
 * caller entirely, as no real enclave may.
 */
#include <stddef.h>
#include <stdint.h>

#include "op.h"

#define ENCLU_EREPORT 0
#define ENCLU_EGETKEY 1
#define ENCLU_EVERIFYREPORT2 8
#define ENCLU_EDECCSSA 9

/* Set by the linker script. */
extern char encl_probe[] __attribute__((visibility("hidden")));

void enclave_op(struct test_op *op);

static uint64_t stored;

/* Operands of ENCLU leaves lie in the enclave, with the leaves' alignments. */
static uint8_t operand_a[512] __attribute__((aligned(512)));
static uint8_t operand_b[512] __attribute__((aligned(512)));
static uint8_t operand_c[512] __attribute__((aligned(512)));

static void copy(void *to, const void *from, size_t len)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

static void *host(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static void divide(void)
{
	__asm__ volatile("xor %%edx, %%edx\n\t"
			 "xor %%ecx, %%ecx\n\t"
			 "mov $1, %%eax\n\t"
			 "div %%ecx" : : : "eax", "ecx", "edx", "cc");
}

static void non_canonical(void)
{
	__asm__ volatile("movabs $0x8000000000000000, %%rax\n\t"
			 "movb (%%rax), %%al" : : : "rax", "memory");
}

/* Other threads of the enclave may sweep the same pages. */
static void sweep(struct test_op *op)
{
	const uint64_t end = op->addr + op->value * 4096;
	uint64_t sum = 0, at;

	for (at = op->addr; at < end; at += 4096)
		sum += __atomic_add_fetch((uint64_t *)host(at), 1, __ATOMIC_RELAXED);
	op->result = sum;
}

static void scatter(struct test_op *op)
{
	for (uint64_t i = 0; i < op->value; i++) {
		op->result = op->result * 6364136223846793005ull + 1;
		++*(volatile uint64_t *)host(op->addr + (op->result >> 33) % op->addr2 * 4096);
	}
}

static void spin(struct test_op *op)
{
	op->started = 1;
	while (!op->flag)
		__asm__ volatile("pause");
}

static void no_syscall(struct test_op *op)
{
	uint64_t rax = 39; /* getpid */

	__asm__ volatile("syscall" : "+a"(rax) : : "rcx", "r11", "memory");
	op->result = rax;
}

static void no_cpuid(struct test_op *op)
{
	uint32_t eax = 0, ebx, ecx = 0, edx;

	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	op->result = eax;
}

static void bases(struct test_op *op)
{
	uint64_t fs, gs;

	__asm__ volatile("wrfsbase %2\n\t"
			 "wrgsbase %2\n\t"
			 "notb encl_probe(%%rip)\n\t"
			 "rdfsbase %0\n\t"
			 "rdgsbase %1" : "=&r"(fs), "=&r"(gs) : "r"(op->value) : "memory", "cc");
	op->result = fs;
	op->result2 = gs;
}

static void ereport(struct test_op *op)
{
	copy(operand_a, host(op->addr), 512);
	copy(operand_b, host(op->value), 64);
	__asm__ volatile("enclu" : : "a"(ENCLU_EREPORT), "b"(operand_a), "c"(operand_b),
			 "d"(operand_c) : "memory", "cc");
	copy(host(op->addr2), operand_c, 432);
}

static void egetkey(struct test_op *op)
{
	uint64_t rax = ENCLU_EGETKEY;
	uint8_t zf;

	copy(operand_a, host(op->addr), 512);
	for (unsigned int i = 0; i < 16; i++)
		*(volatile uint8_t *)&operand_b[i] = 0;
	__asm__ volatile("enclu\n\t"
			 "setz %1" : "+a"(rax), "=&q"(zf) : "b"(operand_a), "c"(operand_b)
			 : "memory", "cc");
	copy(host(op->addr2), operand_b, 16);
	op->result = rax;
	op->result2 = zf;
}

static void everifyreport2(struct test_op *op)
{
	uint64_t rax = ENCLU_EVERIFYREPORT2;
	uint8_t zf;

	copy(operand_a, host(op->addr), 256);
	__asm__ volatile("enclu\n\t"
			 "setz %1" : "+a"(rax), "=&q"(zf) : "b"(operand_a) : "memory", "cc");
	op->result = rax;
	op->result2 = zf;
}

static void edeccssa(void)
{
	__asm__ volatile("enclu" : : "a"(ENCLU_EDECCSSA) : "memory");
}

/* The control word, and MXCSR below, unmask division by zero. */
static void x87_divide(void)
{
	static const uint16_t control = 0x37b;

	__asm__ volatile("fldcw %0; fldz; fld1; fdivp; fwait" : : "m"(control));
}

static void sse_divide(void)
{
	static const uint32_t mxcsr = 0x1d80;
	static const float one = 1, zero = 0;

	__asm__ volatile("ldmxcsr %0; movss %1, %%xmm0; divss %2, %%xmm0"
			 : : "m"(mxcsr), "m"(one), "m"(zero));
}

static void unaligned(void)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
			 "pushfq\n\t"
			 "orq $0x40000, (%%rsp)\n\t"
			 "popfq\n\t"
			 "mov 1(%%rsp), %%rax\n\t"
			 "lea 128(%%rsp), %%rsp" : : : "rax", "cc", "memory");
}

static void get_random(struct test_op *op)
{
	uint64_t value;
	uint8_t carry;

	__asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=q"(carry) : : "cc");
	op->result = value;
	op->result2 = carry;
}

static void fault(struct test_op *op)
{
	switch (op->kind) {
	case OP_COPY_UD2:
		copy(host(op->addr2), host(op->addr), op->value);
		__asm__ volatile("ud2");
		break;
	case OP_X87_DIVIDE:
		x87_divide();
		break;
	case OP_SSE_DIVIDE:
		sse_divide();
		break;
	case OP_UNALIGNED:
		unaligned();
		break;
	case OP_DIVIDE:
		divide();
		break;
	case OP_UD2:
		__asm__ volatile("ud2");
		break;
	case OP_NON_CANONICAL:
		non_canonical();
		break;
	case OP_INT3:
		__asm__ volatile("int3");
		break;
	case OP_SYSCALL:
		no_syscall(op);
		break;
	case OP_CPUID:
		no_cpuid(op);
		break;
	case OP_CALL:
		((void (*)(struct test_op *))host(op->addr))(op);
		break;
	case OP_CALL2:
		((void (*)(struct test_op *))host(op->value))(op);
		break;
	case OP_JUMP:
		__asm__ volatile("jmp *%0" : : "r"(op->addr));
		break;
	default:
		break;
	}
}

/**
 * enclave_op() - do one operation; entry.S has those that set registers.
 * @op: in the program's memory.
 */
void enclave_op(struct test_op *op)
{
	switch (op->kind) {
	case OP_PUT:
		*(volatile uint64_t *)&stored = op->value;
		break;
	case OP_GET:
		op->result = *(volatile uint64_t *)&stored;
		break;
	case OP_READ:
		op->result = *(volatile uint8_t *)host(op->addr);
		break;
	case OP_WRITE:
		*(volatile uint8_t *)host(op->addr) = (uint8_t)op->value;
		break;
	case OP_SWEEP:
		sweep(op);
		break;
	case OP_SCATTER:
		scatter(op);
		break;
	case OP_SPIN:
		spin(op);
		break;
	case OP_COMPUTE:
		op->started = 1;
		op->result = op_compute(op->value);
		break;
	case OP_BASES:
		bases(op);
		break;
	case OP_EREPORT:
		ereport(op);
		break;
	case OP_EGETKEY:
		egetkey(op);
		break;
	case OP_EVERIFYREPORT2:
		everifyreport2(op);
		break;
	case OP_EDECCSSA:
		edeccssa();
		break;
	case OP_COPY:
		copy(host(op->addr2), host(op->addr), op->value);
		break;
	case OP_RDRAND:
		get_random(op);
		break;
	default:
		fault(op);
		break;
	}
}
