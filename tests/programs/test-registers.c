/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What EENTER and EEXIT do to the registers, entered by the vDSO and by a bare
 * ENCLU.
 *
 * Source: SDM volume 3D, "EENTER" and "EEXIT", Operation; Linux
 * arch/x86/entry/vdso/vsgx.S.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "enclave.h"

#define PATTERN(i) (0x5e9b000000000000ull + (uint64_t)(i) * 0x0101010101ull)
#define EXIT_PATTERN(i) (0x3c71000000000000ull + (uint64_t)(i) * 0x0303030303ull)

static struct test_encl encl;
static _Thread_local int thread_local_word = 7;

/* Registers that an entry passes on, whichever way it is made. */
static const int passed[] = { R_RDX, R_RSI, R_R8, R_R9, R_R10, R_R11, R_R12, R_R13, R_R14,
			      R_R15 };
#define NR_PASSED (sizeof(passed) / sizeof(passed[0]))

static uint64_t rdfsbase(void)
{
	uint64_t base;

	__asm__ volatile("rdfsbase %0" : "=r"(base));
	return base;
}

static uint64_t rdgsbase(void)
{
	uint64_t base;

	__asm__ volatile("rdgsbase %0" : "=r"(base));
	return base;
}

static void wrgsbase(uint64_t base)
{
	__asm__ volatile("wrgsbase %0" : : "r"(base));
}

static void fill(uint64_t regs[NR_REGS], struct test_op *op)
{
	for (int i = 0; i < NR_REGS; i++)
		regs[i] = PATTERN(i);
	regs[R_RDI] = (uintptr_t)op;
}

static void by_vdso(uint64_t regs[NR_REGS], struct test_op *op)
{
	struct sgx_enclave_run run = { .tcs = test_tcs(&encl, 0) };

	fill(regs, op);
	assert_int_equal(enter_vdso(regs, &run, ENCLU_EENTER, test_vdso(), NULL), 0);
	assert_int_equal(run.function, ENCLU_EEXIT);
}

static void by_enclu(uint64_t regs[NR_REGS], struct test_op *op)
{
	fill(regs, op);
	enter_raw(regs, test_tcs(&encl, 0), ENCLU_EENTER);
}

static void check_entry(const struct test_op *op)
{
	for (size_t i = 0; i < NR_PASSED; i++)
		assert_int_equal(op->entry[passed[i]], PATTERN(passed[i]));
	assert_int_equal(op->entry[R_RAX], 0);
	assert_int_equal(op->entry[R_RBX], test_tcs(&encl, 0));
	assert_false(test_is_inside(&encl, op->entry[R_RCX]));
	assert_int_equal(op->entry[R_RDI], (uintptr_t)op);
	assert_int_equal(op->entry[R_FSBASE], (uintptr_t)encl.base + ENCL_THREAD_OFFSET);
	assert_int_equal(op->entry[R_GSBASE], (uintptr_t)encl.base + ENCL_THREAD_OFFSET + 0x1000);
}

static void vdso_entry_passes_registers_and_sets_the_rest(void **state)
{
	struct test_op op = { .kind = OP_NOP };
	uint64_t regs[NR_REGS];

	by_vdso(regs, &op);
	check_entry(&op);
	assert_int_equal(regs[R_RBX], PATTERN(R_RBX));
	assert_int_equal(regs[R_RBP], PATTERN(R_RBP));
}

static void bare_entry_passes_registers_and_sets_the_rest(void **state)
{
	struct test_op op = { .kind = OP_NOP };
	uint64_t regs[NR_REGS];

	by_enclu(regs, &op);
	check_entry(&op);
	assert_int_equal(op.entry[R_RBP], PATTERN(R_RBP));
	assert_int_equal(op.entry[R_RSP], regs[R_RSP]);
	assert_int_equal(op.entry[R_RCX], (uintptr_t)enter_raw_aep + 3);
}

static void check_exit(void (*enter)(uint64_t *, struct test_op *), uint64_t regs[NR_REGS])
{
	struct test_op op = { .kind = OP_EXIT_REGS };

	for (int i = 0; i < NR_REGS; i++)
		op.set[i] = EXIT_PATTERN(i);
	enter(regs, &op);
	for (size_t i = 0; i < NR_PASSED; i++)
		assert_int_equal(regs[passed[i]], EXIT_PATTERN(passed[i]));
	assert_int_equal(regs[R_RDI], EXIT_PATTERN(R_RDI));
}

/* stmxcsr result(%rdi); fnstcw result2(%rdi); ret */
static const uint8_t store_control[] = { 0x0f, 0xae, 0x5f, 24, 0xd9, 0x7f, 32, 0xc3 };

static void control_words_are_those_outside(void **state)
{
	const uint32_t mxcsr = 0x5f80, usual_mxcsr = 0x1f80;	/* round up */
	const uint16_t fcw = 0x0e7f, usual_fcw = 0x037f;
	struct test_op op = { .kind = OP_CALL };
	struct test_encl e;

	assert_int_equal(offsetof(struct test_op, result), 24);
	assert_int_equal(offsetof(struct test_op, result2), 32);
	assert_int_equal(test_encl_build(&e, &(struct test_config){
							.code = store_control,
							.code_size = sizeof(store_control),
						}), 0);
	op.addr = (uintptr_t)e.base + e.code_offset;
	__asm__ volatile("ldmxcsr %0; fldcw %1" : : "m"(mxcsr), "m"(fcw));
	test_enter(&e, 0, &op);
	__asm__ volatile("ldmxcsr %0; fldcw %1" : : "m"(usual_mxcsr), "m"(usual_fcw));
	assert_int_equal(op.result, mxcsr);
	assert_int_equal(op.result2, fcw);
	test_encl_free(&e);
}

static void exit_through_the_vdso_passes_registers(void **state)
{
	uint64_t regs[NR_REGS];

	check_exit(by_vdso, regs);
}

static void bare_exit_passes_registers_and_gives_the_aep(void **state)
{
	uint64_t regs[NR_REGS];

	check_exit(by_enclu, regs);
	assert_int_equal(regs[R_RAX], ENCLU_EEXIT);
	assert_int_equal(regs[R_RBX], (uintptr_t)enter_raw_aep + 3);
	assert_int_equal(regs[R_RCX], (uintptr_t)enter_raw_aep);
}

static void restores_the_hosts_bases(void (*enter)(uint64_t *, struct test_op *))
{
	const uint64_t fs = rdfsbase(), gs = rdgsbase(), mine = (uintptr_t)&encl;
	struct test_op op = { .kind = OP_NOP };
	uint64_t regs[NR_REGS], after_fs, after_gs;

	wrgsbase(mine);
	enter(regs, &op);
	after_fs = rdfsbase();
	after_gs = rdgsbase();
	wrgsbase(gs);
	assert_int_equal(after_fs, fs);
	assert_int_equal(after_gs, mine);
	assert_int_equal(thread_local_word, 7);
}

static void vdso_restores_fs_and_gs(void **state)
{
	restores_the_hosts_bases(by_vdso);
}

static void bare_exit_restores_fs_and_gs(void **state)
{
	restores_the_hosts_bases(by_enclu);
}

static void memory_of_the_enclave_lasts_between_entries(void **state)
{
	struct test_op put = { .kind = OP_PUT, .value = 0x1122334455667788 };
	struct test_op get = { .kind = OP_GET };

	test_enter(&encl, 0, &put);
	test_enter(&encl, 0, &get);
	assert_int_equal(get.result, put.value);
}

static void a_hundred_thousand_entries(void **state)
{
	struct test_op get = { .kind = OP_GET };
	struct test_op put = { .kind = OP_PUT };

	for (unsigned int i = 0; i < 50000; i++) {
		put.value = i;
		test_enter(&encl, 0, &put);
		get.result = ~0ull;
		test_enter(&encl, 0, &get);
		assert_int_equal(get.result, i);
	}
}

static void vdso_refuses_other_functions(void **state)
{
	struct sgx_enclave_run run = { 0 };

	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), 0, NULL, &run), -22);
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), 1, NULL, &run), -22);
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), ENCLU_EEXIT, NULL, &run), -22);
	assert_int_equal(test_call(&encl, test_tcs(&encl, 0), 5, NULL, &run), -22);
}

static void vdso_refuses_reserved_bytes(void **state)
{
	for (size_t i = 0; i < sizeof(((struct sgx_enclave_run *)0)->reserved); i += 8) {
		struct sgx_enclave_run run = { .tcs = test_tcs(&encl, 0) };
		struct test_op op = { .kind = OP_NOP };
		uint64_t regs[NR_REGS] = { [R_RDI] = (uintptr_t)&op };

		run.reserved[i] = 1;
		assert_int_equal(enter_vdso(regs, &run, ENCLU_EENTER, test_vdso(), NULL), -22);
		assert_int_equal(op.entry[R_RBX], 0);
	}
}

/* What the handler of the next tests saw. */
static struct {
	long rdi, rsi, rdx, r8, r9;
	unsigned int calls;
	int answer;
} seen;

static int handler(long rdi, long rsi, long rdx, long rsp, long r8, long r9,
		   struct sgx_enclave_run *run)
{
	seen.rdi = rdi;
	seen.rsi = rsi;
	seen.rdx = rdx;
	seen.r8 = r8;
	seen.r9 = r9;
	seen.calls++;
	return seen.answer;
}

static int call_with_handler(struct test_op *op, int answer)
{
	struct sgx_enclave_run run = { .user_handler = (uintptr_t)handler };
	int ret;

	memset(&seen, 0, sizeof(seen));
	seen.answer = answer;
	ret = test_call(&encl, test_tcs(&encl, 0), ENCLU_EENTER, op, &run);
	if (!ret)
		assert_int_equal(run.function, ENCLU_EEXIT);
	return ret;
}

static void handler_sees_the_registers_of_the_exit(void **state)
{
	struct test_op op = { .kind = OP_EXIT_REGS };

	for (int i = 0; i < NR_REGS; i++)
		op.set[i] = EXIT_PATTERN(i);
	assert_int_equal(call_with_handler(&op, 0), 0);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.rdi, EXIT_PATTERN(R_RDI));
	assert_int_equal(seen.rsi, EXIT_PATTERN(R_RSI));
	assert_int_equal(seen.rdx, EXIT_PATTERN(R_RDX));
	assert_int_equal(seen.r8, EXIT_PATTERN(R_R8));
	assert_int_equal(seen.r9, EXIT_PATTERN(R_R9));
}

static void handlers_negative_answer_is_returned(void **state)
{
	struct test_op op = { .kind = OP_NOP };

	assert_int_equal(call_with_handler(&op, -77), -77);
	assert_int_equal(seen.calls, 1);
}

static void handlers_answer_that_is_no_function_is_refused(void **state)
{
	struct test_op op = { .kind = OP_NOP };

	assert_int_equal(call_with_handler(&op, 9), -22);
	assert_int_equal(seen.calls, 1);
}

static int setup(void **state)
{
	return test_encl_build(&encl, &(struct test_config){ 0 });
}

static int teardown(void **state)
{
	test_encl_free(&encl);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vdso_entry_passes_registers_and_sets_the_rest),
		cmocka_unit_test(bare_entry_passes_registers_and_sets_the_rest),
		cmocka_unit_test(control_words_are_those_outside),
		cmocka_unit_test(exit_through_the_vdso_passes_registers),
		cmocka_unit_test(bare_exit_passes_registers_and_gives_the_aep),
		cmocka_unit_test(vdso_restores_fs_and_gs),
		cmocka_unit_test(bare_exit_restores_fs_and_gs),
		cmocka_unit_test(memory_of_the_enclave_lasts_between_entries),
		cmocka_unit_test(a_hundred_thousand_entries),
		cmocka_unit_test(vdso_refuses_other_functions),
		cmocka_unit_test(vdso_refuses_reserved_bytes),
		cmocka_unit_test(handler_sees_the_registers_of_the_exit),
		cmocka_unit_test(handlers_negative_answer_is_returned),
		cmocka_unit_test(handlers_answer_that_is_no_function_is_refused),
	};

	return cmocka_run_group_tests_name("registers", tests, setup, teardown);
}
