/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What only a processor can do, and `swsgx run` therefore does not: for guests,
 * and real SGX.  The counterpart of test-deviations.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "enclave.h"

/* Instructions are put here: executable, and unused by the enclave's own code. */
#define SCRATCH_OFFSET (ENCL_DATA_OFFSET - 64)

static struct test_encl encl;
static volatile uint32_t ran;

static void expect_fault(struct test_op *op, uint16_t vector)
{
	struct sgx_enclave_run run = { 0 };

	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, op, &run), 0);
	assert_int_equal(run.function, ENCLU_ERESUME);
	assert_int_equal(run.exception_vector, vector);
}

static void enclave_memory_is_an_abort_page_outside(void **state)
{
	volatile uint8_t *probe = encl.base + ENCL_PROBE_OFFSET;
	struct test_op put = { .kind = OP_WRITE, .addr = (uintptr_t)probe, .value = 0xa5 };
	struct test_op get = { .kind = OP_READ, .addr = (uintptr_t)probe };

	test_enter(&encl, 0, &put);
	assert_int_equal(*probe, 0xff);
	*probe = 0x5a;
	test_enter(&encl, 0, &get);
	assert_int_equal(get.result, 0xa5);
}

static void jump_to_host_code_faults_before_it_runs(void **state)
{
	static const uint8_t head[] = { 0x48, 0xb9 }, tail[] = { 0xff, 0x01, 0x0f, 0x0b };
	const uint64_t target = (uintptr_t)&ran;	/* mov $ran,%rcx; incl (%rcx); ud2 */
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct test_op op = { .kind = OP_JUMP, .addr = (uintptr_t)code };

	memcpy(code, head, sizeof(head));
	memcpy(code + 2, &target, sizeof(target));
	memcpy(code + 10, tail, sizeof(tail));
	assert_int_equal(mprotect(code, 4096, PROT_READ | PROT_EXEC), 0);
	ran = 0;
	expect_fault(&op, VECTOR_GP);
	assert_int_equal(ran, 0);
	munmap(code, 4096);
}

/* Build an enclave with @insn, and jump there. */
static void expect_insn(const uint8_t *insn, size_t n, uint16_t vector)
{
	struct test_op op = { .kind = OP_JUMP };

	test_encl_prepare(&encl, &(struct test_config){ .nr_ssa = 2 });
	memset(encl.image + SCRATCH_OFFSET, 0x90, 64);
	memcpy(encl.image + SCRATCH_OFFSET, insn, n);
	assert_int_equal(test_encl_open(&encl), 0);
	assert_int_equal(test_encl_create(&encl), 0);
	assert_int_equal(test_encl_add(&encl), 0);
	test_encl_sign(&encl);
	assert_int_equal(test_encl_init(&encl), 0);
	assert_int_equal(test_encl_map(&encl), 0);
	op.addr = (uintptr_t)encl.base + SCRATCH_OFFSET;
	expect_fault(&op, vector);
	test_encl_free(&encl);
}

struct insn {
	const char *name;
	uint8_t n, bytes[15];
};

#define INSN(name, ...) { name, sizeof((uint8_t[]){ __VA_ARGS__ }), { __VA_ARGS__ } }

static const struct insn illegal[] = {
	INSN("cpuid", 0x0f, 0xa2),
	INSN("cpuid with prefixes", 0x66, 0x2e, 0x48, 0x0f, 0xa2),
	INSN("rdpmc", 0x0f, 0x33),
	INSN("getsec", 0x0f, 0x37),
	INSN("sgdt", 0x0f, 0x01, 0x04, 0x24),
	INSN("sidt", 0x0f, 0x01, 0x0c, 0x24),
	INSN("sldt", 0x0f, 0x00, 0xc0),
	INSN("str", 0x0f, 0x00, 0xc8),
	INSN("smsw", 0x0f, 0x01, 0xe0),
	INSN("smsw to memory", 0x0f, 0x01, 0x24, 0x24),
	INSN("vmcall", 0x0f, 0x01, 0xc1),
	INSN("vmfunc", 0x0f, 0x01, 0xd4),
	INSN("in", 0xe4, 0x80),
	INSN("out", 0xee),
	INSN("in from dx", 0xec),
	INSN("ins", 0x6c),
	INSN("outs", 0x6f),
	INSN("far call", 0xff, 0x1c, 0x24),
	INSN("far jmp", 0x48, 0xff, 0x2c, 0x24),
	INSN("far ret", 0xcb),
	INSN("int 0x80", 0xcd, 0x80),
	INSN("iretq", 0x48, 0xcf),
	INSN("mov ds", 0x8e, 0xd8),
	INSN("pop fs", 0x0f, 0xa1),
	INSN("pop gs", 0x0f, 0xa9),
	INSN("lss", 0x0f, 0xb2, 0x04, 0x24),
	INSN("lfs", 0x0f, 0xb4, 0x04, 0x24),
	INSN("lgs", 0x0f, 0xb5, 0x04, 0x24),
	INSN("syscall", 0x0f, 0x05),
	INSN("sysenter", 0x0f, 0x34),
};

/* Behind each that is legal, HLT: #GP at CPL 3. */
static const struct insn legal[] = {
	INSN("pause", 0xf3, 0x90, 0xf4),
	INSN("rdrand", 0x0f, 0xc7, 0xf0, 0xf4),
	INSN("rdtsc, as SGX2 has it", 0x0f, 0x31, 0xf4),
	INSN("near jmp", 0xeb, 0x00, 0xf4),
	INSN("pushf, set TF, popf", 0x9c, 0x81, 0x0c, 0x24, 0x00, 0x01, 0x00, 0x00, 0x9d, 0x90, 0xf4),
};

static void illegal_instructions_raise_ud(void **state)
{
	for (size_t i = 0; i < sizeof(illegal) / sizeof(illegal[0]); i++) {
		print_message("# %s\n", illegal[i].name);
		expect_insn(illegal[i].bytes, illegal[i].n, VECTOR_UD);
	}
}

static void others_run(void **state)
{
	for (size_t i = 0; i < sizeof(legal) / sizeof(legal[0]); i++) {
		print_message("# %s\n", legal[i].name);
		expect_insn(legal[i].bytes, legal[i].n, VECTOR_GP);
	}
}

/* XGETBV; UD2 when it says what XFRM of this enclave is, else HLT. */
static void xcr0_inside_is_xfrm(void **state)
{
	static const uint8_t insn[] = {
		0x31, 0xc9, 0x0f, 0x01, 0xd0, 0x83, 0xf8, XFRM_X87_SSE, 0x75, 0x02, 0x0f, 0x0b, 0xf4,
	};

	expect_insn(insn, sizeof(insn), VECTOR_UD);
}

static int build(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ .nr_ssa = 2 });
}

static int give_back(void **state)
{
	test_encl_free(&encl);
	return 0;
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, build, give_back)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(enclave_memory_is_an_abort_page_outside),
		EACH(jump_to_host_code_faults_before_it_runs),
		cmocka_unit_test(illegal_instructions_raise_ud),
		cmocka_unit_test(others_run),
		cmocka_unit_test(xcr0_inside_is_xfrm),
	};

	return cmocka_run_group_tests_name("hardware", tests, NULL, NULL);
}
