/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Extended state inside an enclave, where XCR0 is its XFRM, and CPUID is #UD.
 * XFRM is 3 or 7, as the argument says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "enclave.h"

#define FILL 0xaa
#define XFRM_AVX 0x4ull
#define HEADER 512
#define HEADER_END 576
#define YMM_END 832
#define COMPACT (1ull << 63)
#define GPRSGX_RIP (PAGE_SIZE - 184 + 136)

static uint64_t xfrm;
static struct test_encl encl;

/* Functions of a struct test_op in RDI, each aligned to 64. */
__asm__(".pushsection .rodata\n"
	".balign 64\n"
	"code_begin:\n"
	"0:	xor %ecx, %ecx\n"
	"	xgetbv\n"
	"	mov %eax, 24(%rdi)\n"
	"	mov %edx, 32(%rdi)\n"
	"	ret\n"
	".balign 64, 0x90\n"
	"	mov 8(%rdi), %rsi\n"		/* 1: XSAVE */
	"	mov $-1, %eax\n"
	"	mov $-1, %edx\n"
	"	xsave (%rsi)\n"
	"	ret\n"
	".balign 64, 0x90\n"
	"	push %r12\n"
	"	push %r13\n"
	"	mov 8(%rdi), %r12\n"		/* 2: XSAVE64, with every kind of operand */
	"	mov $-1, %eax\n"
	"	mov $-1, %edx\n"
	"	mov $16, %r13d\n"
	"	sub $0x100, %r12\n"
	"	xsave64 0x80(%r12,%r13,8)\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	ret\n"
	".balign 64, 0x90\n"
	"	mov 8(%rdi), %rsi\n"		/* 3: XSAVEC64 */
	"	mov $-1, %eax\n"
	"	mov $-1, %edx\n"
	"	xsavec64 (%rsi)\n"
	"	ret\n"
	".balign 64, 0x90\n"
	"	mov 8(%rdi), %rsi\n"		/* 4: XSAVEOPT */
	"	mov $-1, %eax\n"
	"	mov $-1, %edx\n"
	"	xsaveopt (%rsi)\n"
	"	ret\n"
	".balign 64, 0x90\n"
	"	mov 8(%rdi), %rsi\n"		/* 5: XRSTOR64 */
	"	mov $-1, %eax\n"
	"	mov $-1, %edx\n"
	"	xrstor64 (%rsi)\n"
	"	ret\n"
	".balign 64, 0x90\n"
	"	mov 8(%rdi), %rsi\n"		/* 6: vector registers through XSAVE and XRSTOR */
	"	movups 512(%rdi), %xmm7\n"
	"	mov $-1, %eax\n"
	"	mov $-1, %edx\n"
	"	xsave64 (%rsi)\n"
	"	xorps %xmm7, %xmm7\n"
	"	xrstor64 (%rsi)\n"
	"	movups %xmm7, 1024(%rdi)\n"
	"	ret\n"
	".balign 64, 0x90\n"
	"	mov 8(%rdi), %rsi\n"		/* 7: the same with AVX and XSAVEC */
	"	vmovups 512(%rdi), %ymm7\n"
	"	mov $-1, %eax\n"
	"	mov $-1, %edx\n"
	"	xsavec64 (%rsi)\n"
	"	vxorps %ymm7, %ymm7, %ymm7\n"
	"	xrstor64 (%rsi)\n"
	"	vmovups %ymm7, 1024(%rdi)\n"
	"	vzeroupper\n"
	"	ret\n"
	".balign 64, 0x90\n"
	"	push %rbx\n"			/* 8: CPUID */
	"	xor %eax, %eax\n"
	"	xor %ecx, %ecx\n"
	"	cpuid\n"
	"	mov %eax, 24(%rdi)\n"
	"	pop %rbx\n"
	"	ret\n"
	".balign 64, 0x90\n"
	"	mov $0x26ae0fa2, %eax\n"	/* 9: bytes that are no instructions */
	"	movabs $0x0fd0010fa20f90c3, %rcx\n"
	"	mov %eax, 24(%rdi)\n"
	"	mov %rcx, 32(%rdi)\n"
	"	ret\n"
	".balign 64, 0x90\n"
	"code_end:\n"
	".popsection\n");
extern const uint8_t code_begin[], code_end[];

enum function {
	XGETBV, XSAVE, XSAVE64, XSAVEC64, XSAVEOPT, XRSTOR64, THROUGH_SSE, THROUGH_AVX, CPUID,
	CONSTANTS,
};

static uint8_t *heap(void)
{
	return encl.base + encl.heap_offset;
}

/* The operation that calls @f with @addr. */
static struct test_op op_of(enum function f, const void *addr)
{
	/* The address is read from the same place that the enclave jumps to. */
	return (struct test_op){
		.kind = OP_CALL2,
		.addr = (uintptr_t)addr,
		.value = (uintptr_t)encl.base + encl.code_offset + 64 * (unsigned int)f,
	};
}

static struct test_op call(enum function f, const void *addr)
{
	struct test_op op = op_of(f, addr);

	test_enter(&encl, 0, &op);
	return op;
}

static void call_faults(enum function f, const void *addr, unsigned int vector,
			struct sgx_enclave_run *run)
{
	struct test_op op = op_of(f, addr);

	*run = (struct sgx_enclave_run){ 0 };
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, run), 0);
	assert_int_equal(run->function, ENCLU_ERESUME);
	assert_int_equal(run->exception_vector, vector);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void xgetbv_says_xfrm(void **state)
{
	const struct test_op op = call(XGETBV, NULL);

	assert_int_equal(op.result, xfrm);
	assert_int_equal(op.result2, 0);
}

/* @f writes an area at the start of the heap, and nothing behind its size. */
static void writes_at_most_xfrm(enum function f)
{
	const size_t size = xfrm & XFRM_AVX ? YMM_END : HEADER_END;

	memset(heap(), FILL, 4 * PAGE_SIZE);
	memset(heap() + HEADER, 0, 64);
	call(f, heap());
	assert_int_equal(get64(heap() + HEADER) & ~xfrm, 0);
	for (size_t i = size; i < 4 * PAGE_SIZE; i++)
		assert_int_equal(heap()[i], FILL);
	for (size_t i = HEADER + 16; i < HEADER_END; i++)
		assert_int_equal(heap()[i], 0);
}

static void xsave_writes_what_xfrm_has(void **state)
{
	writes_at_most_xfrm(XSAVE);
	writes_at_most_xfrm(XSAVE64);
	writes_at_most_xfrm(XSAVEOPT);
	/* What the manual leaves alone: bytes for software. */
	assert_int_equal(heap()[416], FILL);
	assert_int_equal(heap()[HEADER - 1], FILL);
}

static void xsavec_writes_what_xfrm_has(void **state)
{
	writes_at_most_xfrm(XSAVEC64);
	assert_int_equal(get64(heap() + HEADER + 8), COMPACT | xfrm);
}

static void xsave_keeps_bits_it_was_not_asked_for(void **state)
{
	memset(heap(), 0, PAGE_SIZE);
	heap()[HEADER + 1] = 1;
	call(XSAVE, heap());
	assert_int_equal(get64(heap() + HEADER) & ~xfrm, 0x100);
}

static void through(enum function f, size_t size)
{
	struct test_op op = op_of(f, heap());

	for (size_t i = 0; i < sizeof(op.vec_set[0]); i++)
		op.vec_set[0][i] = (uint8_t)(i * 7 + 1);
	memset(heap(), 0, PAGE_SIZE);
	test_enter(&encl, 0, &op);
	assert_memory_equal(op.vec_got[0], op.vec_set[0], size);
}

static void sse_state_comes_back(void **state)
{
	through(THROUGH_SSE, 16);
}

static void avx_state_comes_back(void **state)
{
	if (xfrm & XFRM_AVX)
		through(THROUGH_AVX, 32);
}

/* Across a page's end, too. */
static void an_area_may_straddle_pages(void **state)
{
	memset(heap(), FILL, 2 * PAGE_SIZE);
	memset(heap() + PAGE_SIZE - 64 + HEADER, 0, 64);
	call(XSAVE64, heap() + PAGE_SIZE - 64);
	assert_int_equal(heap()[PAGE_SIZE - 65], FILL);
	assert_int_equal(get64(heap() + PAGE_SIZE - 64) & 0xffff, 0x37f);
	call(XRSTOR64, heap() + PAGE_SIZE - 64);
}

static void memory_outside_is_an_area_as_well(void **state)
{
	static uint8_t area[PAGE_SIZE] __attribute__((aligned(64)));

	memset(area, FILL, sizeof(area));
	memset(area + HEADER, 0, 64);
	call(XSAVE, area);
	assert_int_equal(get64(area) & 0xffff, 0x37f);
	assert_int_equal(area[YMM_END], FILL);
}

static void xrstor_refuses_state_outside_xfrm(void **state)
{
	struct sgx_enclave_run run;

	memset(heap(), 0, PAGE_SIZE);
	heap()[25] = 0x1f;
	heap()[24] = 0x80;
	heap()[HEADER] = 0x20;
	call_faults(XRSTOR64, heap(), VECTOR_GP, &run);
}

static void misaligned_area_is_gp(void **state)
{
	struct sgx_enclave_run run;

	call_faults(XSAVE, heap() + 16, VECTOR_GP, &run);
}

static void area_that_is_read_only_is_pf(void **state)
{
	struct sgx_enclave_run run;

	call_faults(XSAVE, encl.base + ENCL_RODATA_OFFSET, VECTOR_PF, &run);
	assert_int_equal(run.exception_addr, (uintptr_t)encl.base + ENCL_RODATA_OFFSET);
	assert_int_equal(run.exception_error_code & PF_W, PF_W);
}

static void area_that_is_nowhere_is_pf(void **state)
{
	struct sgx_enclave_run run;

	call_faults(XSAVE, (void *)0x40, VECTOR_PF, &run);
	assert_int_equal(run.exception_addr, 0);
}

static uint64_t rip_saved(void)
{
	return get64(encl.base + ENCL_THREAD_OFFSET + ENCL_THREAD_SSA + GPRSGX_RIP);
}

/* What the enclave reads at @addr, entered again after a fault. */
static uint8_t byte_at(uint64_t addr)
{
	struct test_op op = { .kind = OP_READ, .addr = addr };

	test_enter(&encl, 0, &op);
	return (uint8_t)op.result;
}

static void cpuid_is_ud_and_looks_like_cpuid(void **state)
{
	struct sgx_enclave_run run;

	for (unsigned int i = 0; i < 2; i++) {
		if (!i)
			call_faults(CPUID, NULL, VECTOR_UD, &run);
		else
			assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_ERESUME, NULL,
						   &run), 0);
		assert_int_equal(run.exception_vector, VECTOR_UD);
		assert_int_equal(byte_at(rip_saved()), 0x0f);
		assert_int_equal(byte_at(rip_saved() + 1), 0xa2);
	}
}

/* As a library OS does: RAX of the frame, and RIP behind the instruction. */
static void cpuid_is_emulated_by_the_enclave(void **state)
{
	uint8_t *gprsgx = encl.base + ENCL_THREAD_OFFSET + ENCL_THREAD_SSA + PAGE_SIZE - 184;
	struct test_op op = op_of(CPUID, NULL);
	struct sgx_enclave_run run = { 0 };
	const uint64_t rax = 77;
	uint64_t rip;

	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, &op, &run), 0);
	assert_int_equal(run.exception_vector, VECTOR_UD);
	rip = rip_saved() + 2;
	memcpy(gprsgx, &rax, sizeof(rax));
	memcpy(gprsgx + 136, &rip, sizeof(rip));
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_ERESUME, NULL, &run), 0);
	assert_int_equal(run.function, ENCLU_EEXIT);
	assert_int_equal(op.result, 77);
	call_faults(CPUID, NULL, VECTOR_UD, &run);
}

static void constants_stay(void **state)
{
	const struct test_op op = call(CONSTANTS, NULL);

	assert_int_equal(op.result, 0x26ae0fa2);
	assert_int_equal(op.result2, 0x0fd0010fa20f90c3);
}

static int build(void **state)
{
	return test_encl_build(&encl, &(struct test_config){
					      .heap_pages = 4,
					      .xfrm = xfrm,
					      .code = code_begin,
					      .code_size = (size_t)(code_end - code_begin),
				      });
}

static int give_back(void **state)
{
	test_encl_free(&encl);
	return 0;
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, build, give_back)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		EACH(xgetbv_says_xfrm),
		EACH(xsave_writes_what_xfrm_has),
		EACH(xsavec_writes_what_xfrm_has),
		EACH(xsave_keeps_bits_it_was_not_asked_for),
		EACH(sse_state_comes_back),
		EACH(avx_state_comes_back),
		EACH(an_area_may_straddle_pages),
		EACH(memory_outside_is_an_area_as_well),
		EACH(xrstor_refuses_state_outside_xfrm),
		EACH(misaligned_area_is_gp),
		EACH(area_that_is_read_only_is_pf),
		EACH(area_that_is_nowhere_is_pf),
		EACH(cpuid_is_ud_and_looks_like_cpuid),
		EACH(cpuid_is_emulated_by_the_enclave),
		EACH(constants_stay),
	};

	xfrm = argc > 1 ? strtoull(argv[1], NULL, 0) : XFRM_X87_SSE;
	return cmocka_run_group_tests_name("extended", tests, NULL, NULL);
}
